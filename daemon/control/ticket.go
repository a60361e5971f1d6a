package control

import (
	"crypto/rand"
	"os"
	"sync"
	"time"

	"damselfly/pieces"
)

// ticket is what a client shows at the descriptor socket.
type ticket [32]byte

// maxTickets bounds how many may be out at once.
const maxTickets = 1024

// tickets are the open files that wait to be fetched. Each works once, for the
// user it was made for, until it expires.
type tickets struct {
	ttl time.Duration
	now func() time.Time

	mu   sync.Mutex
	open map[ticket]waitingFile // guarded by mu
}

type waitingFile struct {
	file *os.File
	uid  uint32
	till time.Time
}

func newTickets(ttl time.Duration, now func() time.Time) *tickets {
	return &tickets{ttl: ttl, now: now, open: map[ticket]waitingFile{}}
}

// issue takes f over and returns the ticket for it. The issuer revokes it in
// the end, whether it was used or not.
func (t *tickets) issue(f *os.File, uid uint32) (ticket, error) {
	var id ticket
	rand.Read(id[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= maxTickets {
		f.Close()
		return id, pieces.Errorf(pieces.Full, "%d downloads wait to be copied already", maxTickets)
	}
	t.open[id] = waitingFile{f, uid, t.now().Add(t.ttl)}
	return id, nil
}

// redeem gives the file of a ticket to uid, who closes it. A ticket that was
// used, expired, revoked, made up or made for another user is Denied.
func (t *tickets) redeem(id ticket, uid uint32) (*os.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.open[id]
	if !ok || w.uid != uid {
		return nil, pieces.Errorf(pieces.Denied, "no such ticket, or used already")
	}
	delete(t.open, id)
	if t.now().After(w.till) {
		w.file.Close()
		return nil, pieces.Errorf(pieces.Denied, "the ticket has expired")
	}
	return w.file, nil
}

// revoke ends a ticket and closes its file if nobody fetched it.
func (t *tickets) revoke(id ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.open[id]; ok {
		w.file.Close()
		delete(t.open, id)
	}
}
