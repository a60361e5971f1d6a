package load

import (
	"context"
	"fmt"
	"path/filepath"
)

// Memory measures what hosts with a connection and a stream each, and then
// their peers, take of the scheduler's memory.
func (b *Bench) Memory(ctx context.Context) (*Report, error) {
	t, err := b.target(ctx)
	if err != nil {
		return nil, err
	}
	r, err := b.memory(ctx, t)
	return r, t.close(err)
}

func (b *Bench) memory(ctx context.Context, t *target) (*Report, error) {
	r := &Report{Scenario: "memory"}
	before, err := t.gauge.settled(ctx)
	if err != nil {
		return nil, err
	}
	r.Memory = append(r.Memory, size("scheduler alone", 1, before, usage{}))
	f, err := b.fleet(ctx, t, b.o.Hosts)
	if err != nil {
		return nil, err
	}
	defer f.close()
	withHosts, err := t.gauge.settled(ctx)
	if err != nil {
		return nil, err
	}
	r.Memory = append(r.Memory, size("hosts", b.o.Hosts, withHosts, before))
	each := max(1, b.o.Peers/b.o.Tasks)
	if _, err := settle(ctx, f, "memory", b.o.Tasks, each, b.o.Size); err != nil {
		return nil, err
	}
	// As it grew, with garbage, and what is left of it.
	peak, err := t.gauge.read(ctx)
	if err != nil {
		return nil, err
	}
	withPeers, err := t.gauge.settled(ctx)
	if err != nil {
		return nil, err
	}
	n := each * b.o.Tasks
	r.Memory = append(r.Memory, size("peers, as they came", n, peak, withHosts), size("peers, their tasks and digests included", n, withPeers, withHosts))
	r.Setting = b.setting(t, f, fmt.Sprintf("%d tasks of %d MiB with %d peers each, half done", b.o.Tasks, b.o.Size>>20, each))
	r.Goals = []Goal{{What: fmt.Sprintf("MiB resident with %d peers on %d hosts", n, b.o.Hosts), Value: mib(max(peak.RSS, withPeers.RSS)), Limit: mib(goalMemory)}}
	if b.o.Profiles != "" {
		if err := t.gauge.heap(ctx, filepath.Join(b.o.Profiles, "memory.pb.gz")); err != nil {
			return nil, err
		}
	}
	return r, f.err()
}

func size(what string, n int, now, before usage) Size {
	return Size{What: what, N: n, RSS: now.RSS, Heap: now.Heap,
		EachRSS: (now.RSS - before.RSS) / int64(n), EachHeap: (now.Heap - before.Heap) / int64(n)}
}
