package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// aria2Args are as a careful user would set them: no discovery beside the
// tracker, no time lost to allocation, and who is done goes on seeding, as our
// daemons do.
var aria2Args = []string{
	"--no-conf", "--quiet", "--file-allocation=none", "--enable-dht=false", "--bt-enable-lpd=false",
	"--listen-port=6881", "--bt-tracker-interval=1", "--seed-time=1000", "--seed-ratio=0", "--check-certificate=false",
	"--bt-max-peers=0", "--disk-cache=64M", "--allow-overwrite=true",
}

// aria2 gives f to all hosts of a bare rig by BitTorrent: the origin's host
// runs the tracker, the first host is the one seeder and holds the file.
func (r *rig) aria2(ctx context.Context, f content.File, limit time.Duration) (run crowdRun, err error) {
	lis, err := r.origin.Host.Listen(ctx, "tcp", r.origin.Host.IP+":6969")
	if err != nil {
		return run, err
	}
	t := serveTracker(lis)
	defer t.close()
	meta, err := torrent(f, "http://"+lis.Addr().String()+"/announce")
	if err != nil {
		return run, err
	}
	hosts := r.hosts[1:]
	var mu sync.Mutex
	var procs []*lab.Proc
	defer func() {
		for _, p := range procs {
			_ = p.Kill()
		}
		for _, h := range r.hosts { // for the next run
			err = errors.Join(err, os.RemoveAll(filepath.Join(h.Dir, "bt")), os.RemoveAll(filepath.Join(h.Dir, "done")))
		}
	}()
	start := func(h *lab.Host, args ...string) (string, error) {
		dir := filepath.Join(h.Dir, "bt")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		file := filepath.Join(h.Dir, "bench.torrent")
		if err := os.WriteFile(file, meta, 0o644); err != nil {
			return "", err
		}
		argv := append(append([]string{"aria2c"}, aria2Args...), "--dir="+dir)
		p, err := h.Start("aria2c", append(append(argv, args...), file)...)
		if err == nil {
			mu.Lock()
			procs = append(procs, p)
			mu.Unlock()
		}
		return dir, err
	}
	seeder := r.hosts[0]
	if err := os.MkdirAll(filepath.Join(seeder.Dir, "bt"), 0o755); err != nil {
		return run, err
	}
	if err := writeContent(f, filepath.Join(seeder.Dir, "bt", f.Name)); err != nil {
		return run, err
	}
	if _, err := start(seeder, "--bt-seed-unverified=true"); err != nil {
		return run, err
	}
	if err := lab.Until(ctx, 10*time.Second, "the seeder to announce itself", func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.peers) == 0 {
			return fmt.Errorf("nobody did: %s", procs[0].Tail(3))
		}
		return nil
	}); err != nil {
		return run, err
	}
	hooks := make([]string, len(hosts))
	for i, h := range hosts {
		hooks[i] = filepath.Join(h.Dir, "done.sh")
		script := fmt.Sprintf("#!/bin/sh\n: > %s\n", filepath.Join(h.Dir, "done"))
		if err := os.WriteFile(hooks[i], []byte(script), 0o755); err != nil {
			return run, err
		}
	}
	outs := make([]string, len(hosts))
	run, err = r.crowd(ctx, hosts, nil, limit, func(ctx context.Context, i int) error {
		dir, err := start(hosts[i], "--on-bt-download-complete="+hooks[i])
		if err != nil {
			return err
		}
		outs[i] = filepath.Join(dir, f.Name)
		return lab.Until(ctx, limit, "aria2c to finish", func() error {
			_, err := os.Stat(filepath.Join(hosts[i].Dir, "done"))
			return err
		})
	})
	if err != nil {
		return run, err
	}
	for _, p := range procs {
		_ = p.Kill()
	}
	return run, checkAll(f, outs)
}

func writeContent(f content.File, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := out.ReadFrom(f.Reader()); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
