package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"

	"damselfly/pieces"
)

// journalName is the second copy of the catalogue, beside the database: what
// people have added and named outlives a database that had to be moved aside.
const journalName = "catalogue"

// journalSlack is what a journal may grow by before it is written anew, and
// journalGrowth how many times over.
const (
	journalSlack  = 1 << 20
	journalGrowth = 4
)

// journalLine is one change of the catalogue. On disk it stands on a line of
// its own after the CRC-32C of its JSON, between two newlines, so that a damaged
// or torn line costs only itself.
type journalLine struct {
	ID   pieces.TaskID
	Gone bool            `json:",omitempty"`
	Data json.RawMessage `json:",omitempty"` // of encodeEntry, unless Gone
}

func appendLine(b []byte, l journalLine) ([]byte, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return b, err
	}
	return fmt.Appendf(b, "\n%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

// parseLine returns an Integrity error unless line was written by appendLine and
// its entry, if any, hashes to its id.
func parseLine(line []byte) (id pieces.TaskID, e Entry, gone bool, err error) {
	damaged := pieces.Errorf(pieces.Integrity, "damaged line of %d bytes in the journal of the catalogue", len(line))
	sum, text, ok := bytes.Cut(line, []byte{' '})
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return "", e, false, damaged
	}
	var l journalLine
	if json.Unmarshal(text, &l) != nil {
		return "", e, false, damaged
	}
	if _, err := pieces.ParseTaskID(string(l.ID)); err != nil {
		return "", e, false, damaged
	}
	if l.Gone {
		return l.ID, e, true, nil
	}
	if e, err = parseEntry(l.ID, l.Data); err == nil {
		err = checkEntry(e)
	}
	return l.ID, e, false, err
}

// parseJournal returns the entries that stand at the end of it, in the order in
// which they came first, and how many lines are damaged.
func parseJournal(b []byte) (es []Entry, damaged int) {
	at := map[pieces.TaskID]int{}
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		id, e, gone, err := parseLine(line)
		i, known := at[id]
		switch {
		case err != nil:
			damaged++
		case gone && known:
			es[i] = Entry{}
			delete(at, id)
		case gone:
		case known:
			es[i] = e
		default:
			at[id] = len(es)
			es = append(es, e)
		}
	}
	left := es[:0]
	for _, e := range es {
		if e.Task.ID != "" {
			left = append(left, e)
		}
	}
	return left, damaged
}

// journal appends changes. Safe for concurrent use; the zero one writes nothing.
type journal struct {
	mu   sync.Mutex
	file *os.File // nil: nothing is written
	// size now, and when it was last written anew.
	size, base int64
	// dirty: not all of it was synced. stale: something is missing in it.
	dirty, stale bool
}

func (d dataDir) readJournal() ([]byte, error) {
	b, err := os.ReadFile(d.path(journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// rewrite makes the file what encode returns, unless it is that already, and
// goes on appending to it. What is appended meanwhile comes after it.
func (j *journal) rewrite(d dataDir, there []byte, encode func() ([]byte, error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, err := encode()
	if err == nil && (j.file != nil || !bytes.Equal(b, there)) {
		err = d.replace(journalName, b)
	}
	if err != nil {
		return err
	}
	return j.open(d)
}

// follow goes on appending to what is there, if that can be.
func (j *journal) follow(d dataDir) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stale = j.open(d) != nil
}

// open makes what is there the file to append to; call with mu.
func (j *journal) open(d dataDir) error {
	f, err := os.OpenFile(d.path(journalName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.base, j.dirty, j.stale = f, st.Size(), st.Size(), false, false
	return nil
}

// put notes that the entry of id is now data, of encodeEntry.
func (j *journal) put(id pieces.TaskID, data []byte) { j.append(journalLine{ID: id, Data: data}) }

// bury also asks for a rewrite: damage of this line must not bring the entry
// back.
func (j *journal) bury(id pieces.TaskID) {
	j.append(journalLine{ID: id, Gone: true})
	j.lack()
}

// append writes a line; one that can't be written makes the journal stale.
func (j *journal) append(l journalLine) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, err := appendLine(nil, l)
	if err != nil || j.file == nil {
		j.stale = true
		return
	}
	n, err := j.file.Write(b)
	j.size += int64(n)
	j.dirty = true
	j.stale = j.stale || err != nil
}

// lack says that something is missing in it.
func (j *journal) lack() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stale = true
}

// sync puts what was appended on stable storage.
func (j *journal) sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.dirty || j.file == nil {
		return nil
	}
	j.dirty = false
	return j.file.Sync()
}

// wantsRewrite reports whether it lacks something, or is mostly history.
func (j *journal) wantsRewrite() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stale || j.size > j.base*journalGrowth+journalSlack
}

func (j *journal) close() error {
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
		j.file = nil
	}
	return err
}
