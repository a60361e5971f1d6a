package sim

import (
	"fmt"
	"math"
	"time"

	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// Scenario is what a run simulates. Rates are bytes per second.
type Scenario struct {
	// Hosts beside the seed, and the bytes they all want.
	Hosts int
	Size  int64
	// Up and Down are the rates of every host, SeedRate those of the seed both
	// ways. SlowShare of the hosts have their way up at SlowUp of Up.
	Up, Down, SeedRate float64
	SlowShare, SlowUp  float64
	// Cold: the seed holds nothing and reads the origin, which gives OriginRate.
	Cold       bool
	OriginRate float64
	// Stagger spreads the joins evenly over this many times Size/Down; 0 is a
	// flash crowd, whose hosts join within JoinJitter.
	Stagger    float64
	JoinJitter time.Duration
	// Kill is the share of hosts that vanish, as if unplugged, at KillAt of the
	// lower bound.
	Kill, KillAt float64
	// IDCs are data centres with even shares of the hosts, the seed in the
	// first; IDCRate is the way out of each, 0 = not limited.
	IDCs    int
	IDCRate float64
	// Latency is one way within a data centre, FarLatency between two.
	Latency, FarLatency time.Duration
	Policy              pieces.Policy
	// Rules are the scheduler's numbers (Policy apart), Picker and Seeding the
	// daemon's. UploadSlots is how many requests a host answers at once, ChildSlots
	// how many slots the scheduler is told of, which bounds its children.
	Rules                   swarm.Options
	Picker                  picker.Config
	Seeding                 picker.SeedingConfig
	UploadSlots, ChildSlots int
	// DeferPause is how long a host asks nothing of a seed that gave a piece to
	// another child; 0, as the daemon: it asks for other pieces at once.
	DeferPause time.Duration
	// Limit ends a run after so many times the lower bound.
	Limit float64
	// Seed of every random choice.
	Seed uint64
}

// Defaults returns a flash crowd of 16 hosts on links of 100 Mbit/s, with the
// numbers that scheduler and daemon have by default.
func Defaults() Scenario {
	const fast = 100e6 / 8
	return Scenario{
		Hosts: 16, Size: 64 << 20, Up: fast, Down: fast, SeedRate: fast, OriginRate: fast, SlowUp: 0.1,
		JoinJitter: 20 * time.Millisecond, KillAt: 0.5, IDCs: 1,
		Latency: time.Millisecond, FarLatency: 10 * time.Millisecond, Limit: 20, Seed: 1,
		Rules: swarm.Defaults(), Picker: picker.Config{MaxRequests: 10}, UploadSlots: 10, ChildSlots: 24,
	}
}

// MaxHosts bounds a run.
const MaxHosts = 15000

// check reports the first thing that can't be simulated.
func (s Scenario) check() error {
	bad := func(format string, args ...any) error { return pieces.Errorf(pieces.Invalid, format, args...) }
	switch {
	case s.Hosts < 1 || s.Hosts > MaxHosts:
		return bad("%d hosts: want 1 to %d", s.Hosts, MaxHosts)
	case s.Size < 2*pieces.MinPieceSize || s.Size > 1<<40:
		return bad("size %d: want 512 KiB to 1 TiB", s.Size)
	case min(s.Up, s.Down, s.SeedRate, s.OriginRate) < 1000 || s.IDCRate < 0:
		return bad("rates are at least 1000 bytes per second")
	case !share(s.SlowShare) || !share(s.Kill) || s.Kill == 1 || !share(s.SlowUp) || s.SlowUp == 0:
		return bad("shares lie between 0 and 1, and some host must live and send")
	case s.Stagger < 0 || s.KillAt < 0 || s.Limit < 1:
		return bad("stagger and the moment of the kill are not negative, the limit is at least 1")
	case s.IDCs < 1 || s.IDCs > s.Hosts:
		return bad("%d data centres for %d hosts", s.IDCs, s.Hosts)
	case s.UploadSlots < 1 || s.ChildSlots < 1 || s.Picker.MaxRequests < 1:
		return bad("slots and requests are at least 1")
	case s.Latency <= 0 || s.FarLatency <= 0 || s.JoinJitter < 0:
		return bad("latencies are positive")
	}
	return nil
}

func share(x float64) bool { return x >= 0 && x <= 1 }

// up is the rate of host i's way up.
func (s Scenario) up(i int) float64 {
	if s.slow(i) {
		return s.Up * s.SlowUp
	}
	return s.Up
}

// slow spreads the slow hosts evenly.
func (s Scenario) slow(i int) bool { return part(i, s.SlowShare) }

// dies spreads the hosts to be killed evenly.
func (s Scenario) dies(i int) bool { return part(i, s.Kill) }

func part(i int, share float64) bool {
	return math.Floor(float64(i+1)*share) > math.Floor(float64(i)*share)
}

// joins is when host i joins; r is in [0,1).
func (s Scenario) joins(i int, r float64) time.Duration {
	if s.Stagger == 0 {
		return time.Duration(r * float64(s.JoinJitter))
	}
	window := s.Stagger * float64(s.Size) / s.Down
	return seconds(window * float64(i) / float64(max(1, s.Hosts-1)))
}

// Bound is the soonest moment at which the last host can have everything (DESIGN
// §13), from when the first joins:
//
//	max(F/origin rate when cold, F/seed upload, F/slowest download, N·F/total upload)
//
// and, with staggered joins, the last join + F/download; with several data
// centres, one copy out of the seed's.
func (s Scenario) Bound() time.Duration {
	f := float64(s.Size)
	total := s.SeedRate
	for i := range s.Hosts {
		total += s.up(i)
	}
	lb := max(f/s.SeedRate, f/s.Down, float64(s.Hosts)*f/total)
	if s.Cold {
		lb = max(lb, f/s.OriginRate)
	}
	if s.IDCs > 1 && s.IDCRate > 0 {
		lb = max(lb, f/s.IDCRate)
	}
	if s.Stagger > 0 {
		lb = max(lb, s.joins(s.Hosts-1, 0).Seconds()+f/s.Down)
	}
	return seconds(lb)
}

// Own is the soonest in which one host can have everything once it has joined.
func (s Scenario) Own() time.Duration {
	f := float64(s.Size)
	own := max(f/s.SeedRate, f/s.Down)
	if s.Cold {
		own = max(own, f/s.OriginRate)
	}
	return seconds(own)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// expected is the daemon's expected time of the content: it assumes 100 Mbit/s.
func expected(size int64) time.Duration {
	return max(time.Second, seconds(float64(size)/(100e6/8)))
}

func hostID(i int) pieces.HostID { return pieces.HostID(fmt.Sprintf("h%05d", i)) }
