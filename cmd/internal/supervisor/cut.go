package supervisor

import (
	"context"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

const (
	// dumpWait is how long a daemon may take to write its stacks and end.
	dumpWait = 2 * time.Second
	// detachWait bounds an unmount.
	detachWait = 5 * time.Second
	// killWait is how long a killed daemon may take to be gone.
	killWait = 5 * time.Second
)

// muteDaemon ends the mounts of a daemon that does not beat.
func (s *supervisor) muteDaemon() {
	if s.daemon.stopped() {
		s.log.Errorf("the daemon is stopped (SIGSTOP, or a debugger) and has not beaten for %s: its mounts are cut off", s.o.Mute)
	} else {
		s.log.Errorf("the daemon has not beaten for %s: it gets SIGQUIT to write its stacks, and its mounts are cut off", s.o.Mute)
		if err := s.daemon.signal(syscall.SIGQUIT); err == nil {
			s.daemon.awaitEnd(dumpWait)
		}
	}
	s.cutAll()
	if len(s.o.Restart) > 0 {
		s.killDaemon("another is to be started")
	}
}

// gone ends what a dead daemon left.
func (s *supervisor) gone() error {
	s.log.Error("the daemon is gone without a clean stop")
	s.cutAll()
	if len(s.o.Restart) == 0 {
		return nil
	}
	return s.restart()
}

// cutAll frees all readers first: a directory may lie in another mount.
func (s *supervisor) cutAll() {
	var all []*watched
	for _, w := range s.mounts {
		if !w.cut {
			all = append(all, w)
		}
	}
	for _, w := range all {
		s.abort(w)
	}
	// The innermost first.
	slices.SortFunc(all, func(a, b *watched) int { return len(b.Dir()) - len(a.Dir()) })
	for _, w := range all {
		s.detach(w)
	}
}

func (s *supervisor) cut(w *watched) {
	s.abort(w)
	s.detach(w)
}

// abort gives every reader of a mount an error. Where the connection is out of
// reach, it ends with the daemon.
func (s *supervisor) abort(w *watched) {
	w.cut = true
	if err := w.Abort(); err != nil && !s.daemon.gone() {
		s.killDaemon(err.Error())
	}
}

// detach takes a mount off, if it is still there.
func (s *supervisor) detach(w *watched) {
	ctx, cancel := context.WithTimeout(context.Background(), detachWait)
	defer cancel()
	type result struct {
		was bool
		err error
	}
	done := make(chan result, 1)
	go func() {
		was, err := w.Detach(ctx)
		done <- result{was, err}
	}()
	log := s.log.WithField("mount", w.Dir())
	var r result
	select {
	case r = <-done:
	case <-ctx.Done(): // the path leads through something that hangs
		log.Errorf("the mount could not be taken off within %s", detachWait)
		return
	}
	switch {
	case r.err != nil:
		log.WithError(r.err).Error("the mount could not be taken off")
	case r.was:
		log.Warn("the mount was taken off")
	}
}

func (s *supervisor) killDaemon(why string) {
	s.log.Warn("the daemon is killed: ", why)
	if err := s.daemon.signal(syscall.SIGKILL); err != nil && !s.daemon.gone() {
		s.log.WithError(err).Error("the daemon could not be killed")
	}
	if !s.daemon.awaitEnd(killWait) {
		s.log.Error("the daemon was killed, but the kernel does not let it go")
	}
}

// restart makes this process a new daemon. It returns only an error.
func (s *supervisor) restart() error {
	if !s.daemon.awaitEnd(killWait) {
		s.killDaemon("another is to be started")
	}
	if pause := s.o.RestartEvery - time.Since(s.began); pause > 0 {
		s.log.Warnf("the daemon did not live long: another is started in %s", pause.Round(time.Second))
		time.Sleep(pause)
	}
	if err := unix.Chdir(s.o.Dir); err != nil {
		return pieces.WithKind(pieces.NotFound, err, "restart in "+s.o.Dir)
	}
	s.log.Warn("a new daemon is started")
	signal.Reset() // what is ignored stays ignored over exec
	err := unix.Exec(self, s.o.Restart, syscall.Environ())
	return pieces.WithKind(pieces.Unavailable, err, "restart")
}
