package engine

import (
	"context"
	"errors"
	"io"
	"os"

	"damselfly/daemon/source"
	"damselfly/pieces"
	"damselfly/pieces/store"
)

// Spooled is content that had to be read whole before its Version could be
// named: its origin gives no validator, or no length.
type Spooled struct {
	Facts pieces.Facts
	file  *os.File
}

// Close gives the spooled bytes up.
func (s *Spooled) Close() error { return s.file.Close() }

// Spool reads the whole content of t into an unnamed file in dir. The Version
// it describes is the digest of what was read.
// It is Full as soon as room says that the disk must take no more: an origin
// that names no length may never end.
func Spool(ctx context.Context, origin source.Origin, t *pieces.Task, dir string, room func() bool) (*Spooled, error) {
	f, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, pieces.WithKind(pieces.Full, err, "making a spool file")
	}
	s := &Spooled{file: f}
	if err := errors.Join(os.Remove(f.Name()), s.fill(ctx, origin, t, room)); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// roomStep is how many bytes are written between two looks at the disk.
const roomStep = 8 << 20

// guarded writes to a file while there is room.
type guarded struct {
	f    *os.File
	room func() bool
	left int64 // bytes until the next look
}

func (g *guarded) Write(p []byte) (int, error) {
	if g.left -= int64(len(p)); g.left < 0 {
		if g.left = roomStep; !g.room() {
			return 0, pieces.Errorf(pieces.Full, "no room on disk for content that has to be read whole")
		}
	}
	return g.f.Write(p)
}

func (s *Spooled) fill(ctx context.Context, origin source.Origin, t *pieces.Task, room func() bool) error {
	body, st, err := origin.ReadAll(ctx, t)
	if err != nil {
		return err
	}
	defer body.Close()
	h := pieces.NewSumHash()
	n, err := io.Copy(io.MultiWriter(&guarded{f: s.file, room: room}, h), io.LimitReader(body, pieces.MaxSize+1))
	if err != nil {
		return err
	}
	if n > pieces.MaxSize {
		return pieces.Errorf(pieces.Origin, "content is larger than %d bytes", int64(pieces.MaxSize))
	}
	var sum pieces.Sum
	h.Sum(sum[:0])
	s.Facts = pieces.Facts{Size: n, Validator: source.SumValidator(sum), Modified: st.Facts.Modified}
	return nil
}

// HasRoom reports whether the disk of s has more than its reserve.
func HasRoom(s *store.Store) func() bool {
	return func() bool {
		u := s.Usage()
		return u.DiskFree < 0 || u.DiskFree > u.Reserve
	}
}

// Take delivers the pieces of s that are missing here; s must be of c's
// Version.
func (c *Content) Take(ctx context.Context, s *Spooled) error {
	return c.take(ctx, s, report{sum: true})
}

func (c *Content) take(ctx context.Context, s *Spooled, rep report) error {
	held := c.Held()
	for i := range c.geo.All().All() {
		if held.Has(i) {
			continue
		}
		b, err := c.e.memory.get(ctx, int(c.geo.Len(i)))
		if err != nil {
			return err
		}
		if _, err := s.file.ReadAt(b.data, c.geo.Offset(i)); err != nil {
			b.release()
			return pieces.WithKind(pieces.Internal, err, "reading the spool file")
		}
		c.deliver(i, b, pieces.SumOf(b.data), pieces.HitOrigin, rep)
	}
	return nil
}

// TakeWhole delivers content of one piece that was read with its facts.
func (c *Content) TakeWhole(ctx context.Context, data []byte) error {
	if int64(len(data)) != c.geo.Size || c.geo.Count() != 1 {
		return nil
	}
	if c.Held().Has(0) {
		return nil
	}
	b, err := c.e.memory.get(ctx, len(data))
	if err != nil {
		return err
	}
	copy(b.data, data)
	c.deliver(0, b, pieces.SumOf(b.data), pieces.HitOrigin, report{sum: true})
	return nil
}

// readAgain reads content whose Version is its digest once more.
func (c *Content) readAgain(ctx context.Context, t *pieces.Task, o *originRead) error {
	s, err := Spool(ctx, c.e.o.Origin, t, c.e.o.SpoolDir, HasRoom(c.e.o.Store))
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Facts.VersionID() != c.key.Version {
		c.e.o.Replaced(c.key.Task, s.Facts)
		return pieces.Errorf(pieces.Changed, "%v was replaced at its origin", c.key)
	}
	return c.take(ctx, s, report{lease: o.lease, sum: true})
}
