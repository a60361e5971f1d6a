package swarm

import (
	"slices"
	"time"

	"damselfly/pieces"
)

// A want stands until its pieces are held, cancelled, or answered by an origin
// error. While it stands the peer gets the digests of its pieces as they are
// recorded, and the first holders or lease holders as they appear.

// maxAsked bounds the demanded pieces whose age is kept per peer.
const maxAsked = 1024

func (v *version) onWant(p *peer, e Want) {
	t := v.t
	for _, h := range e.Failed[:min(len(e.Failed), knownHolders*4)] {
		p.blockHost(h, t.now, t.opts())
	}
	var es, over []pieces.Extent
	again := false
	for x := range v.clip(e.Extents) {
		for run := range p.held.Missing(x) {
			es = append(es, run)
			for i := range run.All() {
				if !v.setWant(p, i, e.Class) {
					over = append(over, pieces.Extent{First: i, End: run.End})
					break
				}
				if e.Class == pieces.Demand {
					again = v.askedBefore(p, i) || again
				}
			}
		}
	}
	if len(over) > 0 {
		v.failPeer(p, over, pieces.Errorf(pieces.Full,
			"task %s: a peer may want %d pieces at once (max_wants)", t.id.Short(), t.opts().MaxWants))
	}
	if p.wants == 0 {
		return
	}
	if v.wanters.add(p) {
		p.fed = t.now
	}
	v.answer(p, es, true)
	if again {
		v.repeatLate(p, es)
	}
}

// noLeases returns the error that answers wants which need the origin, or nil
// if the origin may be asked, now or soon.
func (v *version) noLeases() *pieces.Error {
	t := v.t
	if err := v.inQuarantine(); err != nil {
		return err
	}
	switch {
	case v.replaced:
		return pieces.Errorf(pieces.Changed, "version %s of task %s was replaced", v.id, t.id.Short())
	case v.changed != nil:
		return v.changed
	case t.origin.final(t.now, t.opts()):
		return t.origin.answer(t.now)
	}
	return nil
}

// setWant makes p want piece i at class c, or keeps a more urgent class; false
// if it wants too many.
func (v *version) setWant(p *peer, i int, c pieces.Class) bool {
	if old, ok := p.wantClass(i); ok {
		if old <= c {
			return true
		}
		p.want[old].Remove(i)
		p.wants--
	} else if p.wants >= v.t.opts().MaxWants {
		return false
	}
	if p.want[c] == nil {
		p.want[c] = &pieces.Set{}
	}
	p.want[c].Add(i)
	p.wants++
	return true
}

// unwant ends p's want of piece i, if any.
func (v *version) unwant(p *peer, i int) {
	if p.wants == 0 {
		return
	}
	for _, s := range p.want {
		if s != nil && s.Remove(i) {
			p.wants--
			break
		}
	}
	delete(p.asked, i)
	p.stuck.Remove(i)
	if p.wants == 0 {
		v.dropWants(p)
	}
}

// cancel ends p's wants in es.
func (v *version) cancel(p *peer, es []pieces.Extent) {
	for e := range v.clip(es) {
		for i := range e.All() {
			v.unwant(p, i)
		}
	}
}

func (v *version) dropWants(p *peer) {
	p.want, p.wants = [pieces.Classes]*pieces.Set{}, 0
	p.asked, p.named, p.stuck = nil, nil, pieces.Set{}
	v.stuck.remove(p)
	v.wanters.remove(p)
}

// askedBefore notes a demand for piece i and reports whether it has stood for
// RepeatAfter.
func (v *version) askedBefore(p *peer, i int) bool {
	now := v.t.now
	if first, ok := p.asked[i]; ok {
		return now.Sub(first) >= v.t.opts().RepeatAfter
	}
	if len(p.asked) < maxAsked {
		if p.asked == nil {
			p.asked = map[int]time.Time{}
		}
		p.asked[i] = now
	}
	return false
}

// askedAnew counts the age of p's demand for pieces that became available only
// now from now on: while they were being read, nobody could have served them.
func (v *version) askedAnew(p *peer, es []pieces.Extent) {
	if len(p.asked) == 0 {
		return
	}
	for _, e := range es {
		for i := range e.All() {
			if _, ok := p.asked[i]; ok {
				p.asked[i] = v.t.now
			}
		}
	}
}

func (v *version) onFailed(p *peer, e Failed) {
	t := v.t
	bad := v.peers[e.Parent]
	es := slices.Collect(v.clip(e.Extents))
	if e.Reason == pieces.FailNotFound && (bad == nil || !holdsSome(bad, es)) {
		// It lost them meanwhile: no fault.
		v.answer(p, es, true)
		return
	}
	if !p.blocks(e.Parent, t.now) {
		t.do(Uploads{Host: e.Parent, Failed: 1})
	}
	p.blockHost(e.Parent, t.now, t.opts())
	bad.failedFor(p)
	if e.Reason == pieces.FailBadBytes && v.accuse(p, e.Parent) {
		bad = nil // put out
	}
	if bad != nil && slices.Contains(p.parents, bad) {
		v.cut(bad, p)
		p.lacking = true
	}
	v.answer(p, es, true)
}

func holdsSome(p *peer, es []pieces.Extent) bool {
	for _, e := range es {
		for range overlap(&p.held, e) {
			return true
		}
	}
	return false
}

// eachWanter calls f for every peer that wants something; f may end wants.
func (v *version) eachWanter(f func(*peer)) {
	for _, p := range slices.Clone(v.wanters.list) {
		if v.wanters.has(p) {
			f(p)
		}
	}
}
