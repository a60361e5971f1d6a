package pieces

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExtent(t *testing.T) {
	e := Extent{3, 6}
	require.Equal(t, 3, e.Len())
	require.Equal(t, []int{3, 4, 5}, slices.Collect(e.All()))
	require.True(t, e.Has(3) && e.Has(5) && !e.Has(6) && !e.Has(2))
	require.Equal(t, "[3,6)", e.String())
	require.Equal(t, Extent{4, 6}, e.Intersect(Extent{4, 9}))
	require.Equal(t, Extent{}, e.Intersect(Extent{6, 9}))
	require.Equal(t, Extent{}, e.Intersect(Extent{}))
	for _, none := range []Extent{{}, {5, 5}, {6, 3}} {
		require.True(t, none.Empty())
		require.Zero(t, none.Len())
		require.Empty(t, slices.Collect(none.All()))
		require.False(t, none.Has(5))
	}
	for range e.All() {
		break // a caller may stop
	}
}

// model is what a Set is meant to be.
type model map[int]bool

func (m model) runs(e Extent) (has, lacks []Extent) {
	for i := e.First; i < e.End; i++ {
		list := &lacks
		if m[i] {
			list = &has
		}
		if n := len(*list); n > 0 && (*list)[n-1].End == i {
			(*list)[n-1].End++
		} else {
			*list = append(*list, Extent{i, i + 1})
		}
	}
	return has, lacks
}

func (m model) next(i int, want bool) (int, bool) {
	for ; i <= modelMax; i++ {
		if m[i] == want {
			return i, true
		}
	}
	return 0, false
}

const modelMax = 300 // no test adds a piece that high

func requireSame(t *testing.T, m model, s *Set) {
	t.Helper()
	require.Equal(t, len(m), s.Count())
	has, _ := m.runs(Extent{0, modelMax})
	require.Equal(t, has, s.List())
	for _, i := range []int{-1, 0, 1, 62, 63, 64, 65, 127, 128, 129, 199, modelMax - 1} {
		require.Equal(t, m[i], s.Has(i))
		n, ok := m.next(max(i, 0), true)
		got, gotOK := s.Next(i)
		require.Equal(t, ok, gotOK)
		if ok {
			require.Equal(t, n, got)
		}
		n, _ = m.next(max(i, 0), false)
		require.Equal(t, n, s.NextMissing(i))
	}
}

// script plays bytes as operations on a Set and on its model.
func script(t *testing.T, ops []byte) {
	s, m := &Set{}, model{}
	for len(ops) >= 3 {
		op, a, b := ops[0]%10, int(ops[1]), int(ops[2])
		ops = ops[3:]
		e := Extent{a, a + b%70}
		inside, outside := m.runs(e)
		total := func(es []Extent) (n int) {
			for _, e := range es {
				n += e.Len()
			}
			return n
		}
		if e.End > modelMax-10 {
			e = Extent{a, a}
			inside, outside = nil, nil
		}
		switch op {
		case 0:
			require.Equal(t, !m[a], s.Add(a))
			m[a] = true
		case 1:
			require.Equal(t, m[a], s.Remove(a))
			delete(m, a)
		case 2, 3:
			require.Equal(t, total(outside), s.AddExtent(e))
			for i := range e.All() {
				m[i] = true
			}
		case 4:
			require.Equal(t, total(inside), s.RemoveExtent(e))
			for i := range e.All() {
				delete(m, i)
			}
		case 5:
			require.Equal(t, len(outside) == 0, s.HasExtent(e))
			require.Equal(t, outside, slices.Collect(s.Missing(e)))
		case 6, 7:
			o := SetOf(e, Extent{b, b + 3})
			if op == 6 {
				s.IntersectSet(o)
			} else {
				s.SubtractSet(o)
			}
			for i := range m {
				if o.Has(i) != (op == 6) {
					delete(m, i)
				}
			}
			require.Equal(t, SetOf(e, Extent{b, b + 3}).List(), o.List(), "the other stays as it is")
		case 8:
			c := s.Clone()
			s.AddExtent(Extent{0, 200})
			s.RemoveExtent(Extent{100, 150})
			s = c
		case 9:
			s = SetOf(s.List()...)
		}
		requireSame(t, m, s)
	}
}

func TestSetAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		ops := make([]byte, 120)
		for i := range ops {
			ops[i] = byte(r.UintN(256))
		}
		script(t, ops)
	}
}

func FuzzSet(f *testing.F) {
	f.Add([]byte{2, 10, 50, 4, 20, 5, 5, 0, 100})
	f.Add([]byte{2, 0, 64, 5, 0, 69, 1, 63, 0, 6, 60, 10})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 3000 {
			script(t, ops)
		}
	})
}

func TestSetStops(t *testing.T) {
	s := SetOf(Extent{0, 2}, Extent{5, 6}, Extent{9, 9})
	for range s.Extents() {
		break
	}
	for e := range s.Missing(Extent{0, 10}) {
		require.Equal(t, Extent{2, 5}, e)
		break
	}
	require.Equal(t, "[[0,2) [5,6)]", s.String())
	require.False(t, s.Remove(-1))
	require.False(t, s.Has(-1))
}

func BenchmarkSetExtents(b *testing.B) {
	s := &Set{}
	for i := 0; i < 16384; i += 2 {
		s.Add(i)
	}
	for b.Loop() {
		for range s.Extents() {
		}
	}
}
