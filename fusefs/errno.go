package fusefs

import (
	"syscall"

	"damselfly/pieces"
)

// errnos is what a program sees for an error of each kind. Whatever a program
// can't act on is EIO: a Task that is unknown because a manager can't be
// reached must not look like one that does not exist.
var errnos = map[pieces.Kind]syscall.Errno{
	pieces.Internal:        syscall.EIO,
	pieces.Invalid:         syscall.EIO,
	pieces.NotFound:        syscall.ENOENT,
	pieces.Denied:          syscall.EACCES,
	pieces.Changed:         syscall.ESTALE,
	pieces.Timeout:         syscall.ETIMEDOUT,
	pieces.Canceled:        syscall.EIO, // EINTR only for who was interrupted: see op.errno
	pieces.Unavailable:     syscall.EIO,
	pieces.Throttled:       syscall.EIO,
	pieces.Integrity:       syscall.EIO,
	pieces.Origin:          syscall.EIO,
	pieces.Full:            syscall.EIO,
	pieces.Exists:          syscall.EIO,
	pieces.Unauthenticated: syscall.EACCES,
}

// errnoOf returns 0 for nil.
func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := errnos[pieces.KindOf(err)]; ok {
		return e
	}
	return syscall.EIO
}
