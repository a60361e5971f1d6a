package fusefs

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pollName is a file that go-fuse itself answers for, whatever is mounted.
const pollName = ".go-fuse-epoll-hack"

// refusePoll has the kernel ask this server once whether its files can be
// polled, and learn that they never can. An os.Open of a regular file asks that
// by a system call that Go's scheduler does not see: in the serving process it
// would keep a processor from those who are to answer, and with the next
// collection of garbage all of them wait for ever.
func (m *Mount) refusePoll() error {
	fd, err := unix.Open(filepath.Join(m.Dir(), pollName), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) // one the scheduler sees
	return err
}
