package swarm

import "math"

// costs are the download costs of a peer's pieces in ms per MiB, as its
// children and itself measured them.
type costs struct {
	n        int
	mean, m2 float64 // of all but the last (Welford)
	last     float64
}

const enoughCosts = 30

func (c *costs) add(x float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
		return
	}
	if c.n++; c.n > 1 {
		k := float64(c.n - 1)
		d := c.last - c.mean
		c.mean += d / k
		c.m2 += d * (c.last - c.mean)
	}
	c.last = x
}

// bad reports whether the last cost is out of line: over 20 × the mean of the
// earlier ones while there are few, over mean + 3σ later.
func (c *costs) bad() bool {
	earlier := c.n - 1
	switch {
	case earlier < 1:
		return false
	case c.n < enoughCosts:
		return c.last > 20*c.mean
	}
	return c.last > c.mean+3*math.Sqrt(c.m2/float64(earlier))
}

// forgive lets bad nodes back in when their time is over.
func (v *version) forgive() {
	for i := 0; i < v.bad.len(); {
		if p := v.bad.list[i]; !v.t.now.Before(p.badUntil) {
			v.bad.remove(p)
			v.refresh(p)
		} else {
			i++
		}
	}
}

// onCosts notes how pieces arrived at child from others.
func (v *version) onCosts(child *peer, cs []Cost) {
	v.gotFine(child, len(cs))
	if len(cs) > 0 {
		child.fed = v.t.now
	}
	for _, c := range cs {
		v.t.do(Uploads{Host: c.Host, OK: 1})
		p := v.peers[c.Host]
		if p == nil {
			continue
		}
		p.failing = nil
		p.costs.add(c.MsPerMiB)
		v.heedCost(p)
		v.refresh(p)
	}
}

// heedCost makes p bad for a while if its last cost says so. That sheds the load
// of who has too many children; it is no verdict, since of thousands of pieces
// some are late from anybody.
func (v *version) heedCost(p *peer) {
	if p.costs.bad() {
		p.badUntil = v.t.now.Add(v.t.opts().BadFor)
		v.bad.set(p, p.state == live)
	}
}
