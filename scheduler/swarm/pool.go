package swarm

// The pools a peer can be in, each an indexed set.
const (
	inEligible = iota // may become a parent
	inOrphans         // wants a parent and has none
	inWanters         // wants pieces
	inComplete        // live and holds everything
	inSilent          // its session is gone
	inBad             // costs out of line of late
	inHere            // live
	inStuck           // has stuck pieces
	inLocal           // eligible, by data centre
	pools
)

// pool is a set of peers with O(1) add, remove and draw. Order is arbitrary
// but the same for the same history.
type pool struct {
	kind int
	list []*peer
}

func (s *pool) len() int { return len(s.list) }

func (s *pool) has(p *peer) bool { return p.pos[s.kind] > 0 }

func (s *pool) add(p *peer) (added bool) {
	if s.has(p) {
		return false
	}
	s.list = append(s.list, p)
	p.pos[s.kind] = len(s.list)
	return true
}

func (s *pool) remove(p *peer) (removed bool) {
	i := p.pos[s.kind] - 1
	if i < 0 {
		return false
	}
	last := len(s.list) - 1
	s.swap(i, last)
	s.list[last] = nil
	s.list = s.list[:last]
	p.pos[s.kind] = 0
	return true
}

func (s *pool) swap(i, j int) {
	s.list[i], s.list[j] = s.list[j], s.list[i]
	s.list[i].pos[s.kind] = i + 1
	s.list[j].pos[s.kind] = j + 1
}

// set adds or removes p and reports whether it was added.
func (s *pool) set(p *peer, in bool) bool {
	if in {
		return s.add(p)
	}
	s.remove(p)
	return false
}

// draw moves a random one of the members after the first drawn ones to place
// drawn and returns it: drawing without replacement. drawn < len.
func (s *pool) draw(drawn int, rand func(n int) int) *peer {
	s.swap(drawn, drawn+rand(len(s.list)-drawn))
	return s.list[drawn]
}
