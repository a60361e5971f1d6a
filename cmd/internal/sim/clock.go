package sim

import "time"

// clock is virtual time: a heap of what happens when. Things of one moment
// happen in the order in which they were planned.
type clock struct {
	now  time.Duration // since the run began
	seq  uint64
	heap []*timer
	ran  int64 // how many things have happened
}

// timer is something planned. A timer whose time is over can be planned again.
type timer struct {
	at  time.Duration
	seq uint64
	do  func()
	pos int // in the heap, from 1; 0 = not planned
}

// after plans do to happen once d has passed.
func (c *clock) after(d time.Duration, do func()) *timer {
	t := &timer{do: do}
	c.move(t, c.now+max(d, 0))
	return t
}

// move plans t for the moment at, whether it was planned or not.
func (c *clock) move(t *timer, at time.Duration) {
	c.seq++
	t.at, t.seq = max(at, c.now), c.seq
	if t.pos == 0 {
		c.heap = append(c.heap, t)
		t.pos = len(c.heap)
		c.up(t.pos - 1)
		return
	}
	c.down(c.up(t.pos - 1))
}

// stop takes t out of the plan, if it is in it.
func (c *clock) stop(t *timer) {
	if t == nil || t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(c.heap)-1
	c.swap(i, last)
	c.heap[last] = nil
	c.heap = c.heap[:last]
	t.pos = 0
	if i < last {
		c.down(c.up(i))
	}
}

// step lets the next thing happen; false if there is none up to end.
func (c *clock) step(end time.Duration) bool {
	if len(c.heap) == 0 || c.heap[0].at > end {
		return false
	}
	t := c.heap[0]
	c.stop(t)
	c.now = t.at
	c.ran++
	t.do()
	return true
}

func (c *clock) less(i, j int) bool {
	a, b := c.heap[i], c.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (c *clock) swap(i, j int) {
	c.heap[i], c.heap[j] = c.heap[j], c.heap[i]
	c.heap[i].pos, c.heap[j].pos = i+1, j+1
}

func (c *clock) up(i int) int {
	for i > 0 && c.less(i, (i-1)/2) {
		c.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (c *clock) down(i int) {
	for {
		k := 2*i + 1
		if k >= len(c.heap) {
			return
		}
		if k+1 < len(c.heap) && c.less(k+1, k) {
			k++
		}
		if !c.less(k, i) {
			return
		}
		c.swap(i, k)
		i = k
	}
}
