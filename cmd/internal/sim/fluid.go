package sim

import (
	"math"
	"time"
)

// The network is a fluid: a flow crosses a few pipes (the sender's way up, the
// way out of its data centre, the receiver's way down), and all flows at once
// have the weighted max-min fair rates, those of long TCP connections. Weights
// differ a little from flow to flow, as connections do: equal ones would end in
// step, and all pause at once.
//
// Each pipe keeps a level, the rate per weight that it grants to a flow that
// nothing else holds back; a flow runs at its weight times the lowest level on its
// way. The level of a full pipe solves
//
//	Σ weight · min(level, what the flow's other pipes grant) = capacity
//
// When a
// flow comes or goes only its pipes are solved again, then the pipes of the flows
// whose rates changed by more than slack, and so on until nothing changes: the
// asynchronous form of the water-filling of Bertsekas and Gallager, Data
// Networks, §6.5.2.

// maxHops is how many pipes a flow may cross.
const maxHops = 3

// pipe is one direction of one link.
type pipe struct {
	capacity float64 // bytes/s
	level    float64 // bytes/s granted to a flow of weight 1 that only this pipe bounds
	flows    []*flow
	queued   bool
}

func newPipe(bytesPerSecond float64) *pipe {
	return &pipe{capacity: bytesPerSecond, level: bytesPerSecond}
}

// flow is a run of bytes under way.
type flow struct {
	pipes [maxHops]*pipe
	pos   [maxHops]int // in each pipe's flows
	hops  int
	size  float64
	left  float64 // bytes at since
	since time.Duration
	rate  float64 // bytes/s
	// weight is its share where it competes, around 1.
	weight float64
	end    timer
}

// network solves the rates of flows. slack is the relative change of a level
// that is passed on: 0 solves exactly; 0.02 is a tenth of the work.
type network struct {
	clock *clock
	slack float64
	queue []*pipe
	asked []claim // scratch
	// weigh draws the weight of a new flow; nil = 1.
	weigh func() float64
	solve int64 // how many levels were solved
}

// claim is what a flow's other pipes grant it.
type claim struct{ level, weight float64 }

// start sends so many bytes through the pipes and calls done when the last one
// has come out.
func (n *network) start(bytes float64, done func(), pipes ...*pipe) *flow {
	f := &flow{hops: len(pipes), size: bytes, left: bytes, since: n.clock.now, weight: 1}
	if n.weigh != nil {
		f.weight = n.weigh()
	}
	f.end.do = func() {
		f.left = 0
		n.drop(f)
		done()
	}
	for i, p := range pipes {
		f.pipes[i], f.pos[i] = p, len(p.flows)
		p.flows = append(p.flows, f)
		n.push(p)
	}
	n.settle()
	if f.rate == 0 { // every level stood: it still has to be given its own
		n.pace(f)
	}
	return f
}

// stop ends a flow early and returns how many of its bytes have passed.
func (n *network) stop(f *flow) (passed float64) {
	if f.hops == 0 {
		return f.size - f.left
	}
	n.advance(f)
	n.clock.stop(&f.end)
	n.drop(f)
	return f.size - f.left
}

// drop takes f off its pipes.
func (n *network) drop(f *flow) {
	for i := range f.hops {
		p := f.pipes[i]
		last := len(p.flows) - 1
		moved := p.flows[last]
		p.flows[f.pos[i]] = moved
		for k := range moved.hops {
			if moved.pipes[k] == p {
				moved.pos[k] = f.pos[i]
			}
		}
		p.flows[last] = nil
		p.flows = p.flows[:last]
		n.push(p)
	}
	f.hops = 0
	n.settle()
}

func (n *network) push(p *pipe) {
	if !p.queued {
		p.queued = true
		n.queue = append(n.queue, p)
	}
}

// settle solves what is queued until nothing changes by more than slack.
func (n *network) settle() {
	for k := 0; k < len(n.queue); k++ {
		p := n.queue[k]
		p.queued = false
		n.refresh(p)
	}
	clear(n.queue)
	n.queue = n.queue[:0]
}

// refresh solves p's level and passes a change on.
func (n *network) refresh(p *pipe) {
	n.solve++
	level := n.levelOf(p)
	if math.Abs(level-p.level) <= max(n.slack, 1e-9)*p.level {
		for _, f := range p.flows {
			if f.rate == 0 {
				n.pace(f)
			}
		}
		return
	}
	p.level = level
	for _, f := range p.flows {
		was := f.rate
		n.pace(f)
		if f.rate == was {
			continue
		}
		for i := range f.hops {
			if f.pipes[i] != p {
				n.push(f.pipes[i])
			}
		}
	}
}

// levelOf returns the rate at which p fills up when no flow takes more than its
// other pipes grant it; with room to spare, what the greediest could have.
func (n *network) levelOf(p *pipe) float64 {
	if len(p.flows) == 0 {
		return p.capacity
	}
	asked := n.asked[:0]
	weights := 0.0
	for _, f := range p.flows {
		c := claim{math.Inf(1), f.weight}
		for i := range f.hops {
			if f.pipes[i] != p {
				c.level = min(c.level, f.pipes[i].level)
			}
		}
		asked = insert(asked, c)
		weights += f.weight
	}
	n.asked = asked
	room := p.capacity
	for _, c := range asked {
		share := room / weights
		if c.level >= share {
			return share
		}
		room -= c.level * c.weight
		weights -= c.weight
	}
	last := asked[len(asked)-1]
	return last.level + room/last.weight
}

// insert keeps s sorted; the few flows of a host need no better.
func insert(s []claim, c claim) []claim {
	s = append(s, c)
	for i := len(s) - 1; i > 0 && s[i-1].level > c.level; i-- {
		s[i], s[i-1] = s[i-1], c
	}
	return s
}

// pace gives f its weight times the lowest level on its way, and plans its end.
func (n *network) pace(f *flow) {
	rate := f.pipes[0].level
	for i := 1; i < f.hops; i++ {
		rate = min(rate, f.pipes[i].level)
	}
	if rate *= f.weight; rate == f.rate {
		return
	}
	n.advance(f)
	f.rate = rate
	n.clock.move(&f.end, n.clock.now+time.Duration(math.Ceil(f.left/rate*float64(time.Second))))
}

// advance counts the bytes that passed since the last change.
func (n *network) advance(f *flow) {
	f.left = max(0, f.left-f.rate*(n.clock.now-f.since).Seconds())
	f.since = n.clock.now
}
