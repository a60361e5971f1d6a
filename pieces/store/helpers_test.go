package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

const (
	host1 = pieces.HostID("11111111111111111111111111111111")
	host2 = pieces.HostID("22222222222222222222222222222222")
)

// content is a Version with its bytes, made from a seed.
type content struct {
	key   pieces.Key
	facts pieces.Facts
	geo   pieces.Geometry
	data  []byte
}

// makeContent names a Task by number; seed makes both bytes and Version.
func makeContent(t testing.TB, task int, seed uint64, size int) content {
	t.Helper()
	c := content{
		facts: pieces.Facts{Size: int64(size), Validator: pieces.Validator{Kind: pieces.StrongETag, Value: fmt.Sprint(seed)}, Ranges: true},
		data:  make([]byte, size),
	}
	c.key = pieces.Key{Task: pieces.TaskID(fmt.Sprintf("%064x", task)), Version: c.facts.VersionID()}
	var err error
	c.geo, err = c.facts.Geometry()
	require.NoError(t, err)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(task)})
	_, err = io.ReadFull(r, c.data)
	require.NoError(t, err)
	return c
}

func (c content) piece(i int) []byte {
	off := c.geo.Offset(i)
	return c.data[off : off+c.geo.Len(i)]
}

func (c content) put(t testing.TB, v *Version, is ...int) {
	t.Helper()
	for _, i := range is {
		require.NoError(t, v.Put(t.Context(), i, c.piece(i), pieces.SumOf(c.piece(i)), host1))
	}
}

func (c content) putAll(t testing.TB, v *Version) {
	t.Helper()
	for i := range c.geo.All().All() {
		c.put(t, v, i)
	}
}

// requirePieces reads pieces and compares them.
func (c content) requirePieces(t testing.TB, v *Version, is ...int) {
	t.Helper()
	for _, i := range is {
		p := make([]byte, c.geo.Len(i))
		n, err := v.ReadAt(p, c.geo.Offset(i))
		require.NoError(t, err)
		require.Equal(t, len(p), n)
		require.True(t, bytes.Equal(c.piece(i), p), "piece %d differs", i)
	}
}

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Reserve == 0 {
		o.Reserve = -1
	}
	s, err := Open(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func openVersion(t testing.TB, s *Store, c content) *Version {
	t.Helper()
	v, err := s.OpenVersion(c.key, c.facts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

// evictions records calls of BeforeEvict.
type evictions struct {
	mu  sync.Mutex
	all []eviction
}

type eviction struct {
	key   pieces.Key
	lost  []pieces.Extent
	whole bool
}

func (e *evictions) add(key pieces.Key, lost []pieces.Extent, whole bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, eviction{key, lost, whole})
}

func (e *evictions) list() []eviction {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]eviction(nil), e.all...)
}

// clock is a time that moves a second with every look, so that access times
// tell the order of accesses.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.IsZero() {
		c.now = time.Unix(1_700_000_000, 0)
	}
	c.now = c.now.Add(time.Second)
	return c.now
}
