package swarm

import (
	"fmt"
	"testing"

	"damselfly/pieces"
)

// BenchmarkRegister registers a peer with four parents in a Task that has so
// many peers already.
func BenchmarkRegister(b *testing.B) {
	for _, peers := range []int{10, 1000, 5000} {
		b.Run(fmt.Sprint(peers), func(b *testing.B) {
			w := newWorld()
			w.content("v1", parseArgs([]string{"pieces=1024"}))
			var hs []*HostState
			for i := range peers + 1 {
				hs = append(hs, &HostState{Host: pieces.Host{ID: pieces.HostID(fmt.Sprint("h", i)), UploadSlots: 8}})
			}
			w.hosts = w.hosts.With(hs...)
			f := w.versions["v1"]
			register := func(id pieces.HostID, held ...pieces.Extent) (parents int) {
				for _, a := range w.step(Register{Host: id, Session: 1, Facts: &f, CanFetch: true, Held: held}) {
					if r, ok := a.(RegisterReply); ok {
						parents = len(r.Parents)
					}
				}
				return parents
			}
			register("h0", pieces.Extent{First: 0, End: 1024})
			for i := 1; i < peers; i++ {
				register(hs[i].ID)
			}
			b.ReportAllocs()
			for b.Loop() {
				if n := register(hs[peers].ID); n != w.opts.CandidateParentLimit {
					b.Fatalf("%d parents", n)
				}
			}
		})
	}
}
