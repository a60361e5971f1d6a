package supervisor

import (
	"os"
	"os/exec"
	"syscall"
	"time"

	"damselfly/pieces"
)

// child is a supervisor as its daemon sees it.
type child struct {
	cmd  *exec.Cmd
	link *link
	// ended is closed when it was waited for and all it said was heard.
	ended chan struct{}
}

// startChild starts one; heard is called for each message, by one goroutine.
func startChild(o Options, heard func(message)) (*child, error) {
	if err := keepDescriptors(); err != nil {
		o.Log.WithError(err).Debug("inherited descriptors may stay open in the supervisor")
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, pieces.WithKind(pieces.Unavailable, err, "supervisor")
	}
	defer theirs.Close()
	c := &child{link: ours, ended: make(chan struct{})}
	c.cmd = &exec.Cmd{
		Path: self, Args: o.Command, Dir: "/", Stdout: o.Stderr, Stderr: o.Stderr,
		ExtraFiles: []*os.File{theirs},
		// Out of reach of what is sent to the daemon's group or terminal.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := c.cmd.Start(); err != nil {
		ours.close()
		return nil, pieces.WithKind(pieces.Unavailable, err, "supervisor")
	}
	go c.watch(heard)
	return c, nil
}

// watch hears the child until it ends.
func (c *child) watch(heard func(message)) {
	defer close(c.ended)
	for {
		m, err := c.link.receive()
		if err != nil {
			break
		}
		heard(m)
	}
	_ = c.cmd.Process.Kill() // it has nothing more to say
	_ = c.cmd.Wait()         // how says it
	c.link.close()
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// how says how it ended.
func (c *child) how() string { return c.cmd.ProcessState.String() }

// kill ends it at once.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// leave lets it end by itself, having been told or seeing the link end, and
// after d kills it.
func (c *child) leave(d time.Duration) {
	_ = c.link.closeWrite()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
		c.kill()
		<-c.ended
	}
}
