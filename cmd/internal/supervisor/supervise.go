package supervisor

import (
	"cmp"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"damselfly/fusefs/attach"
	"damselfly/pieces"
)

// linkFD is where the child finds its end of the socket pair.
const linkFD = 3

// RunOptions configure the child. The zero value of each field but Log is a
// good one.
type RunOptions struct {
	// Beat is how often the daemon beats, Mute after how long without it has
	// failed.
	Beat, Mute time.Duration
	// Restart is the command line of a new daemon, to be run in Dir; empty:
	// none is started.
	Restart []string
	Dir     string
	// RestartEvery is how much time lies between two starts of a daemon, at
	// least.
	RestartEvery time.Duration
	Log          *logrus.Entry
}

// The defaults of Options and RunOptions.
const (
	DefaultBeat         = time.Second
	DefaultMute         = 10 * time.Second
	DefaultRestartEvery = 10 * time.Second
)

// watched is a mount that is looked after.
type watched struct {
	*attach.Handle
	silence silence
	asking  bool // the server has been asked and has not answered
	told    bool // the daemon was told that it does not
	cut     bool // by us
}

// supervisor is the child. All is done by the goroutine of Run.
type supervisor struct {
	o       RunOptions
	log     *logrus.Entry
	link    *link
	daemon  *target
	mounts  map[uint64]*watched // by message.ID
	answers chan *watched       // one for each asking
	began   time.Time
	silence silence
	mute    bool
}

// Run looks after the daemon that started this process, until that is gone. It
// must be called early: descriptor 3 is the socket.
func Run(o RunOptions) error {
	// They are meant for the daemon, which tells us when it stops.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	if _, err := unix.FcntlInt(linkFD, unix.F_GETFD, 0); err != nil {
		return pieces.Errorf(pieces.Invalid, "this command is dfdaemon's own: it starts it beside its mounts")
	}
	o.Beat, o.Mute = cmp.Or(o.Beat, DefaultBeat), cmp.Or(o.Mute, DefaultMute)
	o.RestartEvery = cmp.Or(o.RestartEvery, DefaultRestartEvery)
	l, err := newLink(os.NewFile(linkFD, "supervised"))
	if err != nil {
		return pieces.WithKind(pieces.Invalid, err, "supervisor")
	}
	defer l.close()
	pid, err := l.maker()
	if err != nil {
		return pieces.WithKind(pieces.Invalid, err, "supervisor")
	}
	p, err := newTarget(pid)
	if err != nil {
		return pieces.WithKind(pieces.Internal, err, "supervisor")
	}
	s := &supervisor{
		o: o, log: o.Log.WithField("daemon", p.pid), link: l, daemon: p,
		mounts: map[uint64]*watched{}, answers: make(chan *watched), began: time.Now(),
		silence: newSilence(o.Beat, time.Now()),
	}
	return s.run()
}

func (s *supervisor) run() error {
	messages := make(chan message)
	go func() { // ends with the process
		defer close(messages)
		for {
			m, err := s.link.receive()
			if err != nil {
				return
			}
			messages <- m
		}
	}()
	tick := time.NewTicker(s.o.Beat)
	defer tick.Stop()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return s.gone()
			}
			if m.Op == opBye {
				s.cutAll()
				return nil
			}
			s.hear(m)
		case w := <-s.answers:
			w.asking, w.told = false, false
			w.silence.heard()
		case now := <-tick.C:
			s.judge(now)
		}
	}
}

// hear takes what the daemon says; whatever it is, it is a beat.
func (s *supervisor) hear(m message) {
	s.silence.heard()
	if s.mute {
		s.mute = false
		s.log.Info("the daemon answers again")
	}
	switch m.Op {
	case opMount:
		s.mounts[m.ID] = &watched{Handle: attach.Hold(m.Dir, m.Dev), silence: newSilence(s.o.Beat, time.Now())}
	case opGone:
		s.forget(m)
	}
}

// forget ends the watch over a mount that the daemon serves no more, and says
// whose doing that was. One that was aborted by others still lies there dead.
func (s *supervisor) forget(m message) {
	answer := message{Op: opKept, ID: m.ID}
	if w := s.mounts[m.ID]; w != nil {
		delete(s.mounts, m.ID)
		s.detach(w)
		w.Close()
		if w.cut {
			answer.Op = opCut
		}
	}
	if err := s.link.send(answer); err != nil {
		s.log.WithError(err).Debug("the daemon does not listen")
	}
}

// judge is called once per beat.
func (s *supervisor) judge(now time.Time) {
	if s.silence.tick(now) >= s.o.Mute {
		if !s.mute && len(s.mounts) > 0 {
			s.mute = true
			s.muteDaemon()
		}
		return
	}
	for _, w := range s.mounts {
		s.judgeMount(w, now)
	}
}

// judgeMount asks the server of a mount, or looks how long it has owed an
// answer: at Mute the daemon is told, and a beat later it has had its chance.
func (s *supervisor) judgeMount(w *watched, now time.Time) {
	silent := w.silence.tick(now)
	switch {
	case w.cut:
	case !w.asking:
		w.asking = true
		w.silence.heard()
		go func() { w.Ask(); s.answers <- w }()
	case silent >= s.o.Mute && !w.told:
		w.told = true
		s.log.WithField("mount", w.Dir()).Error("the mount does not answer, though its daemon lives")
		if err := s.link.send(message{Op: opDeaf, Dir: w.Dir()}); err != nil {
			s.log.WithError(err).Debug("the daemon does not listen")
		}
	case w.told && silent >= s.o.Mute+s.o.Beat:
		s.cut(w)
	}
}
