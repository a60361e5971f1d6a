package supervisor

import (
	"cmp"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Options configure the daemon's side. The zero value of each field but
// Command is a good one.
type Options struct {
	// Beat is how often the daemon says that it lives. (Mute is the child's to
	// know, from Command.)
	Beat time.Duration
	// Command is the arguments, the program's name first, that make this
	// binary call Run.
	Command []string
	// Pause is how long to wait before a child that ended is replaced.
	Pause time.Duration
	// Stderr is where the child logs, and where stacks go; nil: the process's.
	Stderr *os.File
	Log    *logrus.Entry
}

// self is this process's binary, even if its file was replaced.
const self = "/proc/self/exe"

// The defaults of Options.
const (
	DefaultPause = time.Second
	// answerWait is how long remove waits: the child may be unmounting.
	answerWait = detachWait + time.Second
	// leaveWait is how long a child may take to leave.
	leaveWait = 2 * time.Second
	// maxStacks bounds the stacks that are written, in bytes.
	maxStacks = 16 << 20
)

// Guard has the mounts of this process looked after by a child. The child is
// started with the first mount, and again if it ends. Safe for concurrent use.
type Guard struct {
	o    Options
	quit chan struct{}
	loop sync.WaitGroup

	mu     sync.Mutex
	closed bool
	next   uint64
	mounts map[uint64]message     // as they are told to a child
	asked  map[uint64]chan<- bool // who waits for an answer to opGone
	child  *child                 // nil while there is none
	begun  bool                   // the loop runs
}

// New returns a Guard without a child. Close it in the end.
func New(o Options) *Guard {
	o.Beat, o.Pause = cmp.Or(o.Beat, DefaultBeat), cmp.Or(o.Pause, DefaultPause)
	o.Stderr = cmp.Or(o.Stderr, os.Stderr)
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return &Guard{o: o, quit: make(chan struct{}), mounts: map[uint64]message{}, asked: map[uint64]chan<- bool{}}
}

// Add has the mount on dir with connection dev ("major:minor") looked after.
// Call remove when it is no longer served. If asked, it waits for the child's
// word: cut says that the supervisor ended the mount, after this process failed
// to answer, and not somebody who meant to.
func (g *Guard) Add(dir, dev string) (remove func(ask bool) (cut bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next++
	id := g.next
	m := message{Op: opMount, ID: id, Dir: dir, Dev: dev}
	g.mounts[id] = m
	switch {
	case g.closed:
	case !g.begun:
		g.begun = true
		g.start()
		g.loop.Go(g.run)
	default:
		g.say(m)
	}
	return func(ask bool) bool { return g.remove(id, ask) }
}

func (g *Guard) remove(id uint64, ask bool) bool {
	asked := make(chan bool, 1)
	g.mu.Lock()
	delete(g.mounts, id)
	g.asked[id] = asked
	sent := g.say(message{Op: opGone, ID: id})
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.asked, id)
		g.mu.Unlock()
	}()
	if !sent || !ask {
		return false
	}
	t := time.NewTimer(answerWait)
	defer t.Stop()
	select {
	case cut := <-asked:
		return cut
	case <-t.C:
	case <-g.quit:
	}
	return false
}

// Close has the child leave, and waits for it. Mounts that are still there the
// child takes off first.
func (g *Guard) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.say(message{Op: opBye})
	c := g.child
	g.mu.Unlock()
	close(g.quit)
	if c != nil {
		c.leave(leaveWait)
	}
	g.loop.Wait()
	return nil
}

// run beats, and replaces a child that ended.
func (g *Guard) run() {
	tick := time.NewTicker(g.o.Beat)
	defer tick.Stop()
	for {
		g.mu.Lock()
		c := g.child
		g.mu.Unlock()
		if c == nil {
			if !g.replace() {
				return
			}
			continue
		}
		select {
		case <-g.quit:
			return
		case <-tick.C:
			g.mu.Lock()
			g.say(message{Op: opBeat})
			g.mu.Unlock()
		case <-c.ended:
			g.o.Log.WithField("end", c.how()).Warn("the supervisor of the mounts ended; another is started")
			g.lost()
		}
	}
}

// lost forgets a child that ended, and what it was asked.
func (g *Guard) lost() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.child = nil
	for _, asked := range g.asked {
		answer(asked, false)
	}
}

// answer answers who asks, once.
func answer(asked chan<- bool, cut bool) {
	select {
	case asked <- cut:
	default:
	}
}

// replace waits for a moment and starts a child; false means that the Guard is
// closed.
func (g *Guard) replace() bool {
	for {
		t := time.NewTimer(g.o.Pause)
		select {
		case <-g.quit:
			t.Stop()
			return false
		case <-t.C:
		}
		g.mu.Lock()
		started := g.closed || g.start()
		g.mu.Unlock()
		if started {
			return true
		}
	}
}

// start starts a child and tells it of all mounts. The caller holds mu.
func (g *Guard) start() bool {
	c, err := startChild(g.o, g.heard)
	if err != nil {
		g.o.Log.WithError(err).Warn("the supervisor of the mounts could not be started")
		return false
	}
	g.child = c
	g.o.Log.WithField("pid", c.pid()).Debug("the mounts are supervised")
	for _, m := range g.mounts {
		g.say(m)
	}
	return true
}

// say sends m and reports whether it went. A child that does not take it is
// stuck, and killed: run sees its end. The caller holds mu.
func (g *Guard) say(m message) bool {
	if g.child == nil {
		return false
	}
	if err := g.child.link.send(m); err != nil {
		g.o.Log.WithError(err).Warn("the supervisor of the mounts does not listen")
		g.child.kill()
		return false
	}
	return true
}

// heard takes what the child says.
func (g *Guard) heard(m message) {
	switch m.Op {
	case opCut, opKept:
		g.mu.Lock()
		if asked := g.asked[m.ID]; asked != nil {
			answer(asked, m.Op == opCut)
		}
		g.mu.Unlock()
	case opDeaf:
		g.o.Log.WithField("mount", m.Dir).Error("a mount of this daemon does not answer and is cut off; stacks follow")
		g.writeStacks()
	}
}

func (g *Guard) writeStacks() {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= maxStacks {
			g.o.Stderr.Write(append(buf[:n:n], '\n'))
			return
		}
		buf = make([]byte, 2*len(buf))
	}
}

// keepDescriptors marks everything but stdio close-on-exec: also what this
// process was given by whoever started it stays out of the child.
func keepDescriptors() error { return unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) }
