package swarm

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	runs  = flag.Int("runs", 300, "random histories per property test")
	steps = flag.Int("steps", 300, "random events per history")
)

// TestRandomHistories: whatever hosts do, the machine stays consistent, gives
// out no lease twice, ends every want once hosts do their duty, and forgets
// everything when all have left.
func TestRandomHistories(t *testing.T) {
	var counts [Counters]int64
	for seed := range uint64(*runs) {
		c := newCrowd(seed)
		for range *steps {
			c.chaos()
		}
		if c.err != nil {
			t.Fatalf("seed %d: %v", seed, c.err)
		}
		if err := c.calm(); err != nil {
			t.Fatalf("seed %d, calming down: %v", seed, err)
		}
		if err := c.checkBytes(); err != nil {
			t.Fatalf("seed %d, calm: %v", seed, err)
		}
		for _, id := range c.names {
			if seed%2 == 0 {
				c.do(Leave{Host: id})
			} else {
				c.do(SessionDown{id, c.sessions[id]}) // forgotten after the TTL
			}
		}
		c.now = c.now.Add(c.opts.PeerTTL)
		c.do(Tick{})
		c.now = c.now.Add(time.Hour)
		c.do(Tick{})
		if c.err != nil {
			t.Fatalf("seed %d, leaving: %v", seed, c.err)
		}
		if n := len(c.task.versions); n != 0 || len(c.task.hosts) != 0 || !c.task.Forgettable(c.now, &c.opts) {
			t.Fatalf("seed %d: all have left, but %s, facts lease %d, %d waiters, idle since %v", seed, c.state(), c.task.facts.lease, len(c.task.facts.waiters), c.task.idleSince)
		}
		for k, n := range c.counts {
			counts[k] += n
		}
	}
	t.Logf("what came about: %v", counts)
	for k, n := range counts {
		if n == 0 {
			t.Errorf("no history has brought about %s", Counter(k))
		}
	}
}

// checkBytes: nobody counts as the holder of a piece whose bytes are not what is
// recorded.
func (c *crowd) checkBytes() error {
	v := c.task.version(c.versionID("v1"))
	if v == nil {
		return nil
	}
	for _, id := range c.names {
		p := v.peers[id]
		if p == nil || p.state != live {
			continue
		}
		for i := range v.n {
			if p.held.Has(i) && v.digests.has(i) && c.mind[id].sum(i) != v.digests.get(i) {
				return fmt.Errorf("%s counts as holder of piece %d, but has other bytes", id, i)
			}
		}
	}
	return nil
}
