package fusefs

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// Access is one request that a mount answered: a line of .df/accesslog. The
// format is told in docs/formats.md.
type Access struct {
	// At is when the answer went out, Took how long it took to make.
	At   time.Time
	Took time.Duration
	// Op is lookup, getattr, readlink, open, read, release, getxattr or readdir.
	Op string
	// Task is empty for what is no Task: the root, by-name, a name that leads
	// nowhere. A request about a name of by-name has the Task it leads to.
	Task pieces.TaskID
	// Off and Size are what a read asked for; Size is the file's on an open, the
	// length of its target on a readlink.
	Off, Size int64
	// Hit is where the bytes of a read came from, the farthest place.
	Hit   pieces.Hit
	Errno syscall.Errno
	// PID is who asked; 0 if the kernel did for itself, as it reads ahead.
	PID uint32
}

// noErrno stands for success, noTask for no Task.
const (
	noErrno = "OK"
	noTask  = "-"
)

// accessTime is RFC 3339 in UTC with microseconds.
const accessTime = "2006-01-02T15:04:05.000000Z"

// AppendText appends the line of a, with its newline.
func (a Access) AppendText(b []byte) ([]byte, error) {
	b = a.At.UTC().AppendFormat(b, accessTime)
	b = append(append(b, ' '), a.Op...)
	task, errno := string(a.Task), noErrno
	if task == "" {
		task = noTask
	}
	if a.Errno != 0 {
		if errno = unix.ErrnoName(a.Errno); errno == "" {
			errno = strconv.Itoa(int(a.Errno))
		}
	}
	b = append(append(b, ' '), task...)
	b = strconv.AppendInt(append(b, ' '), a.Off, 10)
	b = strconv.AppendInt(append(b, ' '), a.Size, 10)
	b = strconv.AppendInt(append(b, ' '), a.Took.Microseconds(), 10)
	b = append(append(b, ' '), a.Hit.String()...)
	b = append(append(b, ' '), errno...)
	b = strconv.AppendUint(append(b, ' '), uint64(a.PID), 10)
	return append(b, '\n'), nil
}

// droppedMark begins a line that says how many requests are missing.
const droppedMark = "# dropped "

// ParseAccess reads one line of .df/accesslog. A line of what is missing gives
// dropped > 0 and no Access. Fields that a later version adds are ignored.
func ParseAccess(line string) (a Access, dropped int64, err error) {
	bad := func() (Access, int64, error) {
		return Access{}, 0, pieces.Errorf(pieces.Invalid, "not a line of an access log: %.100q", line)
	}
	if n, ok := strings.CutPrefix(line, droppedMark); ok {
		if dropped, err = strconv.ParseInt(strings.TrimSpace(n), 10, 64); err != nil || dropped <= 0 {
			return bad()
		}
		return Access{}, dropped, nil
	}
	f := strings.Fields(line)
	if len(f) < 9 {
		return bad()
	}
	var took int64
	if a.At, err = time.Parse(accessTime, f[0]); err != nil {
		return bad()
	}
	if _, err = fmt.Sscan(strings.Join([]string{f[3], f[4], f[5], f[8]}, " "), &a.Off, &a.Size, &took, &a.PID); err != nil {
		return bad()
	}
	a.Op, a.Took = f[1], time.Duration(took)*time.Microsecond
	if f[2] != noTask {
		if a.Task, err = pieces.ParseTaskID(f[2]); err != nil {
			return bad()
		}
	}
	var ok bool
	if a.Hit, ok = parseHit(f[6]); !ok {
		return bad()
	}
	if a.Errno, ok = parseErrno(f[7]); !ok {
		return bad()
	}
	return a, 0, nil
}

func parseHit(s string) (pieces.Hit, bool) {
	for h := pieces.HitNone; h < pieces.Hits; h++ {
		if h.String() == s {
			return h, true
		}
	}
	return 0, false
}

func parseErrno(s string) (syscall.Errno, bool) {
	if s == noErrno {
		return 0, true
	}
	for e := syscall.Errno(1); e < 4096; e++ {
		if unix.ErrnoName(e) == s {
			return e, true
		}
	}
	n, err := strconv.Atoi(s)
	return syscall.Errno(n), err == nil && n > 0
}
