package cluster

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// witness hears from a daemon's log when it first proved a neighbour's bytes to
// be wrong.
type witness struct {
	mu    sync.Mutex
	wrong time.Time
}

// log returns what the daemon logs to; shown in verbose runs only.
func (w *witness) log() *logrus.Entry {
	e := verbose()
	if !testing.Verbose() {
		e.Logger.SetLevel(logrus.WarnLevel)
		e.Logger.SetOutput(io.Discard)
	}
	e.Logger.AddHook(w)
	return e
}

// Levels and Fire are logrus.Hook.
func (w *witness) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel} }

func (w *witness) Fire(e *logrus.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong.IsZero() && e.Message == "a neighbour sent wrong bytes" {
		w.wrong = time.Now()
	}
	return nil
}

// FirstWrongPiece is when the host first proved that a neighbour had sent wrong
// bytes; zero if it never did.
func (h *Host) FirstWrongPiece() time.Time {
	h.witness.mu.Lock()
	defer h.witness.mu.Unlock()
	return h.witness.wrong
}
