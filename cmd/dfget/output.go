package main

import (
	"context"
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
	// sum runs over what Write got; bytes that CopyFile got were verified by
	// the daemon.
	sum    hash.Hash
	copied bool
	// plain: bytes are copied by reading and writing them.
	plain   bool
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

// copyChunk is how many bytes are copied between two looks at the context.
const copyChunk = 16 << 20

// CopyFile implements control.Sink: it shares f's blocks where the file system
// can, else has the kernel copy, else copies.
func (o *output) CopyFile(ctx context.Context, f *os.File, off, n int64) error {
	o.copied = true
	if off == 0 && o.reflink(f, n) {
		o.written = n
		return nil
	}
	copySome := o.kernelCopy
	for o.written < n {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := copySome(f, off+o.written, min(copyChunk, n-o.written))
		o.written += got
		switch {
		case got == 0 && !o.plain:
			o.plain = true // the kernel can't between these two files
			copySome = o.plainCopy
		case err != nil:
			return outputError(o.path, err)
		case got == 0:
			return pieces.Errorf(pieces.Internal, "content file ends at byte %d of %d", o.written, n)
		}
	}
	return nil
}

// reflink makes the whole output share f's blocks, if f has n bytes.
func (o *output) reflink(f *os.File, n int64) bool {
	st, err := f.Stat()
	return err == nil && st.Size() == n && n > 0 && o.temporary != "" &&
		unix.IoctlFileClone(int(o.file.Fd()), int(f.Fd())) == nil
}

func (o *output) kernelCopy(f *os.File, off, n int64) (int64, error) {
	got, err := unix.CopyFileRange(int(f.Fd()), &off, int(o.file.Fd()), nil, int(n), 0)
	return int64(max(got, 0)), err
}

func (o *output) plainCopy(f *os.File, off, n int64) (int64, error) {
	return io.Copy(o.file, io.NewSectionReader(f, off, n))
}

// restart drops what was written so far.
func (o *output) restart() error {
	if o.written == 0 {
		return nil
	}
	if o.temporary == "" {
		return pieces.Errorf(pieces.Unavailable, "-O %s: the daemon went away after %d bytes, which can't be taken back", o.path, o.written)
	}
	if o.written, o.copied = 0, false; o.digest != "" {
		o.sum = o.digest.Hash()
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
