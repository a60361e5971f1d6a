package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

// run executes a short command; its output becomes part of the error.
func run(ctx context.Context, argv ...string) error {
	_, err := runInput(ctx, "", argv...)
	return err
}

func runInput(ctx context.Context, stdin string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(diag.String()))
	}
	return out.String(), nil
}

// ip runs ip(8) commands in a namespace of the lab, all in one process.
func (l *Lab) ip(ctx context.Context, host string, commands ...string) error {
	_, err := runInput(ctx, strings.Join(commands, "\n")+"\n", "ip", "-n", l.netns(host), "-batch", "-")
	return err
}

// namespaces returns the names of network namespaces that begin with prefix.
func namespaces(prefix string) []string {
	paths, _ := filepath.Glob(filepath.Join(netnsDir, prefix+"*")) // only a bad pattern errs
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}

// pidsInNamespaces returns the processes, our own aside, whose network
// namespace is one of those that begin with prefix.
func pidsInNamespaces(prefix string) []int {
	inside := map[uint64]bool{}
	for _, ns := range namespaces(prefix) {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(netnsDir, ns), &st) == nil {
			inside[st.Ino] = true
		}
	}
	if len(inside) == 0 {
		return nil
	}
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+e.Name()+"/ns/net", &st) == nil && inside[st.Ino] {
			pids = append(pids, pid)
		}
	}
	return pids
}

func killPID(pid int) error { return unix.Kill(pid, unix.SIGKILL) }

// mounted is a mount point and its device, "major:minor".
type mounted struct{ path, device string }

// mountsBelow returns what is mounted at or below dir, as /proc lists it:
// parents before children.
func mountsBelow(dir string) ([]mounted, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []mounted
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if p := unescapeMount.Replace(fields[4]); p == dir || strings.HasPrefix(p, dir+"/") {
			found = append(found, mounted{p, fields[2]})
		}
	}
	return found, nil
}

// Mounted reports whether something is mounted exactly at dir.
func Mounted(dir string) bool {
	mounts, err := mountsBelow(dir)
	return err == nil && len(mounts) > 0 && mounts[0].path == dir
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Until calls ok every 20 ms until it returns nil, and at most for d: then it
// returns the last error, saying what was waited for.
func Until(ctx context.Context, d time.Duration, what string, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waited %s for %s: %w", d, what, err)
		}
		var fatal fatalError
		if errors.As(err, &fatal) {
			return fmt.Errorf("%s: %w", what, err)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// fatalError ends an Until early: waiting longer won't help.
type fatalError struct{ error }
