package picker

// The turns of data centres. Each piece is brought out of the seed's by one of the
// others, by rendezvous hashing of (data centre, piece). Otherwise all would take
// it out of there in the same moment, so that the hosts there sent the content as
// often as there are data centres, beside getting it themselves. Who knows of no far
// seed takes from anybody.

// atSeed reports whether n is in the data centre of a far seed, as of takeTurns.
func (p *Picker) atSeed(n *neighbour) bool { return n.far && p.seedPlaces[n.place] }

// placeTurns notes where far seeds are, and returns the pieces that this data centre
// may take from there.
func (p *Picker) placeTurns() words {
	p.seedPlaces = map[string]bool{}
	for _, n := range p.neighbours {
		if n.far && n.seed {
			p.seedPlaces[n.place] = true
		}
	}
	others := map[string]uint64{}
	for _, n := range p.neighbours {
		if n.far && !p.seedPlaces[n.place] {
			others[n.place] = hostHash(n.place)
		}
	}
	ours, self := newWords(p.geo.Count()), hostHash(p.cfg.Place)
pieces:
	for i := range p.geo.Count() {
		own := mix(self, i)
		for _, o := range others {
			if mix(o, i) > own {
				continue pieces
			}
		}
		ours.add(i)
	}
	return ours
}
