package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"damselfly/cmd/internal/e2e/content"

	"golang.org/x/sys/unix"
)

// readerEnv makes this test binary a reader: a process of its own, which can
// be killed and looked at in /proc.
const readerEnv = "DAMSELFLY_E2E_READER"

// How a reader reads.
const (
	buffered    = "buffered"
	direct      = "direct" // O_DIRECT
	mapped      = "mmap"
	passthrough = "passthrough" // buffered, and the file must be opened so
)

const (
	readSize  = 64 * kiB
	readPause = 60 * time.Millisecond // between reads, so that waits are told apart
)

// playReader MODE PATH NAME SIZE reads at random offsets for ever and says of
// each read how it went and how many ms it took: "ok MS" or "err ERRNO MS".
// After an error it opens the file again. It begins with "tid N", its one
// thread, and ends by itself only if a byte is wrong.
func playReader(args []string) int {
	size, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return 2
	}
	runtime.LockOSThread()
	debug.SetPanicOnFault(true)
	// Some are sent these; the count says that they arrived.
	alarms := make(chan os.Signal, 1)
	signal.Notify(alarms, unix.SIGALRM)
	go func() {
		for n := 1; ; n++ {
			<-alarms
			if n%10 == 0 {
				fmt.Println("alarms", n)
			}
		}
	}()
	r := reader{mode: args[0], path: args[1], f: content.New(seed, args[2], size), buf: alignedBuffer(readSize)}
	fmt.Println("tid", unix.Gettid())
	for {
		began := time.Now()
		err := r.read()
		took := time.Since(began).Milliseconds()
		var errno unix.Errno
		switch {
		case err == nil:
			fmt.Println("ok", took)
		case errors.As(err, &errno):
			fmt.Println("err", unix.ErrnoName(errno), took)
			r.close()
		default:
			fmt.Println("wrong", err)
			return 1
		}
		time.Sleep(readPause)
	}
}

type reader struct {
	mode, path string
	f          content.File
	buf        []byte
	fd         int // 0 = not open
	mem        []byte
}

// alignedBuffer returns a buffer fit for O_DIRECT.
func alignedBuffer(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(err)
	}
	return b
}

// read reads and checks one range that the kernel has no pages of.
func (r *reader) read() error {
	if r.fd == 0 {
		if err := r.open(); err != nil {
			return err
		}
	}
	span := r.f.Size
	if r.mode != passthrough {
		span = span / 4 * 3 // so that the file is never complete, nor opened in passthrough
	}
	off := rand.Int64N(max(1, span/readSize)) * readSize
	n := int(min(readSize, r.f.Size-off))
	var err error
	if r.mode == mapped {
		err = r.touch(off, n)
	} else {
		err = r.pread(off, n)
	}
	if err != nil {
		return err
	}
	_ = unix.Fadvise(r.fd, off, int64(n), unix.FADV_DONTNEED)
	return r.f.Check(r.buf[:n], off)
}

func (r *reader) open() error {
	flags := unix.O_RDONLY | unix.O_CLOEXEC
	if r.mode == direct {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(r.path, flags, 0)
	if err != nil {
		return err
	}
	r.fd = fd
	// A read is to cost what it asks for.
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM)
	if r.mode == mapped {
		if r.mem, err = unix.Mmap(fd, 0, int(r.f.Size), unix.PROT_READ, unix.MAP_SHARED); err == nil {
			err = unix.Madvise(r.mem, unix.MADV_RANDOM)
		}
	}
	if r.mode == passthrough {
		var mode [32]byte
		n, xerr := unix.Getxattr(r.path, "user.df.mode", mode[:])
		if err = xerr; err == nil && string(mode[:n]) != passthrough {
			return fmt.Errorf("opened in mode %q", mode[:n])
		}
	}
	return err
}

func (r *reader) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
	}
	if r.fd != 0 {
		_ = unix.Close(r.fd)
	}
	r.fd, r.mem = 0, nil
}

// pread takes one system call per piece of the answer: EINTR is not hidden.
func (r *reader) pread(off int64, n int) error {
	for got := 0; got < n; {
		k, _, errno := unix.Syscall6(unix.SYS_PREAD64, uintptr(r.fd), uintptr(unsafe.Pointer(&r.buf[got])), uintptr(n-got), uintptr(off)+uintptr(got), 0, 0)
		if errno != 0 {
			return errno
		}
		if k == 0 {
			return fmt.Errorf("the file ends at %d", off+int64(got))
		}
		got += int(k)
	}
	return nil
}

// touch copies out of the mapping. A page that can't be had is SIGBUS.
func (r *reader) touch(off int64, n int) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v: %w", v, syscall.EFAULT)
		}
	}()
	copy(r.buf[:n], r.mem[off:])
	return unix.Madvise(r.mem[off:off+int64(n)], unix.MADV_DONTNEED)
}
