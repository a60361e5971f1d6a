package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/origin"

	"github.com/stretchr/testify/require"
)

// dumping runs a command so that SIGABRT makes the kernel write a core of it,
// unless the command itself sees to it that it does not.
var dumping = []string{"sh", "-c", `ulimit -c unlimited; GOTRACEBACK=crash exec "$@"`, "dumping"}

// A process that dies of a fault leaves no core: what it knew is in no file.
func TestNoCoreHoldsACredential(t *testing.T) {
	const marker = "mk3Hn6TyB1-secret-marker"
	w := newWorld(t, time.Minute)
	o := w.hostile()
	d := w.daemon("h1", lab.DaemonOptions{Mount: true, Wrap: dumping})
	header := []string{"-H", "Authorization: Bearer " + marker}
	f := o.Add("private.bin", 2<<20)
	w.ok(checkFile(f.Content(1), w.add(d, f.URL(), header...)))

	// The kernel does write cores here: of a process that lets it.
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	w.ok(err)
	visible := !strings.HasPrefix(string(pattern), "|")
	if visible {
		control, err := d.Host.Start("control", append(dumping, "sh", "-c", "SECRET="+marker+"; kill -ABRT $$")...)
		w.ok(err)
		<-control.Done()
		paths := coresOf(t, d.Host, strings.TrimSpace(string(pattern)))
		require.NotEmpty(t, paths, "no core is seen even where there is one")
		for _, path := range paths {
			w.ok(os.Remove(path))
		}
		w.ok(os.Remove(control.LogFile)) // it says how it was started
	} else {
		t.Log("cores go to a program: only limits are looked at")
	}

	slow := o.Add("slow.bin", 1)
	slow.Misbehave(origin.Every, origin.Mute)
	start := func(program string, args ...string) *lab.Proc {
		argv := append(append([]string(nil), dumping...), "env", "DAMSELFLY_SOCKET="+d.Socket, filepath.Join(bin, program))
		p, err := d.Host.Start(program, append(argv, args...)...)
		w.ok(err)
		w.ok(lab.Until(w.ctx, 20*time.Second, program+" to hold the credential", func() error {
			// It begins as another program.
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID())); err != nil || filepath.Base(exe) != program {
				return fmt.Errorf("it is %s: %v", exe, err)
			}
			return holds(p.PID(), marker)
		}))
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.PID()))
		w.ok(err)
		require.Regexp(t, `Max core file size +1 +1 `, string(limits), program)
		return p
	}
	abort := func(p *lab.Proc) {
		w.ok(p.Signal(syscall.SIGABRT))
		select {
		case <-p.Done():
		case <-w.ctx.Done():
			t.Fatalf("%s outlives SIGABRT", p.Name)
		}
		require.Equal(t, -1, p.ExitCode(), "%s was not ended by a signal, as one is that may leave a core", p.Name)
		text, err := os.ReadFile(p.LogFile)
		w.ok(err)
		require.Contains(t, string(text), "SIGABRT")
		// The lab's own first line, which is how it was started, goes.
		_, rest, _ := bytes.Cut(text, []byte("\n"))
		require.NotContains(t, string(rest), marker, "logged")
		w.ok(os.Remove(p.LogFile))
	}
	w.ok(holds(d.PID(), marker))
	abort(start("dfget", append([]string{slow.URL(), "-O", filepath.Join(d.Host.Dir, "out")}, header...)...))
	w.ok(d.Stop()) // who asks it now waits
	abort(start("dfmount", append([]string{"add", f.URL()}, header...)...))
	w.ok(d.Continue())
	abort(d.Proc)
	w.unmounted(d)

	if visible {
		require.Empty(t, coresOf(t, d.Host, strings.TrimSpace(string(pattern))))
	}
	w.nowhere(marker)
}

// coresOf lists what the kernel may have written of processes of h: in the
// directory of the pattern, which is their own unless it names one.
func coresOf(t *testing.T, h *lab.Host, pattern string) (paths []string) {
	t.Helper()
	dir, name := h.Dir, pattern
	if filepath.IsAbs(pattern) {
		dir, name = filepath.Split(pattern)
	}
	name, _, _ = strings.Cut(name, "%")
	paths, err := filepath.Glob(filepath.Join(dir, name+"*"))
	require.NoError(t, err)
	return paths
}

// holds returns an error unless the memory of a process has the text.
func holds(pid int, text string) error {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var may string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &may); err != nil || may != "rw-p" || strings.Contains(line, "[stack]") {
			continue // how it was started stands there
		}
		// Large maps of the heap are reserved, and mostly not there.
		b := make([]byte, min(to-from, 64<<20))
		if n, _ := mem.ReadAt(b, from); bytes.Contains(b[:n], []byte(text)) {
			return nil
		}
	}
	return errors.New("it is not in its memory")
}

// nowhere fails if the text is in any file of the lab.
func (w *world) nowhere(text string) {
	w.Helper()
	w.ok(filepath.WalkDir(w.lab.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(text)) {
			err = errors.New("the credential is in " + path)
		}
		return err
	}))
}
