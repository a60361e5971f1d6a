// Soak runs a whole installation (manager, two schedulers, a seed, four hosts
// with mounts, an origin; real processes in network namespaces) under load, and
// breaks parts of it at random: kill -9, SIGSTOP, restarts, cut, parted and slow
// links, evictions, new versions at the origin.
//
// It is right when no byte was ever wrong, every operation ended by its
// deadline, every host read right again within 30 s after the last fault of a
// round, and all counters came to rest. What it does follows from its seed:
//
//	soak -bin bin -duration 1h [-seed N] [-round N]
//
// -round runs that round of the seed again and again, to replay a failure.
//
// With -model N it reads one mount in every way instead: see package model.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

type options struct {
	bin      string
	duration time.Duration
	seed     uint64
	round    int
	keep     bool
	readers  int
	share    int
	model    int
}

func main() {
	o := options{}
	flag.StringVar(&o.bin, "bin", "bin", "directory of the programs")
	flag.DurationVar(&o.duration, "duration", time.Hour, "how long to go on")
	flag.Uint64Var(&o.seed, "seed", 0, "of the faults and the reads (0: a new one)")
	flag.IntVar(&o.round, "round", -1, "run only this round, again and again")
	flag.BoolVar(&o.keep, "keep", false, "keep logs and data also when all was well")
	flag.IntVar(&o.readers, "readers", 4, "readers on each host")
	flag.IntVar(&o.share, "share", 0, "only print one part of the duration, of so many")
	flag.IntVar(&o.model, "model", 0, "instead: so many operations of every kind on one mount, checked byte by byte")
	flag.Parse()
	if o.share > 0 {
		fmt.Println(max(time.Second, (o.duration / time.Duration(o.share)).Round(time.Second)))
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if o.seed == 0 {
		o.seed = rand.Uint64N(1 << 32)
	}
	do := run
	if o.model > 0 {
		do = runModel
	}
	if err := do(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		cancel()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	fmt.Fprintf(out, "soak: seed %d for %v\n", o.seed, o.duration)
	l, err := lab.New(ctx, lab.Options{Bin: o.bin, Keep: true})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, l.Close())
		if err == nil && !o.keep {
			err = os.RemoveAll(l.Dir)
		} else {
			fmt.Fprintln(out, "logs and data are in", l.Dir)
		}
	}()
	// Whatever hangs ends with its daemon.
	defer context.AfterFunc(ctx, l.Kill)()
	s, err := newStage(ctx, l, o.seed)
	if err != nil {
		return err
	}
	k := &soak{o: o, out: out, stage: s, tally: newTally(), first: map[string]counters{}}
	k.load = &load{tally: k.tally}
	err = errors.Join(k.rounds(ctx), s.broken())
	fmt.Fprint(out, k.tally)
	for i, b := range k.tally.bad() {
		if i == mostPrinted {
			fmt.Fprintln(out, "… and so on")
			break
		}
		fmt.Fprintln(out, "FAILED", b)
	}
	if n := len(k.tally.bad()); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d failures; replay with -seed %d -round N", n, o.seed))
	}
	return err
}

// mostPrinted failures of a run are printed; the first tells most.
const mostPrinted = 20

// soak is one run.
type soak struct {
	o     options
	out   io.Writer
	stage *stage
	load  *load
	tally *tally
	// first are the counters of the first rest, before any fault.
	first map[string]counters
}

// rounds runs rounds until the time is over or something is wrong.
func (k *soak) rounds(ctx context.Context) error {
	end := time.Now().Add(k.o.duration)
	if err := k.calm(ctx); err != nil {
		return fmt.Errorf("before any fault: %w", err)
	}
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		n := i
		if k.o.round >= 0 {
			n = k.o.round
		}
		if err := k.play(ctx, i+1, plan(k.o.seed, n)); err != nil {
			return err
		}
		if len(k.tally.bad()) > 0 {
			return nil
		}
	}
	k.tally.setRound("")
	return ctx.Err()
}

// calm reads on all hosts without any fault and notes the counters at rest.
func (k *soak) calm(ctx context.Context) error {
	files, err := k.stage.serve(ctx, 0)
	if err != nil {
		return err
	}
	k.prove(ctx, files)
	if bad := k.tally.bad(); len(bad) > 0 {
		return errors.New(bad[0])
	}
	for _, d := range k.stage.cluster.Daemons() {
		c, err := atRest(ctx, d.Host, counters{goroutines: 400, descriptors: 120})
		if err != nil {
			return err
		}
		k.first[d.Host.Name] = c
		fmt.Fprintf(k.out, "at rest: %-5s %v\n", d.Host.Name, c)
	}
	return nil
}

// play runs one round: files nobody has, readers, faults; then proof, and rest.
// i counts the rounds of this run, from 1.
func (k *soak) play(ctx context.Context, i int, r Round) error {
	fmt.Fprintf(k.out, "%s %v\n", time.Now().Format("15:04:05"), r)
	k.tally.setRound(r.String())
	files, err := k.stage.serve(ctx, i)
	if err != nil {
		return err
	}
	k.load.files.Store(&files)
	k.load.round.Store(&r)
	loadCtx, stopLoad := context.WithCancel(ctx)
	stopped := k.startLoad(loadCtx, r)
	defer func() { stopLoad(); <-stopped }()

	if err := k.faults(ctx, r); err != nil {
		return fmt.Errorf("%v: %w", r, err)
	}
	fresh, err := k.afterwards(ctx, i)
	if err != nil {
		return fmt.Errorf("after %v: %w", r, err)
	}
	k.prove(ctx, append(slices.Clone(files), fresh...))
	stopLoad()
	<-stopped
	if err := k.stage.alive(); err != nil {
		return fmt.Errorf("after %v: %w", r, err)
	}
	for _, d := range k.stage.cluster.Daemons() {
		if _, err := atRest(ctx, d.Host, k.first[d.Host.Name]); err != nil {
			k.tally.failed("%v", err)
		}
	}
	return nil
}

// afterwards waits until the catalogue takes entries again and adds a file that
// nobody has seen.
func (k *soak) afterwards(ctx context.Context, i int) (fresh []*file, err error) {
	f := &file{Versions: content.NewVersions(k.o.seed, fmt.Sprintf("fresh%d.bin", i), 5<<20+11)}
	if f.url, err = k.stage.origin.Add(f.Next()); err != nil {
		return nil, err
	}
	err = lab.Until(ctx, healDeadline, "adding a file", func() error {
		path, err := k.stage.cluster.Hosts[0].Add(ctx, f.url)
		f.id = path[max(0, len(path)-64):]
		return err
	})
	return []*file{f}, err
}

// startLoad starts the readers; stopped is closed when the last has ended.
func (k *soak) startLoad(ctx context.Context, r Round) (stopped chan struct{}) {
	var wg sync.WaitGroup
	for h, d := range k.stage.cluster.Hosts {
		for i := range k.o.readers {
			rnd := rand.New(rand.NewPCG(k.o.seed, uint64(r.Number)<<16|uint64(h)<<8|uint64(i)))
			wg.Go(func() { k.load.reader(ctx, d, rnd) })
		}
	}
	wg.Go(func() {
		k.load.getter(ctx, k.stage.cluster.Hosts, rand.New(rand.NewPCG(k.o.seed, uint64(r.Number)<<16|0xffff)))
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			k.tally.watch()
			rest(ctx, 250*time.Millisecond)
		}
	})
	stopped = make(chan struct{})
	go func() { wg.Wait(); close(stopped) }()
	return stopped
}

// faults makes and undoes the faults of r at their times.
func (k *soak) faults(ctx context.Context, r Round) error {
	type step struct {
		at time.Duration
		do func() error
	}
	var steps []step
	for _, f := range r.Faults {
		steps = append(steps, step{f.At, func() error { return k.stage.begin(ctx, f) }})
		steps = append(steps, step{f.At + f.For, func() error { return k.stage.end(ctx, f) }})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	began := time.Now()
	for _, s := range steps {
		rest(ctx, time.Until(began.Add(s.at)))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

// provePart is how much of a file every host reads to prove that it can.
const provePart = 6 << 20

// prove has every host read every file.
func (k *soak) prove(ctx context.Context, files []*file) {
	began := time.Now()
	var wg sync.WaitGroup
	for _, d := range k.stage.cluster.Hosts {
		wg.Go(func() {
			for _, f := range files {
				wg.Go(func() { k.load.proves(ctx, d, f, provePart) })
			}
		})
	}
	wg.Wait()
	fmt.Fprintf(k.out, "         right again everywhere after %.1f s\n", time.Since(began).Seconds())
}
