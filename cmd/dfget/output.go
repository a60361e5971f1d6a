package main

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// output is where a download goes. A regular file is written under another
// name in the same directory and appears under its own when it is complete;
// anything else (a pipe, a device, standard output) is written as it comes.
type output struct {
	path string
	// temporary is the name it is written under; empty if written in place.
	temporary string
	file      *os.File
	digest    pieces.Digest
	// sum runs over what Write got; bytes that were copied from a file were
	// verified by the daemon.
	sum     hash.Hash
	copied  bool
	how     way
	written int64
}

// openOutput prepares to write path; "-" is standard output. A pinned digest
// is verified before the file appears.
func openOutput(path string, digest pieces.Digest) (*output, error) {
	o := &output{path: path, digest: digest}
	if digest != "" {
		o.sum = digest.Hash()
	}
	if path == "-" {
		o.file = os.Stdout
		return o, nil
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		o.path = real
	}
	st, err := os.Stat(o.path)
	switch {
	case err == nil && st.IsDir():
		return nil, pieces.Errorf(pieces.Invalid, "-O %s: is a directory; name a file in it", path)
	case err == nil && !st.Mode().IsRegular():
		if o.file, err = os.OpenFile(o.path, os.O_WRONLY, 0); err != nil {
			return nil, outputError(path, err)
		}
		return o, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, outputError(path, err)
	}
	dir, base := filepath.Split(o.path)
	o.temporary = filepath.Join(dir, fmt.Sprintf(".%.200s.dfget-%08x", base, rand.Uint32()))
	o.file, err = os.OpenFile(o.temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, pieces.Errorf(pieces.Invalid, "-O %s: there is no such directory; make it first", path)
	}
	if err == nil && st != nil {
		err = o.file.Chmod(st.Mode().Perm()) // keep that of the file it replaces
	}
	if err != nil {
		o.abandon()
		return nil, outputError(path, err)
	}
	return o, nil
}

func outputError(path string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return pieces.Errorf(pieces.Full, "-O %s: %w", path, err)
	}
	return pieces.Errorf(pieces.KindOf(err), "-O %s: %w", path, err)
}

func (o *output) name() string { return o.path }

// Write implements control.Sink.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	o.written += int64(n)
	if o.sum != nil {
		o.sum.Write(p[:n])
	}
	return n, outputError(o.path, err)
}

// Restart drops what was written and copied so far.
func (o *output) Restart() error {
	if o.temporary == "" && o.written > 0 {
		return pieces.Errorf(pieces.Unavailable, "-O %s: the daemon went away after %d bytes, which can't be taken back", o.path, o.written)
	}
	if o.written, o.copied = 0, false; o.digest != "" {
		o.sum = o.digest.Hash()
	}
	if o.temporary == "" {
		return nil
	}
	if _, err := o.file.Seek(0, io.SeekStart); err != nil {
		return outputError(o.path, err)
	}
	return outputError(o.path, o.file.Truncate(0))
}

// commit verifies the digest and gives the file its name.
func (o *output) commit() error {
	if o.digest != "" && !o.copied {
		if err := o.digest.Verify(o.sum); err != nil {
			return err
		}
	}
	if o.temporary == "" {
		return nil
	}
	if err := o.file.Close(); err != nil {
		return outputError(o.path, err)
	}
	if err := os.Rename(o.temporary, o.path); err != nil {
		return outputError(o.path, err)
	}
	o.temporary = ""
	return nil
}

// abandon removes what was not committed. It may be called after commit.
func (o *output) abandon() {
	if o.temporary != "" {
		if o.file != nil {
			o.file.Close()
		}
		os.Remove(o.temporary)
		o.temporary = ""
	}
}
