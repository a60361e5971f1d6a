package readahead

// Whole reports whether the file is evidently wanted as a whole: somebody reads
// it in order from its start and has come far, or of its pieces touched have
// been read, in whatever order, which is nearly all.
func (p *Policy) Whole(touched, pieces int) bool {
	if pieces > 0 && float64(touched) >= p.cfg.AnyOrder*float64(pieces) {
		return true
	}
	for _, c := range p.cursors {
		if c.open && c.begin <= p.cfg.Gap && float64(c.end) >= p.cfg.InOrder*float64(p.size) {
			return true
		}
	}
	return false
}

// Fill says when a file that is read is fetched as a whole, behind everything
// that anybody waits for.
type Fill uint8

// The policies.
const (
	FillAuto   Fill = iota // when it is evidently wanted whole, while it is open
	FillAlways             // from its first open on
	FillNever
)

var fillNames = [...]string{"auto", "always", "never"}

func (f Fill) String() string { return fillNames[f] }

// ParseFill reads what String writes; false: it is neither.
func ParseFill(s string) (Fill, bool) {
	for f, name := range fillNames {
		if s == name {
			return Fill(f), true
		}
	}
	return 0, false
}
