package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// stage is the installation that things are done to. One goroutine uses it.
type stage struct {
	lab     *lab.Lab
	origin  *lab.Origin
	cluster *lab.Cluster
	seed    uint64
	// files of this round and of the last two, whose bytes may still be read.
	files [][]*file
}

// cacheSize of every host is small, so that old rounds' files are evicted.
const cacheSize = "192MiB"

// newStage brings everything up. The caller closes the lab, also on error.
func newStage(ctx context.Context, l *lab.Lab, seed uint64) (s *stage, err error) {
	s = &stage{lab: l, seed: seed}
	if s.origin, err = l.StartOrigin(ctx); err != nil {
		return s, err
	}
	s.cluster, err = l.StartCluster(ctx, lab.ClusterOptions{
		Schedulers: 2, Hosts: len(hosts), Rate: linkRate, Extra: []string{"--cache-size", cacheSize},
	})
	return s, err
}

// linkRate of seed and hosts: fetching takes a while.
const linkRate = 200 * lab.Mbit

// part is a process that can be ended and started again.
type part struct {
	*lab.Proc
	host  *lab.Host
	start func(context.Context) error
}

func (s *stage) part(name string) part {
	c := s.cluster
	switch name {
	case "origin":
		return part{s.origin.Proc, s.origin.Host, s.origin.Start}
	case "manager":
		return part{c.Manager.Proc, c.Manager.Host, c.Manager.Start}
	}
	for _, x := range c.Schedulers {
		if x.Host.Name == name {
			return part{x.Proc, x.Host, x.Start}
		}
	}
	for _, x := range c.Daemons() {
		if x.Host.Name == name {
			return part{x.Proc, x.Host, x.Start}
		}
	}
	panic("no part " + name)
}

// serve puts new files for round n on the origin, adds them on the first host
// and returns them. Files of three rounds ago are removed.
func (s *stage) serve(ctx context.Context, n int) ([]*file, error) {
	var files []*file
	for name, size := range sizes {
		f := &file{Versions: content.NewVersions(s.seed, fmt.Sprintf("r%d-%s.bin", n, name), size)}
		url, err := s.origin.Add(f.Next())
		if err != nil {
			return nil, err
		}
		f.url = url
		path, err := s.cluster.Hosts[0].Add(ctx, url)
		if err != nil {
			return nil, err
		}
		f.id = filepath.Base(path)
		files = append(files, f)
	}
	s.files = append(s.files, files)
	if len(s.files) > 3 {
		for _, f := range s.files[0] {
			if err := os.Remove(filepath.Join(s.origin.Host.Dir, "files", f.Name)); err != nil {
				return nil, err
			}
		}
		s.files = s.files[1:]
	}
	return files, nil
}

// begin makes a fault.
func (s *stage) begin(ctx context.Context, f Fault) error {
	p := s.part(f.Target)
	switch f.Kind {
	case Kill:
		return p.Kill()
	case Pause:
		return p.Stop()
	case Restart:
		return s.terminate(p)
	case Cut:
		return p.host.Cut(ctx)
	case Part:
		return p.host.Part(ctx, s.part(f.Other).host)
	case Slow:
		return p.host.Shape(ctx, 2*lab.Mbit, 2*lab.Mbit)
	case Evict:
		return s.evict(ctx, f.Target)
	case Deploy:
		for _, x := range s.files[len(s.files)-1] {
			if _, err := s.origin.Add(x.Next()); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no such fault: %s", f.Kind)
}

// stopTime is how long a part may take to end after SIGTERM. Readers keep
// files of a daemon's mount open meanwhile.
const stopTime = 20 * time.Second

func (s *stage) terminate(p part) error {
	if strings.HasSuffix(p.Name, "nginx") {
		return p.Kill() // SIGTERM is abrupt there too
	}
	return p.Terminate(stopTime)
}

// end undoes it.
func (s *stage) end(ctx context.Context, f Fault) error {
	p := s.part(f.Target)
	switch f.Kind {
	case Kill, Restart:
		return p.start(ctx)
	case Pause:
		return p.Continue()
	case Cut:
		return p.host.Mend(ctx)
	case Part:
		return p.host.Join(ctx, s.part(f.Other).host)
	case Slow:
		return p.host.Shape(ctx, linkRate, linkRate)
	}
	return nil
}

// evict drops the bytes of all files of the round. A file in use refuses, or
// is not there yet: both are fine.
func (s *stage) evict(ctx context.Context, name string) error {
	for _, d := range s.cluster.Daemons() {
		if d.Host.Name != name {
			continue
		}
		for _, f := range s.files[len(s.files)-1] {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			res, err := d.Dfmount(ctx, "evict", f.id)
			cancel()
			if err == nil && res.Exit == 2 {
				err = res.Err()
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// alive fails if a part has ended by itself.
func (s *stage) alive() error {
	var errs []error
	for _, name := range parts {
		errs = append(errs, s.part(name).Alive())
	}
	return errors.Join(errs...)
}

// broken looks through the logs for what no program of ours may say.
func (s *stage) broken() error {
	files, err := filepath.Glob(filepath.Join(s.lab.Dir, "logs", "*.log"))
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, mark := range []string{"WARNING: DATA RACE", "panic:", "fatal error:", " [running]:"} {
			if i := strings.Index(string(b), mark); i >= 0 {
				return fmt.Errorf("%s: %.3000s", filepath.Base(name), b[i:])
			}
		}
	}
	return nil
}
