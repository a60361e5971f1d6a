// Package content makes test content out of nothing: every byte is a pure
// function of a seed, a file name and an offset. So a file of any size can be
// served, and any range of it checked, without keeping a copy. The bytes look
// random and don't compress; no two aligned 8-byte words of a file are likely
// to be equal, so a shifted or swapped piece never passes a check.
package content

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
)

// File is generated content. Files are values; all methods are safe for
// concurrent use.
type File struct {
	Name string
	// Size in bytes, ≥ 0.
	Size int64
	key  uint64
}

// New returns the file of that seed, name and size.
func New(seed uint64, name string, size int64) File {
	h := fnv.New64a()
	h.Write([]byte(name))
	return File{Name: name, Size: size, key: mix(seed ^ bits.RotateLeft64(h.Sum64(), 17))}
}

// mix is a bijective finaliser over 64 bits: multiply and shift rounds, so that
// neighbouring inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

func (f File) word(i int64) uint64 { return mix(f.key + uint64(i)*0x9e3779b97f4a7c15) }

// fill writes the bytes at off into p without regard to Size.
func (f File) fill(p []byte, off int64) {
	i := off / 8
	if skip := int(off % 8); skip != 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], f.word(i))
		p = p[copy(p, w[skip:]):]
		i++
	}
	for ; len(p) >= 8; p, i = p[8:], i+1 {
		binary.LittleEndian.PutUint64(p, f.word(i))
	}
	if len(p) > 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], f.word(i))
		copy(p, w[:])
	}
}

// ReadAt implements io.ReaderAt.
func (f File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("content %s: negative offset %d", f.Name, off)
	}
	n := int(min(int64(len(p)), max(0, f.Size-off)))
	f.fill(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Reader returns a new reader of the whole file.
func (f File) Reader() *io.SectionReader { return io.NewSectionReader(f, 0, f.Size) }

// SHA256 returns the lower-case hex digest of the whole file.
func (f File) SHA256() string {
	h := sha256.New()
	_, _ = io.CopyBuffer(struct{ io.Writer }{h}, f.Reader(), make([]byte, 1<<20)) // neither side can fail
	return hex.EncodeToString(h.Sum(nil))
}

// Check returns an error that names the first wrong byte unless got is exactly
// what stands at off.
func (f File) Check(got []byte, off int64) error {
	if off < 0 || off+int64(len(got)) > f.Size {
		return fmt.Errorf("content %s: bytes [%d, %d) are outside its %d bytes", f.Name, off, off+int64(len(got)), f.Size)
	}
	var want [64 << 10]byte
	for len(got) > 0 {
		n := min(len(got), len(want))
		f.fill(want[:n], off)
		if i := mismatch(got[:n], want[:n]); i >= 0 {
			return fmt.Errorf("content %s: byte %d is %#02x, want %#02x%s", f.Name, off+int64(i), got[i], want[i], f.hint(got[i:n]))
		}
		got, off = got[n:], off+int64(n)
	}
	return nil
}

// CheckReader reads r to its end and returns an error unless it held the bytes
// [off, off+n) and nothing more.
func (f File) CheckReader(r io.Reader, off, n int64) error {
	buf := make([]byte, 1<<20)
	for end := off + n; ; {
		k, err := r.Read(buf)
		if int64(k) > end-off {
			return fmt.Errorf("content %s: more than %d bytes", f.Name, n)
		}
		if cerr := f.Check(buf[:k], off); cerr != nil {
			return cerr
		}
		off += int64(k)
		switch {
		case err == io.EOF && off == end:
			return nil
		case err == io.EOF:
			return fmt.Errorf("content %s: ends at byte %d, want %d", f.Name, off, end)
		case err != nil:
			return fmt.Errorf("content %s at byte %d: %w", f.Name, off, err)
		}
	}
}

func mismatch(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// hint tells a hole from foreign bytes, the two usual ways to be wrong.
func (f File) hint(got []byte) string {
	for _, b := range got[:min(len(got), 512)] {
		if b != 0 {
			return ""
		}
	}
	return " (a hole: zeros follow)"
}
