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
	if _, again := bad.accusers[p.id]; !again {
		if len(bad.accusers) >= maxBlocked {
			return false
		}
		if bad.accusers == nil {
			bad.accusers = map[pieces.HostID]struct{}{}
		}
		bad.accusers[p.id] = struct{}{}
		p.accused++
		v.t.count(BadBytes, 1)
	}
	voices := 0
	for id := range bad.accusers {
		if q := v.peers[id]; q != nil && q.state == live && q.fine > q.accused {
			voices++
		}
	}
	if voices < o.BadVoices {
		return false
	}
	v.expel(bad, "several peers got wrong bytes from it")
	return true
}
