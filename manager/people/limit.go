package people

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits holds one token bucket per key, as many as max. A bucket that is full
// again says nothing and may go; where all say something the one used longest
// ago goes.
type limits struct {
	every time.Duration
	burst int
	max   int

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	*rate.Limiter
	used time.Time
}

func newLimits(every time.Duration, burst, most int) *limits {
	return &limits{every: every, burst: burst, max: most, buckets: map[string]*bucket{}}
}

// take takes one try of key at now. If there is none it answers how long to
// wait. giveBack undoes it.
func (l *limits) take(key string, now time.Time) (giveBack func(), wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[key]
	if !ok {
		l.makeRoom(now)
		b = &bucket{Limiter: rate.NewLimiter(rate.Every(l.every), l.burst)}
		l.buckets[key] = b
	}
	b.used = now
	r := b.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return nil, wait
	}
	return func() { r.CancelAt(now) }, 0
}

func (l *limits) makeRoom(now time.Time) {
	if len(l.buckets) < l.max {
		return
	}
	oldest := ""
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, key)
		} else if oldest == "" || b.used.Before(l.buckets[oldest].used) {
			oldest = key
		}
	}
	if len(l.buckets) >= l.max {
		delete(l.buckets, oldest)
	}
}

// hostOf is what of an address counts for limits: IPv4, or the network of 64
// bits that one IPv6 customer has. What can't be read is one key.
func hostOf(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if p, perr := netip.ParseAddrPort(addr); perr == nil {
		ip, err = p.Addr(), nil
	}
	if err != nil {
		return "?"
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.String()
	}
	return ip.String()
}
