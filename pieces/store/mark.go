package store

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
)

// maxDeaths is how many runs in a row may die before they have settled.
const maxDeaths = 2

// runMark is the file "run": what is known of the last run. It is written
// before the database is opened, when the run has settled, and at a clean stop.
type runMark struct {
	// Boot in which the store was last open; "" if bytes that were written in
	// an earlier one may still be missing.
	Boot string
	// Clean: everything had reached the disk when it was closed.
	Clean bool
	// Database is how the files of the database looked then.
	Database string `json:",omitempty"`
	// Settled: it lived for Options.Settle.
	Settled bool `json:",omitempty"`
	// Deaths counts the runs just before that died before they had settled.
	Deaths int `json:",omitempty"`
}

func (d dataDir) writeRun(m runMark) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return d.replace("run", append(b, '\n'))
}

// readRun returns the mark, the zero one if there is none that can be read.
func (d dataDir) readRun() (m runMark) {
	b, err := os.ReadFile(d.path("run"))
	if err != nil || json.Unmarshal(b, &m) != nil {
		return runMark{}
	}
	return m
}

// lastRun says what became of the bytes that the last run wrote.
type lastRun int

const (
	// runLost: the machine died, or nothing is known: bytes may be missing.
	runLost lastRun = iota
	// runKilled: the process died in this boot: all is there, though maybe
	// only in the page cache.
	runKilled
	// runClean: all is on stable storage.
	runClean
)

func (m runMark) last(boot string) lastRun {
	switch {
	case m.Clean:
		return runClean
	case boot != "" && m.Boot == boot:
		return runKilled
	}
	return runLost
}

// next is the mark of a run that begins after m.
func (m runMark) next(boot string) runMark {
	n := runMark{Boot: boot}
	if m.last(boot) == runLost {
		n.Boot = "" // until that has been written down in the database
	}
	if !m.Clean && !m.Settled && m != (runMark{}) {
		n.Deaths = m.Deaths + 1
	}
	return n
}

// doubt says why the database must be probed before this process opens it; ""
// if it need not be.
func (m runMark) doubt(boot, database string) string {
	switch {
	case m == (runMark{}):
		return "nothing is known of the last run"
	case !m.Clean:
		return "the last run did not end cleanly"
	case m.Boot != boot || boot == "":
		return "the machine was started again"
	case m.Database != database:
		return "the files of the database were changed since"
	}
	return ""
}

// lookOfDB names the state of the database's files: their names, sizes and
// times. "" if there is no database.
func (d dataDir) lookOfDB() string {
	entries, err := os.ReadDir(d.db())
	if err != nil {
		return ""
	}
	h := fnv.New128a()
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			return "unreadable"
		}
		fmt.Fprintf(h, "%q %+v\n", e.Name(), stampFrom(st))
	}
	if len(entries) == 0 {
		return ""
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// bootID returns the kernel's name for this boot, or "" if it has none.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
