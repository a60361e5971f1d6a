package boot

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/sirupsen/logrus"
)

// The signals that change what a running server logs: one level more, up to
// trace, and back to the level it was started with. Who may send them is the
// kernel's business: the server's own user, and root. A Go program that does not
// ask for them is not ended by them, so a whole service may be sent them.
const (
	signalMore = syscall.SIGUSR1
	signalBack = syscall.SIGUSR2
)

// FollowLevelSignals lets the signals change the level of log, and so of
// everything made from it, until the returned function is called.
func FollowLevelSignals(log *logrus.Entry) (stop func()) {
	got := make(chan os.Signal, 8)
	signal.Notify(got, signalMore, signalBack)
	done := make(chan struct{})
	go func() {
		defer close(done)
		followLevel(got, log)
	}()
	return sync.OnceFunc(func() {
		signal.Stop(got)
		close(got)
		<-done
	})
}

// followLevel obeys what comes from got until that is closed.
func followLevel(got <-chan os.Signal, log *logrus.Entry) {
	started := log.Logger.GetLevel()
	for s := range got {
		level := started
		if s == signalMore {
			level = min(log.Logger.GetLevel()+1, logrus.TraceLevel)
		}
		log.Logger.SetLevel(level)
		// Whoever asked is to see it, whatever the level.
		log.WithField("log_level", level.String()).Log(min(level, logrus.WarnLevel), "log level changed")
	}
}
