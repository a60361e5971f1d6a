package pieces

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVersionIDs(t *testing.T) {
	seen := map[VersionID]Facts{}
	for _, size := range []int64{-1, 0, 1, 11, 1 << 40} {
		for kind := NoValidator; kind <= ContentSum; kind++ {
			for _, value := range []string{"", "1", "11", `"x"`, `W/"x"`} {
				f := Facts{Size: size, Validator: Validator{kind, value}}
				id := f.VersionID()
				require.NotContains(t, seen, id)
				seen[id] = f
				_, err := ParseVersionID(string(id))
				require.NoError(t, err)
				f.Ranges, f.Modified = true, time.Unix(1, 0)
				require.Equal(t, id, f.VersionID(), "only size and validator count")
			}
		}
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		size   int64
		public bool
		want   SizeScope
	}{
		{0, true, ScopeEmpty}, {0, false, ScopeEmpty},
		{1, true, ScopeTiny}, {TinySize, true, ScopeTiny}, {1, false, ScopeSmall}, {TinySize, false, ScopeSmall},
		{TinySize + 1, true, ScopeSmall}, {MinPieceSize, true, ScopeSmall}, {MinPieceSize + 1, true, ScopeNormal}, {1 << 40, false, ScopeNormal},
	} {
		require.Equal(t, c.want, ScopeOf(c.size, c.public), "%+v", c)
		if g, err := GeometryOf(c.size); c.want == ScopeSmall || c.want == ScopeTiny {
			require.NoError(t, err)
			require.Equal(t, 1, g.Count())
		}
	}
}

func TestParseIDs(t *testing.T) {
	const hex32 = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		s                   string
		task, version, host bool
	}{
		{hex32 + hex32, true, false, false},
		{hex32, false, true, true},
		{"", false, false, false},
		{hex32[:31], false, false, false},
		{hex32 + hex32 + "0", false, false, false},
		{hex32 + hex32[:31] + "g", false, false, false},
		{hex32[:31] + "A", false, false, false},
		{hex32[:30] + "é", false, false, false},
	} {
		task, err := ParseTaskID(c.s)
		check := func(want bool, got string, err error) {
			t.Helper()
			if want {
				require.NoError(t, err)
				require.Equal(t, c.s, got)
				return
			}
			require.Equal(t, Invalid, KindOf(err))
			require.Empty(t, got)
		}
		check(c.task, string(task), err)
		version, err := ParseVersionID(c.s)
		check(c.version, string(version), err)
		host, err := ParseHostID(c.s)
		check(c.host, string(host), err)
	}
	key, err := ParseKey(hex32+hex32, hex32)
	require.NoError(t, err)
	require.Equal(t, Key{hex32 + hex32, hex32}, key)
	require.Equal(t, "0123456789ab@0123456789ab", key.String())
	for _, bad := range [][2]string{{hex32, hex32}, {hex32 + hex32, ""}} {
		_, err := ParseKey(bad[0], bad[1])
		require.Equal(t, Invalid, KindOf(err))
	}
	require.Equal(t, "abc", TaskID("abc").Short())
	require.EqualValues(t, "ff000000000000000000000000000000", NewHostID([16]byte{0xff}))
}

func TestCommonLocation(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 0}, {"a", "a", 1}, {"a|b", "A|B|c", 2}, {"a|b", "b|a", 0}, {"a||c", "a||c", 3}, {"ab", "a", 0}, {"a|b|c", "a|x|c", 1},
	} {
		require.Equal(t, c.want, CommonLocation(c.a, c.b), "%+v", c)
		require.Equal(t, c.want, CommonLocation(c.b, c.a), "%+v", c)
	}
}
