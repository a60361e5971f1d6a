package pieces

// Hit says where the bytes of a read came from, nearer places first.
type Hit uint8

// The places. What is held in memory only, as its write is under way, came from
// where it was fetched.
const (
	HitNone   Hit = iota // no bytes, or nobody knows
	HitInline            // this host's database, where small content lies
	HitDisk              // this host's content file
	HitPeer              // another host
	HitSeed              // a seed
	HitOrigin            // the origin
	Hits                 // how many there are
)

func (h Hit) String() string {
	return [Hits]string{"none", "inline", "disk", "peer", "seed", "origin"}[h]
}

// HitBytes counts bytes by where they came from.
type HitBytes [Hits]int64

// Total is all of them.
func (b *HitBytes) Total() (n int64) {
	for _, k := range b {
		n += k
	}
	return n
}

// Farthest is the place farthest away that any of them came from: the one that
// a read had to wait for.
func (b *HitBytes) Farthest() Hit {
	for h := Hits - 1; h > HitNone; h-- {
		if b[h] > 0 {
			return h
		}
	}
	return HitNone
}
