package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store/pgtest"
	"damselfly/pieces"
)

// One batch of a second: 2,000 of 10,000 hosts said nothing new.
func BenchmarkBeat(b *testing.B) {
	for kind, name := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + filepath.Join(b.TempDir(), "m.db") },
		"postgres": func() string { return pgtest.New(b) },
	} {
		b.Run(kind, func(b *testing.B) {
			s, err := Open(b.Context(), name())
			require.NoError(b, err)
			defer s.Close()
			hosts := make([]Host, 10_000)
			for i := range hosts {
				hosts[i] = Host{Cluster: "default", Host: seed(0), Seen: now}
				hosts[i].Host.ID = pieces.NewHostID([16]byte{byte(i), byte(i >> 8)})
			}
			at := time.Now()
			require.NoError(b, s.Beat(b.Context(), nil, hosts, nil))
			b.Logf("%d registered in %s", len(hosts), time.Since(at))
			for b.Loop() {
				for i := range hosts {
					hosts[i].Seen = hosts[i].Seen.Add(time.Second)
				}
				require.NoError(b, s.Beat(b.Context(), nil, nil, hosts[:2000]))
			}
		})
	}
}
