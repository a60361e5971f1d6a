package load

import (
	"context"
	"io"
	"time"

	"damselfly/pieces"
)

// Options of a Bench; DefaultOptions has the goals' numbers.
type Options struct {
	// Scheduler, HOST:PORT, is one that runs already, and Metrics its metrics
	// port ("" = its costs are not measured). Empty = each scenario starts the
	// program at Path anew.
	Scheduler, Metrics, Path string
	// Args are more arguments for it.
	Args []string

	// Hosts over Conns connections; 0 = one each.
	Hosts, Conns int
	// Tasks of Size bytes in which Peers take part before anything is measured.
	Tasks, Peers int
	Size         int64
	// HotPeers take part in the hot Task.
	HotPeers int
	// Few and Many are the numbers of Tasks whose costs are compared.
	Few, Many int

	// Rate of registrations per second; 0 = the highest is searched for.
	Rate float64
	// FixedRate is that of the comparisons, which need no search.
	FixedRate float64
	// Duration of each measurement.
	Duration time.Duration
	// P99 is the limit that a rate must keep.
	P99 time.Duration
	// DownloadRate of the hosts whose traffic is counted, bytes/s, and Crowd
	// their number.
	DownloadRate float64
	Crowd        int

	Seed uint64
	// Profiles is a folder for processor and heap profiles of the scheduler;
	// empty = none.
	Profiles string
	// Progress gets a line per step; nil discards.
	Progress io.Writer
}

// DefaultOptions are those of the design's goals.
func DefaultOptions() Options {
	return Options{
		Hosts: 2000, Tasks: 1000, Peers: 20_000, Size: 256 << 20, HotPeers: 5000, Few: 10, Many: 10_000,
		FixedRate: 2000, Duration: 5 * time.Second, P99: 10 * time.Millisecond,
		DownloadRate: 100e6 / 8, Crowd: 16, Seed: 1,
	}
}

func (o *Options) check() error {
	perTask := 0
	if o.Tasks > 0 {
		perTask = (o.Peers + o.Tasks - 1) / o.Tasks
	}
	switch {
	case o.Scheduler == "" && o.Path == "":
		return pieces.Errorf(pieces.Invalid, "name a scheduler, or the program to start")
	case o.Hosts < 2*standing || o.Tasks < 1 || o.Peers < o.Tasks || o.Few < 1 || o.Many < 1 || o.HotPeers < 1 || o.Crowd < 2:
		return pieces.Errorf(pieces.Invalid, "too few hosts, tasks or peers: want %d hosts, and a peer in each task", 2*standing)
	case perTask > o.Hosts/2:
		return pieces.Errorf(pieces.Invalid, "%d peers in each task leave too few of %d hosts to register", perTask, o.Hosts)
	case o.Size <= 2*pieces.MinPieceSize || o.Size > pieces.MaxSize:
		return pieces.Errorf(pieces.Invalid, "content of %d bytes has no parents to follow: want more than %d", o.Size, 2*pieces.MinPieceSize)
	case o.Rate < 0 || o.FixedRate <= 0 || o.DownloadRate <= 0 || o.Duration <= 0 || o.P99 <= 0:
		return pieces.Errorf(pieces.Invalid, "rates and times must be positive")
	}
	return nil
}

// Bench measures one scheduler.
type Bench struct {
	o Options
	// core is the processor given to schedulers of our own; -1 = none.
	core int
}

// New checks the options.
func New(o Options) (*Bench, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	b := &Bench{o: o, core: -1}
	if cpus, err := processors(); err == nil && len(cpus) > 1 {
		b.core = cpus[len(cpus)-1]
	}
	return b, o.check()
}

// Scenarios by name, in the order in which All runs them.
var Scenarios = []struct {
	Name, What string
	Run        func(*Bench, context.Context) (*Report, error)
}{
	{"rate", "registrations per second within the limit of latency", (*Bench).Rate},
	{"memory", "memory of hosts with their streams and of peers", (*Bench).Memory},
	{"tasks", "cost of a registration with few and with many tasks", (*Bench).Tasks},
	{"hot", "a task of thousands of peers against a small one", (*Bench).Hot},
	{"traffic", "bytes to and from the scheduler of each byte downloaded", (*Bench).Traffic},
}
