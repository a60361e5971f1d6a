package swarm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"damselfly/pieces"
)

// benchTask is a Task with so many peers, the first of which holds everything
// and the others want it, in a world with one host more.
type benchTask struct {
	task  *Task
	facts pieces.Facts
	late  pieces.HostID // who is not a peer yet
}

// benchHosts are hosts in 16 places.
func benchHosts(n int) *Hosts {
	var hs []*HostState
	for i := range n {
		hs = append(hs, &HostState{Host: pieces.Host{
			ID: pieces.NewHostID([16]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}), UploadSlots: 8,
			IDC: fmt.Sprint("idc", i%4), Location: fmt.Sprintf("east|hall-%d|rack-%d", i%4, i%16),
		}})
	}
	return (&Hosts{}).With(hs...)
}

func newBenchTask(view View, n uint64, peers int) *benchTask {
	b := &benchTask{
		task:  New(Identity{ID: "t", Public: true, SeedsCanFetch: true}, n, 1),
		facts: pieces.Facts{Size: 4 * pieces.MinPieceSize, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: "1"}},
		late:  pieces.NewHostID([16]byte{byte(peers), byte(peers >> 8), byte(peers >> 16), 1}),
	}
	first := pieces.NewHostID([16]byte{0, 0, 0, 1})
	b.register(view, first, pieces.Extent{End: 4})
	b.task.Step(view, Held{From: From{Host: first, Session: 1, Version: b.facts.VersionID()},
		Sums: []pieces.SumRun{{Sums: []pieces.Sum{{1}, {2}, {3}, {4}}, Setter: first}}})
	for i := 1; i < peers; i++ {
		id := pieces.NewHostID([16]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
		b.register(view, id)
		b.task.Step(view, Want{From: From{Host: id, Session: 1, Version: b.facts.VersionID()}, Extents: []pieces.Extent{{End: 4}}, Class: pieces.Fill})
	}
	return b
}

func (t *benchTask) register(view View, id pieces.HostID, held ...pieces.Extent) (parents int) {
	for _, a := range t.task.Step(view, Register{Host: id, Session: 1, Facts: &t.facts, CanFetch: true, Held: held}) {
		if r, ok := a.(RegisterReply); ok {
			parents = len(r.Parents)
		}
	}
	return parents
}

// BenchmarkRegister registers, and takes out again, a peer of a Task that has
// so many peers.
func BenchmarkRegister(b *testing.B) {
	for _, peers := range []int{1, 100, 5000} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) { benchRegister(b, 1, peers) })
	}
	for _, tasks := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) { benchRegister(b, tasks, 5) })
	}
}

func benchRegister(b *testing.B, tasks, peers int) {
	opts := Defaults()
	view := View{Now: dayOne, Hosts: benchHosts(peers + 1), Options: &opts}
	ts := make([]*benchTask, tasks)
	for i := range ts {
		ts[i] = newBenchTask(view, uint64(i), peers)
	}
	random := rand.New(rand.NewPCG(1, 1))
	want := min(peers, opts.CandidateParentLimit)
	b.ReportAllocs()
	for b.Loop() {
		t := ts[random.IntN(tasks)]
		view.Now = view.Now.Add(time.Microsecond)
		if n := t.register(view, t.late); n != want {
			b.Fatalf("%d parents", n)
		}
		t.task.Step(view, Leave{Host: t.late})
	}
}
