package scheduler

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// BenchmarkRegisterPeerTask is a registration with four parents but for its
// transport: from the request's bytes to the reply's. Every peer registers
// again and again. cpu-ns/op is processor time, garbage collection included: on
// a busy machine it says more than the clock.
func BenchmarkRegisterPeerTask(b *testing.B) {
	for _, tasks := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) {
			const hosts, each = 100, 8
			s, err := New(Options{Advertise: "127.0.0.1:1", Registry: prometheus.NewRegistry()})
			require.NoError(b, err)
			requests := make([][]byte, 0, tasks*each)
			for i := range hosts {
				h := pieces.Host{ID: pieces.NewHostID([16]byte{byte(i), 7}), Hostname: fmt.Sprintf("node-%d", i), IP: "10.0.0.1",
					PeerPort: 1, UploadPort: 1, UploadSlots: 16, IDC: fmt.Sprint(i % 4), Location: fmt.Sprintf("a|%d|%d", i%4, i%16)}
				_, err := s.AnnounceHost(context.Background(), &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(h)})
				require.NoError(b, err)
			}
			facts := pieces.Facts{Size: 4 * pieces.MinPieceSize, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"1"`}}
			for t := range tasks {
				task, err := pieces.NewTask(fmt.Sprintf("http://origin.example/files/%d.tar", t), pieces.Options{}, nil)
				require.NoError(b, err)
				for k := range each {
					m := &schedulerpb.RegisterPeerTaskRequest{HostId: string(pieces.NewHostID([16]byte{byte((t + k) % hosts), 7})),
						Task: wire.TaskTo(task), Facts: wire.FactsTo(facts), CanFetch: true}
					if k == 0 {
						m.Held = wire.ExtentsTo([]pieces.Extent{{End: 4}})
						_, err := s.RegisterPeerTask(context.Background(), m)
						require.NoError(b, err)
						continue
					}
					bytes, err := proto.Marshal(m)
					require.NoError(b, err)
					requests = append(requests, bytes)
				}
			}
			register := func(i int) int {
				var m schedulerpb.RegisterPeerTaskRequest
				require.NoError(b, proto.Unmarshal(requests[i*7919%len(requests)], &m))
				r, err := s.RegisterPeerTask(context.Background(), &m)
				require.NoError(b, err)
				bytes, err := proto.Marshal(r)
				require.NoError(b, err)
				return len(bytes)
			}
			for i := range requests {
				register(i)
			}
			b.ReportAllocs()
			i, sent, before := 0, 0, processorTime()
			for b.Loop() {
				sent += register(i)
				i++
			}
			b.ReportMetric(float64(processorTime()-before)/float64(i), "cpu-ns/op")
			b.ReportMetric(float64(sent)/float64(i), "reply-bytes")
		})
	}
}

// processorTime of this process, in ns.
func processorTime() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
