package boot

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]Bytes{
		"0": 0, "17": 17, "17B": 17, "1k": 1024, "1KiB": 1024, "1kB": 1000, "50GiB": 50 << 30,
		"1.5 MiB": 3 << 19, " 2t ": 2 << 40, "1GB": 1e9,
	} {
		got, err := ParseBytes(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "-1", "x", "1XiB", "1e9", "0x10", "GiB", "99999999TiB", "1Mbit", "1/s", "1.2.3"} {
		_, err := ParseBytes(in)
		require.Error(t, err, in)
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{"0": 0, "10MiB/s": 10 << 20, "100Mbit": 12_500_000, "1gbit/s": 125_000_000, "9kB": 9000} {
		got, err := ParseRate(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	_, err := ParseRate("fast")
	require.Error(t, err)
}

func TestAmountsRoundTrip(t *testing.T) {
	for _, b := range []Bytes{0, 1, 1023, 1024, 1 << 20, 3 << 29, 50 << 30, 1<<40 + 1} {
		got, err := ParseBytes(b.String())
		require.NoError(t, err)
		require.Equal(t, b, got)
	}
}

func TestFormatBytes(t *testing.T) {
	for in, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 256 << 20: "256 MiB", 5 << 40: "5 TiB"} {
		require.Equal(t, want, FormatBytes(in))
	}
}
