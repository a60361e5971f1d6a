package console

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"damselfly/proto/commonpb"
)

// Of a picture of a swarm, in units of its viewBox.
const (
	graphWidth = 960
	rowHeight  = 120
	perRow     = 8
	// maxNodes shown; the busiest first.
	maxNodes = 40
)

// graph is a swarm as a picture: the origin on top, below it who reads from it,
// then those who get from them, level by level.
type graph struct {
	Width, Height int
	Nodes         []node
	Edges         []edge
	// Left out, for want of room.
	Hidden int
}

type node struct {
	ID, Name, Class, Title string
	X, Y                   int
	// Done is how much it holds, in percent.
	Done int
}

type edge struct {
	// Path is SVG path data.
	Path  string
	Class string
	// Width in tenths.
	Width float64
	Title string
	// Label stands in the middle of it, at X, Y; "" for none.
	Label string
	X, Y  int
}

// origin is the id of the node that is no host.
const origin = ""

// newGraph lays a swarm out. The same swarm gives the same picture.
func newGraph(s *commonpb.Swarm) graph {
	shown := s.Peers[:min(len(s.Peers), maxNodes)]
	g := graph{Width: graphWidth, Hidden: int(s.PeerCount) - len(shown)}
	levels := levelsOf(s, shown)
	rows := rowsOf(shown, levels)
	at := map[string]node{}
	put := func(n node, row, i, of int) {
		n.X = graphWidth * (2*i + 1) / (2 * of)
		n.Y = rowHeight/2 + row*rowHeight
		at[n.ID] = n
		g.Nodes = append(g.Nodes, n)
	}
	put(node{ID: origin, Name: "origin", Class: "origin", Title: "The origin", Done: 100}, 0, 0, 1)
	for r, row := range rows {
		for i, p := range row {
			put(peerNode(p, s), r+1, i, len(row))
		}
	}
	g.Height = (len(rows) + 1) * rowHeight
	g.join(s, shown, at)
	return g
}

func peerNode(p *commonpb.SwarmPeer, s *commonpb.Swarm) node {
	n := node{ID: p.HostId, Name: cmp.Or(p.Hostname, short(p.HostId)), Class: "peer", Done: percent(int64(p.Held), int64(s.Pieces))}
	if s.Pieces == 0 {
		n.Done = 100
	}
	switch {
	case p.Silent:
		n.Class = "silent"
	case p.Seed:
		n.Class = "seed"
	case p.Complete:
		n.Class = "complete"
	}
	n.Title = fmt.Sprintf("%s, %s: %d of %d pieces", n.Name, p.Ip, p.Held, s.Pieces)
	if len(n.Name) > 14 {
		n.Name = string([]rune(n.Name)[:min(13, len([]rune(n.Name)))]) + "…"
	}
	return n
}

// levelsOf says how far each peer is from the origin: 1 for seeds and those who
// read it, else one more than the nearest of those it gets from or follows. Who
// can't be reached comes last.
func levelsOf(s *commonpb.Swarm, shown []*commonpb.SwarmPeer) map[string]int {
	level, from := map[string]int{}, map[string][]string{}
	for _, f := range s.Flows {
		if f.From == origin {
			level[f.To] = 1
		} else if f.Rate > 0 {
			from[f.To] = append(from[f.To], f.From)
		}
	}
	for _, p := range shown {
		if p.Seed || p.Leases > 0 {
			level[p.HostId] = 1
		}
		from[p.HostId] = append(from[p.HostId], p.Parents...)
	}
	for changed := true; changed; {
		changed = false
		for _, p := range shown {
			for _, o := range from[p.HostId] {
				if l := level[o]; l > 0 && (level[p.HostId] == 0 || l+1 < level[p.HostId]) {
					level[p.HostId], changed = l+1, true
				}
			}
		}
	}
	deepest := 1
	for _, l := range level {
		deepest = max(deepest, l)
	}
	for _, p := range shown {
		if level[p.HostId] == 0 {
			level[p.HostId] = deepest + 1
		}
	}
	return level
}

// rowsOf cuts levels into rows of at most perRow, by name.
func rowsOf(shown []*commonpb.SwarmPeer, level map[string]int) (rows [][]*commonpb.SwarmPeer) {
	peers := slices.Clone(shown)
	slices.SortFunc(peers, func(a, b *commonpb.SwarmPeer) int {
		return cmp.Or(cmp.Compare(level[a.HostId], level[b.HostId]), cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.HostId, b.HostId))
	})
	last := 0
	for _, p := range peers {
		n := len(rows)
		if l := level[p.HostId]; n == 0 || l != last || len(rows[n-1]) == perRow {
			rows, last = append(rows, nil), l
			n++
		}
		rows[n-1] = append(rows[n-1], p)
	}
	return rows
}

// join draws who sends to whom, and who follows whom without getting anything.
func (g *graph) join(s *commonpb.Swarm, shown []*commonpb.SwarmPeer, at map[string]node) {
	drawn := map[[2]string]bool{}
	add := func(from, to string, e edge) {
		a, okA := at[from]
		b, okB := at[to]
		if !okA || !okB || drawn[[2]string{from, to}] {
			return
		}
		drawn[[2]string{from, to}] = true
		e.Path, e.X, e.Y = curve(a, b)
		g.Edges = append(g.Edges, e)
	}
	for _, f := range s.Flows {
		if f.Rate <= 0 {
			continue
		}
		class := "exchange"
		switch {
		case f.From == origin:
			class = "fromorigin"
		case at[f.From].Class == "seed":
			class = "fromseed"
		}
		add(f.From, f.To, edge{
			Class: class, Label: label(f.Rate, len(g.Edges)), Width: math.Round(10*min(8, 1+math.Log2(1+f.Rate/(256<<10)))) / 10,
			Title: fmt.Sprintf("%s → %s: %s/s, %s", at[f.From].Name, at[f.To].Name, size(int64(f.Rate)), size(f.Bytes)),
		})
	}
	for _, p := range shown {
		for _, o := range p.Parents {
			add(o, p.HostId, edge{Class: "follows", Width: 1, Title: at[p.HostId].Name + " follows " + at[o].Name})
		}
	}
	slices.SortStableFunc(g.Edges, func(a, b edge) int { return cmp.Compare(a.Width, b.Width) })
}

// nodeRadius keeps edges off the nodes.
const nodeRadius = 26

// maxLabels bounds the rates written into the picture; the busiest edges come
// first.
const maxLabels = 16

func label(rate float64, before int) string {
	if before >= maxLabels {
		return ""
	}
	return size(int64(rate)) + "/s"
}

// curve goes from one node to another, both ways side by side, and answers its
// middle too.
func curve(a, b node) (path string, x, y int) {
	dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
	d := math.Hypot(dx, dy)
	if d < 1 {
		return "", a.X, a.Y
	}
	ux, uy := dx/d, dy/d
	bend := 18 + d/12
	x1, y1 := float64(a.X)+ux*nodeRadius, float64(a.Y)+uy*nodeRadius
	x2, y2 := float64(b.X)-ux*nodeRadius, float64(b.Y)-uy*nodeRadius
	mx, my := (x1+x2)/2-uy*bend, (y1+y2)/2+ux*bend
	// Not half of the way, so that labels of both ways keep apart.
	const t = 0.4
	at := func(p, q, r float64) int { return int((1-t)*(1-t)*p + 2*t*(1-t)*q + t*t*r) }
	return fmt.Sprintf("M%.0f %.0fQ%.0f %.0f %.0f %.0f", x1, y1, mx, my, x2, y2), at(x1, mx, x2), at(y1, my, y2)
}
