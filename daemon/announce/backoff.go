package announce

import (
	"math/rand/v2"
	"time"
)

// backoff is the pauses after failures: each about twice the one before, from
// first to most, give or take a quarter so that hosts don't return in step.
type backoff struct{ first, most, last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(b.first, 2*b.last), b.most)
	return b.last*3/4 + rand.N(b.last/2+1)
}

func (b *backoff) reset() { b.last = 0 }

func (c *Client) backoff() *backoff { return &backoff{first: c.o.RetryEvery, most: c.o.RetryMost} }
