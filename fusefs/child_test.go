package fusefs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// children are the commands of the test binary in child mode.
var children = map[string]func(args []string) error{
	"mmap":  childMmap,
	"own":   childOwn,
	"read":  childRead,
	"serve": childServe,
	"user":  childUser,
}

// childMmap prints the digest of a file as seen through a mapping, pages
// touched backwards.
func childMmap(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	b, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	var sum byte
	for i := len(b) - 1; i >= 0; i -= 4096 {
		sum += b[i]
	}
	fmt.Printf("%x %d\n", sha256.Sum256(b), sum)
	return nil
}

// childRead PATH SIZE FLAGS says its thread, then does one pread(2) at 0 and
// says how it went.
func childRead(args []string) error {
	size, _ := strconv.Atoi(args[1])
	flags, _ := strconv.Atoi(args[2])
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT) // not its end
	runtime.LockOSThread()
	fd, err := unix.Open(args[0], unix.O_RDONLY|flags, 0)
	if err != nil {
		return err
	}
	buf := aligned(size)
	fmt.Println(unix.Gettid())
	n, _, errno := unix.Syscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(size), 0, 0, 0)
	if errno != 0 {
		fmt.Println(unix.ErrnoName(errno))
		return nil
	}
	fmt.Printf("%d %x\n", n, sha256.Sum256(buf[:n]))
	return nil
}

// servedTasks is what childServe mounts.
func servedTasks() *fake {
	b := newFake()
	b.add("complete", 1<<20)
	b.add("silent", 4096).read = func(ctx context.Context, _ []byte, _ int64) (int, error) {
		fmt.Println("reading")
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return b
}

// childServe DIR is a daemon, until it is killed.
func childServe(args []string) error {
	b := servedTasks()
	f, err := os.CreateTemp("", "content")
	if err != nil {
		return err
	}
	defer f.Close()
	a := b.tasks[taskID("complete")]
	if _, err := f.Write(a.content); err != nil {
		return err
	}
	// By descriptor, so that nothing stays behind.
	a.complete = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	m, err := New(context.Background(), Options{Dir: args[0], Backend: b})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	return m.Wait()
}

// childOwn DIR serves a mount with one processor, and reads a file in it as Go
// programs do.
func childOwn(args []string) error {
	runtime.GOMAXPROCS(1)
	b := newFake()
	task := b.add("file", 100_000)
	m, err := New(context.Background(), Options{Dir: args[0], Backend: b})
	if err != nil {
		return err
	}
	got, err := os.ReadFile(m.path(task))
	if err != nil {
		return err
	}
	fmt.Println(bytes.Equal(got, task.content))
	return m.Unmount(context.Background(), false)
}

// aligned returns a buffer fit for O_DIRECT.
func aligned(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(err)
	}
	return b
}

// signalThread sends sig to one thread of a process.
func signalThread(pid, tid int, sig syscall.Signal) error { return unix.Tgkill(pid, tid, sig) }

// childUser DIR mounts, reads and unmounts as an ordinary user.
func childUser(args []string) error {
	b := newFake()
	a := b.add("a", 1<<20)
	m, err := New(context.Background(), Options{Dir: args[0], Backend: b})
	if err != nil {
		return err
	}
	if err := preadErr(m.path(a), 1<<20, 0); err != nil {
		return err
	}
	on, why := m.Passthrough()
	fmt.Println(on, why)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := m.Unmount(ctx, true); err != nil {
		return err
	}
	return m.Wait()
}
