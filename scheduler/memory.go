package scheduler

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// answers are the manager's last ones, as they stand on disk.
type answers struct {
	Cluster string   `json:"cluster"`
	Config  string   `json:"config,omitempty"`
	Ring    []string `json:"ring,omitempty"`
	// Seeds are hosts as JSON of their message.
	Seeds []json.RawMessage `json:"seeds,omitempty"`
}

// memory keeps the manager's last answers in a file, for a start without it.
type memory struct {
	file string // empty keeps nothing

	mu   sync.Mutex
	last answers
	text []byte // of last, as it was written
}

// maxMemory bounds what is read of a file, in bytes.
const maxMemory = 64 << 20

// read answers what the file holds for a cluster; ok is false if there is none.
func (m *memory) read(cluster string) (a answers, ok bool, err error) {
	if m.file == "" {
		return a, false, nil
	}
	if info, err := os.Stat(m.file); err == nil && info.Size() > maxMemory {
		return a, false, pieces.Errorf(pieces.Invalid, "%s is longer than %d bytes", m.file, maxMemory)
	}
	text, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return a, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil || a.Cluster != cluster {
		return a, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.text = a, text
	return a, true, nil
}

// note lets change set what the manager said now, and writes it if it is news.
func (m *memory) note(cluster string, change func(*answers)) error {
	if m.file == "" {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last.Cluster = cluster
	change(&m.last)
	text, err := json.MarshalIndent(m.last, "", "  ")
	if err != nil || bytes.Equal(text, m.text) {
		return err
	}
	if err := replaceFile(m.file, text); err != nil {
		return err
	}
	m.text = text
	return nil
}

// replaceFile writes a file as a whole; readers see the old or the new one.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it was renamed
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// noteAnswer keeps what the manager said; that it can't be kept stops nothing.
func (s *Server) noteAnswer(change func(*answers)) {
	if err := s.memory.note(s.o.Cluster, change); err != nil {
		s.log.WithError(err).Warn("what the manager said can't be kept for the next start")
	}
}

// recollect begins with what the manager said in the last run, until it says
// more. The config has version 0, so that the manager is asked for it again in
// any case.
func (s *Server) recollect() {
	a, ok, err := s.memory.read(s.o.Cluster)
	if err != nil {
		s.log.WithError(err).Warn("what the manager said last can't be read; going on without")
	}
	if !ok || err != nil {
		return
	}
	if a.Config != "" {
		if c, err := parseConfig(&s.o, 0, a.Config); err != nil {
			s.log.WithError(err).Warn("the cluster's last config is ignored")
		} else {
			s.config.Store(c)
		}
	}
	var seeds []pieces.Host
	for _, text := range a.Seeds {
		m := &commonpb.Host{}
		if protojson.Unmarshal(text, m) != nil {
			continue
		}
		if h, err := wire.HostFrom(m); err == nil {
			seeds = append(seeds, h)
		}
	}
	s.hosts.setListed(seeds)
	if ring := dialable(a.Ring); len(s.o.Peers) == 0 && len(ring) > 0 {
		s.fellows.setRing(ring)
	}
}

// dialable leaves out addresses that make no sense.
func dialable(addrs []string) (good []string) {
	for _, addr := range addrs {
		if rpc.CheckAddress(addr) == nil {
			good = append(good, addr)
		}
	}
	return good
}

// seedTexts are hosts as they are kept.
func seedTexts(hosts []*commonpb.Host) (texts []json.RawMessage) {
	for _, h := range hosts {
		// protojson spaces its output at random: compact it, so that what is the
		// same reads the same.
		b, err := protojson.Marshal(h)
		var text bytes.Buffer
		if err == nil && json.Compact(&text, b) == nil {
			texts = append(texts, text.Bytes())
		}
	}
	return texts
}
