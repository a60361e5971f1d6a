package pieces

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Sums of "abc", from the algorithms' own papers.
const (
	abcSHA256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	abcSHA512 = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
	abcBLAKE3 = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
)

func TestParseDigest(t *testing.T) {
	for _, s := range []string{"", abcSHA256, abcSHA512, abcBLAKE3} {
		d, err := ParseDigest(s)
		require.NoError(t, err)
		require.Equal(t, Digest(s), d)
		d, err = ParseDigest(" " + strings.ToUpper(s) + "\n")
		if s != "" {
			require.NoError(t, err)
			require.Equal(t, Digest(s), d)
		}
	}
	for _, s := range []string{
		" ", "sha256", "sha256:", ":", strings.TrimPrefix(abcSHA256, "sha256:"), "md5:900150983cd24fb0d6963f7d28e17f72", "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
		abcSHA256[:70], abcSHA256 + "0", strings.Replace(abcSHA256, "b", "g", 1), "sha512" + abcSHA256[6:], "sha256: " + abcSHA256[8:], abcSHA256 + ":" + abcSHA256,
	} {
		d, err := ParseDigest(s)
		require.Equal(t, Invalid, KindOf(err), "%q", s)
		require.Empty(t, d)
	}
}

func TestVerify(t *testing.T) {
	for _, s := range []string{abcSHA256, abcSHA512, abcBLAKE3} {
		d := Digest(s)
		h := d.Hash()
		_, _ = h.Write([]byte("ab"))
		err := d.Verify(h)
		require.Equal(t, Integrity, KindOf(err))
		require.True(t, IsPermanent(err))
		require.ErrorContains(t, err, s)
		_, _ = h.Write([]byte("c"))
		require.NoError(t, d.Verify(h))
	}
}

func TestSum(t *testing.T) {
	require.Equal(t, abcBLAKE3, SumOf([]byte("abc")).String())
	h := NewSumHash()
	_, _ = h.Write([]byte("abc"))
	require.Equal(t, SumOf([]byte("abc")), Sum(h.Sum(nil)))
	require.True(t, Sum{}.IsZero())
	require.False(t, SumOf(nil).IsZero())
	require.Equal(t, Extent{3, 5}, SumRun{First: 3, Sums: make([]Sum, 2)}.Extent())
}

func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{"", abcSHA256, strings.ToUpper(abcBLAKE3), "md5:0", "sha512:" + strings.Repeat("0", 128)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			require.Equal(t, Invalid, KindOf(err))
			return
		}
		again, err := ParseDigest(string(d))
		require.NoError(t, err)
		require.Equal(t, d, again)
		if d == "" {
			require.Empty(t, s)
			return
		}
		_, sum, _ := strings.Cut(string(d), ":")
		require.Len(t, sum, 2*d.Hash().Size())
		require.Error(t, d.Verify(d.Hash()), "nobody guesses the digest of nothing")
	})
}
