package swarm

import "damselfly/pieces"

// Wrong bytes. A child that got bytes that don't match the record says so, and
// is not sent to that host again for AccusedBlock. Its word alone moves nobody
// else: a lying child must not put an honest host out. BadVoices children that
// say the same put the host out of the Version.
//
// The voice of a child whose own memory or link spoils what it gets would put
// everybody out in time, so a voice counts only while its peer is here and has
// got more pieces in order than it has accused hosts.

// accuse notes what p says of host, and reports whether host is out now.
func (v *version) accuse(p *peer, host pieces.HostID) (out bool) {
	o := v.t.opts()
	if b, ok := p.blocked[host]; ok {
		b.length = o.AccusedBlock
		b.until = v.t.now.Add(b.length)
		p.blocked[host] = b
	}
	bad := v.peers[host]
	if bad == nil || bad == p {
		return false
	}
	if _, again := bad.accusers[p.id]; again || len(bad.accusers) >= maxBlocked || len(p.accused) >= maxBlocked {
		return false
	}
	if bad.accusers == nil {
		bad.accusers = map[pieces.HostID]struct{}{}
	}
	bad.accusers[p.id] = struct{}{}
	p.accused = append(p.accused, host)
	v.t.count(BadBytes, 1)
	return v.judge(bad)
}

// credible reports whether p's accusations count.
func (p *peer) credible() bool { return p.state == live && p.fine > len(p.accused) }

// judge puts bad out if enough voices count against it.
func (v *version) judge(bad *peer) (out bool) {
	voices := 0
	for id := range bad.accusers {
		if q := v.peers[id]; q != nil && q.credible() {
			voices++
		}
	}
	if voices < v.t.opts().BadVoices {
		return false
	}
	v.expel(bad, "several peers got wrong bytes from it")
	return true
}

// gotFine notes n pieces that p got in order; what p said may count now.
func (v *version) gotFine(p *peer, n int) {
	before := p.credible()
	p.fine += n
	if before || !p.credible() {
		return
	}
	for _, host := range p.accused {
		if bad := v.peers[host]; bad != nil {
			v.judge(bad)
		}
	}
}
