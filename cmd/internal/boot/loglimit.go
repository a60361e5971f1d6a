package boot

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// logWindow is the time in which lines of one kind are counted.
	logWindow = 5 * time.Second
	// logBurst is how many of a kind are written in a window that follows a
	// quiet one; after a loud one it is a single line.
	logBurst = 20
	// maxLogKinds bounds the kinds that are told apart.
	maxLogKinds = 1024
)

// limited is a Formatter that writes few of many lines alike: a fault that hits
// every piece says so once in a window, with how many were left out. Lines of
// one level and message are of one kind; errors and worse, and what debugging
// asks for, are all written. Safe for concurrent use.
type limited struct {
	next logrus.Formatter

	mu    sync.Mutex
	kinds map[logKind]*logCount
}

type logKind struct {
	level   logrus.Level
	message string
}

// logCount counts the lines of a kind.
type logCount struct {
	began   time.Time // of the window
	lines   int       // in it
	most    int       // of them that are written
	leftOut int       // since the last line written
}

func newLimited(next logrus.Formatter) *limited {
	return &limited{next: next, kinds: map[logKind]*logCount{}}
}

// Format returns nothing for a line that is left out.
func (l *limited) Format(e *logrus.Entry) ([]byte, error) {
	if e.Level != logrus.WarnLevel && e.Level != logrus.InfoLevel {
		return l.next.Format(e)
	}
	leftOut, ok := l.take(logKind{e.Level, e.Message}, e.Time)
	if !ok {
		return nil, nil
	}
	if leftOut > 0 {
		said := e.Dup()
		said.Level, said.Message, said.Caller, said.Buffer = e.Level, e.Message, e.Caller, e.Buffer
		said.Data["left_out"] = leftOut
		e = said
	}
	return l.next.Format(e)
}

// take reports whether a line may be written at now, and how many of its kind
// were not since the last one.
func (l *limited) take(k logKind, now time.Time) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.kinds[k]
	if c == nil {
		if len(l.kinds) >= maxLogKinds {
			l.forget(now)
		}
		c = &logCount{began: now, most: logBurst}
		l.kinds[k] = c
	}
	if since := now.Sub(c.began); since >= logWindow || since < 0 {
		c.most = logBurst
		if c.lines > c.most && since < 2*logWindow {
			c.most = 1
		}
		c.began, c.lines = now, 0
	}
	c.lines++
	if c.lines > c.most {
		c.leftOut++
		return 0, false
	}
	leftOut, c.leftOut = c.leftOut, 0
	return leftOut, true
}

// forget makes room: kinds that were quiet for a window go, or, if none was,
// all of them.
func (l *limited) forget(now time.Time) {
	for k, c := range l.kinds {
		if now.Sub(c.began) >= logWindow {
			delete(l.kinds, k)
		}
	}
	if len(l.kinds) >= maxLogKinds {
		clear(l.kinds)
	}
}
