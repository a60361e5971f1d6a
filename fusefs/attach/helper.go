package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// helperBinary finds the setuid mount helper, also when PATH is bare.
func helperBinary() (string, error) {
	for _, name := range []string{"fusermount3", "/usr/bin/fusermount3", "/bin/fusermount3"} {
		if bin, err := exec.LookPath(name); err == nil {
			return bin, nil
		}
	}
	return "", pieces.Errorf(pieces.Unavailable, "fusermount3 not found: install the package fuse3, or run as root")
}

// helperMount lets fusermount3 mount and receives the connection from it.
func helperMount(ctx context.Context, dir string, o Options) (fd int, err error) {
	bin, err := helperBinary()
	if err != nil {
		return -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "fusermount3 socket")
	defer theirs.Close()
	defer unix.Close(pair[0])

	opts := []string{"ro", "nosuid", "nodev", "default_permissions", "fsname=" + escape(o.Source), "subtype=" + escape(o.Subtype), fmt.Sprintf("max_read=%d", o.MaxRead)}
	if o.AllowOther {
		opts = append(opts, "allow_other")
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, bin, "-o", strings.Join(opts, ","), "--", dir)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return -1, helperError("mount on "+dir, err, stderr.String())
	}
	return receiveFD(pair[0])
}

// receiveFD takes the one descriptor that was sent over sock.
func receiveFD(sock int) (int, error) {
	var data [4]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, data[:], oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return -1, os.NewSyscallError("recvmsg", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, pieces.Errorf(pieces.Unavailable, "fusermount3 passed no descriptor")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, pieces.Errorf(pieces.Unavailable, "fusermount3 passed no descriptor")
	}
	return fds[0], nil
}

func helperUnmount(ctx context.Context, dir string, lazy bool) error {
	bin, err := helperBinary()
	if err != nil {
		return err
	}
	flags := "-u"
	if lazy {
		flags = "-uz"
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, bin, flags, "--", dir)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return helperError("unmount "+dir, err, stderr.String())
	}
	return nil
}

// helperError makes an error of what fusermount3 wrote.
func helperError(doing string, err error, stderr string) error {
	said := strings.TrimSpace(stderr)
	if said == "" {
		said = err.Error()
	}
	kind := pieces.Denied
	if errors.Is(err, context.DeadlineExceeded) {
		kind = pieces.Timeout
	} else if strings.Contains(said, "busy") {
		kind = pieces.Unavailable
	}
	return pieces.Errorf(kind, "%s: %s", doing, said)
}

// escape guards the characters that separate mount options.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s)
}
