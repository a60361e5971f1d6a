package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// gauge reads what a process says of itself on its metrics port, HOST:PORT.
// The empty one reads zeros.
type gauge string

// usage of a process at one moment.
type usage struct {
	CPU  time.Duration // user and system, since its start
	RSS  int64         // bytes resident
	Heap int64         // bytes of live objects and of garbage not yet swept
}

// read takes the process's figures as they are.
func (g gauge) read(ctx context.Context) (usage, error) {
	if g == "" {
		return usage{}, nil
	}
	values := map[string]float64{}
	err := g.get(ctx, "/metrics", func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), " ")
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				values[name] = v
			}
		}
		return lines.Err()
	})
	return usage{
		CPU:  time.Duration(values["process_cpu_seconds_total"] * float64(time.Second)),
		RSS:  int64(values["process_resident_memory_bytes"]),
		Heap: int64(values["go_memstats_heap_alloc_bytes"]),
	}, err
}

// settled reads the figures after a garbage collection.
func (g gauge) settled(ctx context.Context) (usage, error) {
	if g != "" {
		if err := g.get(ctx, "/debug/pprof/heap?gc=1", drain); err != nil {
			return usage{}, err
		}
	}
	return g.read(ctx)
}

// profile writes a processor profile of the next d to file.
func (g gauge) profile(ctx context.Context, d time.Duration, file string) error {
	return g.save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d.Seconds()))), file)
}

// heap writes a heap profile to file.
func (g gauge) heap(ctx context.Context, file string) error {
	return g.save(ctx, "/debug/pprof/heap?gc=1", file)
}

func (g gauge) save(ctx context.Context, path, file string) error {
	if g == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = g.get(ctx, path, func(r io.Reader) error { _, err := io.Copy(f, r); return err })
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func drain(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }

func (g gauge) get(ctx context.Context, path string, f func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(g)+path, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: %s", g, path, r.Status)
	}
	return f(r.Body)
}
