package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// In 512 MiB a daemon serves 256 readers of as many files that nobody has: it is
// not killed, and every byte is right.
func TestColdReadersOfManyFilesInSmallMemory(t *testing.T) {
	const readers = 256
	w := newWorld(t, 3*time.Minute)
	group := w.memoryGroup(512 * miB)
	d := w.daemon("small", lab.DaemonOptions{Mount: true, Wrap: shell(group.Enter())})
	var all, adding errgroup.Group
	begin := make(chan struct{})
	adding.SetLimit(8)
	for i := range readers {
		f, url := w.serve(fmt.Sprintf("cold%d.bin", i), 1100*kiB+int64(i)*4099)
		adding.Go(func() error {
			path, err := d.Add(w.ctx, url)
			all.Go(func() error {
				<-begin
				return checkFile(f, path)
			})
			return err
		})
	}
	w.ok(adding.Wait())
	close(begin)
	w.ok(all.Wait())
	w.ok(d.Alive())
	t.Logf("%d MiB resident; the group's highest use: %d MiB", residentMiB(w, d.PID()), w.keptItsMemory(group))
}

// podScript runs in a pod: it binds the directory $1, reads file $2 below it whole
// and keeps it open; after each line of input it says what the open file gives,
// and reads all anew.
const podScript = `
set -e
mkdir -p "$3"
mount --rbind "$1" "$3"
cd "$3"
exec 4<"$2"
head -c 1048576 <&4 | sha256sum
while read -r line; do
  if head -c 1048576 <&4 >/dev/null 2>&1; then echo old ok; else echo old error; fi
  for i in $(seq 300); do
    if sha256sum <"$2" 2>/dev/null; then break; fi
    sleep 0.1
  done
done
`

// A program in a user namespace of its own, with a bind mount of the directory
// that the mount is in and 512 MiB, reads on through a restart of the daemon,
// after it opened the file again.
func TestPodReadsThroughARestart(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	h := w.host("h1")
	// Mounts made in it later are to be seen in the pod too.
	w.ok(unix.Mount(h.Dir, h.Dir, "", unix.MS_BIND, ""))
	w.ok(unix.Mount("", h.Dir, "", unix.MS_SHARED|unix.MS_REC, ""))
	t.Cleanup(func() { _ = unix.Unmount(h.Dir, unix.MNT_DETACH) })
	d, err := h.StartDaemon(w.ctx, lab.DaemonOptions{Mount: true})
	w.ok(err)
	f, url := w.serve("pod.bin", 24*miB+7)
	path := w.add(d, url)
	for _, dir := range []string{w.lab.Dir, h.Dir} {
		w.ok(os.Chmod(dir, 0o755))
	}

	group := w.memoryGroup(512 * miB)
	inside, err := filepath.Rel(h.Dir, path)
	w.ok(err)
	pod := exec.Command("sh", "-c", group.Enter()+` && exec unshare --user --map-root-user --mount --propagation slave sh -c "$0" pod "$@"`,
		podScript, h.Dir, inside, filepath.Join(w.TempDir(), "volume"))
	pod.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pod.Stderr = os.Stderr
	in, err := pod.StdinPipe()
	w.ok(err)
	out, err := pod.StdoutPipe()
	w.ok(err)
	w.ok(pod.Start())
	t.Cleanup(func() {
		_ = pod.Process.Kill()
		_ = pod.Wait()
	})
	lines := bufio.NewReader(out)
	line := func() string {
		s, err := lines.ReadString('\n')
		w.ok(err)
		return strings.TrimSpace(s)
	}
	first := f
	first.Size = miB
	require.Equal(t, first.SHA256()+"  -", line(), "the first MiB, before anything happened")
	again := func(what string) {
		_, err := io.WriteString(in, "go\n")
		w.ok(err)
		old := line()
		t.Logf("%s: what was open before: %s", what, old)
		require.Equal(t, f.SHA256()+"  -", line(), what)
	}
	again("no restart")
	w.ok(d.Kill())
	w.ok(d.Start(w.ctx))
	again("after kill -9")
	w.ok(d.Terminate(20 * time.Second))
	w.ok(d.Start(w.ctx))
	again("after SIGTERM")
	w.ok(in.Close())
	w.ok(pod.Wait())
}
