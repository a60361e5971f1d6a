package bench

import (
	"time"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/lab"
)

// sampleEvery is how often the links are looked at during a run.
const sampleEvery = 100 * time.Millisecond

// sample is what the hosts had received some time after the start.
type sample struct {
	at       time.Duration
	received []int64 // bytes on the link, in the order of the hosts
}

// recorder samples the links of some hosts until it is stopped.
type recorder struct {
	lab     *lab.Lab
	hosts   []*lab.Host
	began   time.Time
	base    map[string]lab.Link
	cpu     machine.Processors
	procs   map[int]float64 // seconds of processor time of each process
	samples []sample
	stop    chan struct{}
	done    chan struct{}
	err     error
}

// record begins to sample.
func record(l *lab.Lab, hosts []*lab.Host) (*recorder, error) {
	base, err := l.Links()
	if err != nil {
		return nil, err
	}
	cpu, err := machine.ReadProcessors()
	if err != nil {
		return nil, err
	}
	procs, err := processSeconds(l)
	if err != nil {
		return nil, err
	}
	r := &recorder{lab: l, hosts: hosts, began: time.Now(), base: base, cpu: cpu, procs: procs, stop: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r, nil
}

func (r *recorder) run() {
	defer close(r.done)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
		links, err := r.lab.Links()
		if err != nil {
			r.err = err
			return
		}
		s := sample{at: time.Since(r.began), received: make([]int64, len(r.hosts))}
		for i, h := range r.hosts {
			s.received[i] = links[h.Name].Received - r.base[h.Name].Received
		}
		r.samples = append(r.samples, s)
	}
}

// traffic is what a run cost.
type traffic struct {
	links map[string]lab.Link // bytes of each host during the run
	busy  float64             // share of processor time
	cpu   float64             // seconds of processor time, of the whole machine
	procs float64             // … of the lab's servers, other work aside
}

// end stops sampling and returns what passed since record.
func (r *recorder) end() (traffic, error) {
	close(r.stop)
	<-r.done
	if r.err != nil {
		return traffic{}, r.err
	}
	links, err := r.lab.Links()
	if err != nil {
		return traffic{}, err
	}
	for name, now := range links {
		links[name] = lab.Link{Sent: now.Sent - r.base[name].Sent, Received: now.Received - r.base[name].Received}
	}
	cpu, err := machine.ReadProcessors()
	if err != nil {
		return traffic{}, err
	}
	t := traffic{links: links}
	t.busy, t.cpu = cpu.Since(r.cpu)
	procs, err := processSeconds(r.lab)
	if err != nil {
		return traffic{}, err
	}
	for pid, seconds := range procs {
		t.procs += seconds - r.procs[pid]
	}
	return t, nil
}
