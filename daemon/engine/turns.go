package engine

import (
	"context"
	"time"

	"damselfly/pieces"
)

// Leases come as readers look ahead, some for the far end of a window, and all of
// them share the way to the origin: four at once make the pieces that are needed
// next come at a quarter of its rate. So bulk reads of a content take turns, a
// request each, the most urgent and lowest first; the next is made when the last is
// nearly over, since a busy uplink keeps a request for a while. Several go at once
// where one connection does not make the best of the way: where requests are short
// all the same, and where one takes long.

const (
	// turnRate is for how many bytes per second of the last read one more request
	// may be under way, beside the first.
	turnRate = 16 << 20
	// slowTurn is how long a request may take before it stands in nobody's way.
	slowTurn = 2 * longRequest
	// earlyTurn before a request ends the next one may be made.
	earlyTurn = 400 * time.Millisecond
)

// turn is where a bulk read stands.
type turn struct {
	waits bool
	// asked is when its running request began, zero if there is none.
	asked time.Time
}

// awaitTurn returns when o may make its next request, which endTurn ends. Who is
// no bulk read never waits.
func (c *Content) awaitTurn(ctx context.Context, o *originRead) error {
	began := time.Now()
	var again *time.Timer
	for {
		c.mu.Lock()
		o.turn.waits = !c.hasTurn(o)
		if !o.turn.waits {
			o.turn.asked = time.Now()
			o.since = o.since.Add(o.turn.asked.Sub(began)) // its rate is while it reads
			c.mu.Unlock()
			return nil
		}
		ended := c.turnEnded
		c.mu.Unlock()
		if again == nil {
			again = time.NewTimer(slowTurn)
			defer again.Stop()
		} else {
			again.Reset(slowTurn)
		}
		select {
		case <-ended:
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hasTurn reports whether fewer reads go before o than may go at once. c.mu is
// held.
func (c *Content) hasTurn(o *originRead) bool {
	if !o.bulk() {
		return true
	}
	free := 1 + int(c.originRate/turnRate)
	for r := range c.origins {
		if r != o && c.goesBefore(r, o) {
			free--
		}
	}
	return free > 0
}

// bulk reports whether o takes turns. Reads along an access order are small and
// scattered, a round trip each.
func (o *originRead) bulk() bool {
	return (o.class == pieces.Window || o.class == pieces.Fill) && !o.reread
}

// goesBefore reports whether o stands in the way of p: it has a request under way
// that is neither slow nor nearly over, or waits for its turn with more right to
// it. c.mu is held.
func (c *Content) goesBefore(o, p *originRead) bool {
	switch {
	case !o.bulk():
		return false
	case !o.turn.asked.IsZero():
		return time.Since(o.turn.asked) < slowTurn && !c.nearlyOver(o)
	case o.class != p.class:
		return o.turn.waits && o.class < p.class
	}
	return o.turn.waits && o.at < p.at
}

// nearlyOver reports whether o's request ends soon, as fast as it has been. c.mu is
// held.
func (c *Content) nearlyOver(o *originRead) bool {
	if o.read == 0 {
		return false
	}
	left := pieces.Extent{First: o.at, End: o.until}
	_, n := c.geo.Bytes(left)
	return left.Empty() || float64(n)/o.rate() < earlyTurn.Seconds()
}

// endTurn ends o's request, or its wish for one.
func (c *Content) endTurn(o *originRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.read > 0 && o.bulk() {
		c.originRate = o.rate()
	}
	o.turn = turn{}
	c.passTurn()
}

// passTurn has those who wait look whether it is their turn. c.mu is held.
func (c *Content) passTurn() {
	close(c.turnEnded)
	c.turnEnded = make(chan struct{})
}
