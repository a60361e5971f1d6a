package picker

import (
	"time"

	"damselfly/pieces"
)

// SeedingConfig holds the numbers of distinct seeding; zero fields take their
// defaults.
type SeedingConfig struct {
	// Repeats is the share of the bytes sent that may repeat what was sent
	// before (default 0.05: what a seed sends twice it does not send for the
	// first time).
	Repeats float64
	// ChildTTL is how long a child counts after its last request (default 5 s).
	ChildTTL time.Duration
	// Idle: when no child has asked for something new for this long, repeats
	// are free (default 500 ms).
	Idle time.Duration
	// NearFirst answers under way keep the seed's uplink busy: while children in
	// its data centre ask for new pieces, others are given none beyond that
	// (default 4). They are told to ask again after NearRest (default 250 ms).
	NearFirst int
	NearRest  time.Duration
}

func (c SeedingConfig) withDefaults() SeedingConfig {
	if c.Repeats == 0 {
		c.Repeats = 0.05
	}
	if c.ChildTTL == 0 {
		c.ChildTTL = 5 * time.Second
	}
	if c.Idle == 0 {
		c.Idle = 500 * time.Millisecond
	}
	if c.NearFirst == 0 {
		c.NearFirst = 4
	}
	if c.NearRest == 0 {
		c.NearRest = 250 * time.Millisecond
	}
	return c
}

// Seeding makes a seed with several children give each piece to one of them
// first (DESIGN §7): while children ask for pieces that were not sent yet, only
// a share of what is sent repeats sent ones. Without it, readers in the same
// order turn the seed into a plain server. Pure; callers serialise their calls.
//
// Among several data centres a piece goes first to a child in the seed's own, while
// those keep it busy: else this data centre would have to take back from the others
// what the seed gave them. The others take it there.
type Seeding struct {
	cfg SeedingConfig
	geo pieces.Geometry
	// children by when they asked last; swept is when those who ask no more
	// were last looked for.
	children map[pieces.HostID]time.Time
	swept    time.Time
	// sent says who was given a piece first, and when.
	sent map[int]sending
	// total and repeats are bytes granted.
	total, repeats int64
	// fresh is when a piece was last asked for that was not sent before, freshNear
	// when from the seed's data centre.
	fresh, freshNear time.Time
	// answers under way, by when they began.
	answers map[answer]time.Time
}

// answer is one to a child, from a piece on.
type answer struct {
	to    pieces.HostID
	first int
}

// slowAnswer is how long an answer counts among those that keep the uplink busy:
// one that takes longer goes to a slow host, or to a dead one.
const slowAnswer = 2 * time.Second

// Verdict is a seed's decision on a request.
type Verdict int

const (
	// Granted: it is sent now.
	Granted Verdict = iota
	// Given: another child was given it first, and will have it sooner.
	Given
	// Later: others come first just now, whatever new piece is asked for.
	Later
)

// slowSend times as long as a piece takes to open again is how long its sending
// may take.
const slowSend = 5

type sending struct {
	to pieces.HostID
	// at is when it was granted, or, if over, when the sending ended.
	at   time.Time
	over bool
}

// NewSeeding returns the policy for content of geometry g.
func NewSeeding(g pieces.Geometry, cfg SeedingConfig) *Seeding {
	return &Seeding{
		cfg: cfg.withDefaults(), geo: g,
		children: map[pieces.HostID]time.Time{}, sent: map[int]sending{}, answers: map[answer]time.Time{},
	}
}

// Ask decides whether child gets e now. If not, it is told after how long to
// ask again: for what was Given at most a tenth of expected, the expected time of the
// content; by then it probably has it from another child. seen reports whether a neighbour
// holds a piece. far children are in another data centre. Urgent requests are
// always granted. What is granted ends with one call of Sent or Unsent.
func (s *Seeding) Ask(now time.Time, child pieces.HostID, e pieces.Extent, urgent, far bool, expected time.Duration, seen func(int) bool) (v Verdict, again time.Duration) {
	s.children[child] = now
	s.sweep(now)
	_, n := s.geo.Bytes(e)
	repeat, left := s.repeat(now, child, e, expected/10, seen)
	if !repeat {
		s.fresh = now
		if !far {
			s.freshNear = now
		}
	}
	scarce := repeat && len(s.children) > 1 && now.Sub(s.fresh) < s.cfg.Idle
	if far && !repeat && !urgent && now.Sub(s.freshNear) < s.cfg.Idle && s.busy(now) {
		return Later, s.cfg.NearRest
	}
	if scarce && !urgent && float64(s.repeats+n) > s.cfg.Repeats*float64(s.total+n) {
		return Given, left
	}
	s.total += n
	if repeat {
		s.repeats += n
	}
	for i := range e.All() {
		if _, before := s.sent[i]; !before {
			s.sent[i] = sending{to: child, at: now}
		}
	}
	s.answers[answer{child, e.First}] = now
	return Granted, 0
}

// busy reports whether the answers under way need the whole uplink.
func (s *Seeding) busy(now time.Time) bool {
	n := 0
	for _, began := range s.answers {
		if now.Sub(began) < slowAnswer {
			n++
		}
	}
	return n >= s.cfg.NearFirst
}

// sweep forgets the children who ask no more, now and then: each request of
// thousands of children would walk them all.
func (s *Seeding) sweep(now time.Time) {
	if now.Sub(s.swept) < s.cfg.ChildTTL/8 {
		return
	}
	s.swept = now
	for id, at := range s.children {
		if now.Sub(at) > s.cfg.ChildTTL {
			delete(s.children, id)
		}
	}
}

// Sent says that the answer to child for e is over, for better or worse: what is
// not seen there after a tenth of the expected time from now opens again.
func (s *Seeding) Sent(now time.Time, child pieces.HostID, e pieces.Extent) {
	delete(s.answers, answer{child, e.First})
	for i := range e.All() {
		if first, ok := s.sent[i]; ok && first.to == child {
			s.sent[i] = sending{to: child, at: now, over: true}
		}
	}
}

// Unsent is Sent for an answer of which no byte was sent, as when no upload slot
// was free: what it was to bring opens at once.
func (s *Seeding) Unsent(child pieces.HostID, e pieces.Extent) {
	delete(s.answers, answer{child, e.First})
	_, n := s.geo.Bytes(e)
	s.total -= n
	first := false
	for i := range e.All() {
		if x, ok := s.sent[i]; ok && x.to == child && !x.over {
			delete(s.sent, i)
			first = true
		}
	}
	if !first {
		s.repeats = max(0, s.repeats-n)
	}
}

// First returns who was given piece i first and has it, or will have it soon.
func (s *Seeding) First(i int) (child pieces.HostID, ok bool) {
	first, ok := s.sent[i]
	return first.to, ok
}

// repeat reports whether a piece of e went to another child already, or is held
// by one, and how long until that piece opens again because it was not seen
// there. What did not arrive in time is no repeat.
func (s *Seeding) repeat(now time.Time, child pieces.HostID, e pieces.Extent, opens time.Duration, seen func(int) bool) (yes bool, left time.Duration) {
	for i := range e.All() {
		first, sent := s.sent[i]
		switch {
		case seen(i):
			return true, opens
		case sent && first.to != child && !first.over && now.Sub(first.at) < slowSend*opens:
			return true, opens
		case sent && first.to != child && now.Sub(first.at) < opens:
			return true, opens - now.Sub(first.at)
		case sent:
			delete(s.sent, i) // it opens, or its child asks again
		}
	}
	return false, 0
}

// Gone says that a child left: what was sent to it alone can be sent again.
func (s *Seeding) Gone(child pieces.HostID) {
	delete(s.children, child)
	for i, first := range s.sent {
		if first.to == child {
			delete(s.sent, i)
		}
	}
}
