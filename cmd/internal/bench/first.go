package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"time"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// Of the files of which the start is read.
const (
	firstSize  = 1 << 20
	firstPiece = 256 << 10
	firstRead  = 4 << 10
	firstUse   = 10 // read before measuring, so that the daemons know each other
)

// heldFile is a file that the first host holds, where the second sees it.
type heldFile struct {
	content.File
	url, path string
}

// first measures open and the first read of files that another host holds and
// this one has never opened: without limits, and on shaped links beside a fresh
// GET of the piece that the read needs.
func first(ctx context.Context, b *bench) error {
	n := b.o.few(240, 8)
	r, err := b.rig(ctx, 2, 0)
	if err != nil {
		return err
	}
	files, err := r.held(ctx, n+firstUse)
	if err != nil {
		return err
	}
	var took []time.Duration
	busy, err := machine.Busy(func() error {
		for _, f := range files {
			t, err := openAndRead(f)
			if err != nil {
				return err
			}
			took = append(took, t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	took = took[firstUse:]
	milliseconds := func(share float64) float64 { return quantile(took, share).Seconds() * 1000 }
	b.table.add(Row{What: "open and read, p50", Goal: 3, Unit: " ms", Unshaped: true}, milliseconds(0.5), busy)
	b.table.add(Row{What: "open and read, p99", Goal: 15, Unit: " ms", Unshaped: true}, milliseconds(0.99), busy)
	b.note("%d files of %d KiB, one after the other, unshaped.", n, firstSize>>10)
	return b.firstShaped(ctx, b.o.few(60, 4))
}

func (b *bench) firstShaped(ctx context.Context, n int) error {
	r, err := b.rig(ctx, 2, b.o.Rate)
	if err != nil {
		return err
	}
	files, err := r.held(ctx, n)
	if err != nil {
		return err
	}
	var reads, gets []time.Duration
	run, err := r.crowd(ctx, r.hosts[1:], nil, time.Minute, func(ctx context.Context, _ int) error {
		for _, f := range files {
			get, err := getPiece(ctx, r.hosts[1], f)
			if err != nil {
				return err
			}
			read, err := openAndRead(f)
			if err != nil {
				return err
			}
			gets, reads = append(gets, get), append(reads, read)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.table.add(Row{What: fmt.Sprintf("at %d Mbit/s: open and read / a fresh GET of the piece, medians", r.rate/lab.Mbit), Goal: 1.5},
		quantile(reads, 0.5).Seconds()/quantile(gets, 0.5).Seconds(), run.traffic.busy)
	return nil
}

// held makes n files that the first host holds, and adds them on the second.
func (r *rig) held(ctx context.Context, n int) ([]heldFile, error) {
	var clients [2]*control.Client
	for i, d := range r.daemons[:2] {
		c, err := control.Dial(d.Socket)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		clients[i] = c
	}
	files := make([]heldFile, n)
	at := map[string]*heldFile{}
	var all []content.File
	for i := range files {
		f, url, err := r.file(firstSize)
		if err != nil {
			return nil, err
		}
		files[i] = heldFile{File: f, url: url}
		at[f.Name] = &files[i]
		all = append(all, f)
	}
	_, err := inParallel(ctx, all, func(ctx context.Context, f content.File) error {
		h := at[f.Name]
		ref, err := control.ParseRef(h.url, pieces.Options{})
		if err != nil {
			return err
		}
		if _, err := clients[0].Warm(ctx, ref, control.Range{}, nil); err != nil {
			return err
		}
		_, paths, err := clients[1].Add(ctx, h.url, pieces.Options{}, "")
		if err == nil && len(paths) == 0 {
			err = fmt.Errorf("%s has no path in a mount", f.Name)
		}
		if err != nil {
			return err
		}
		h.path = paths[0]
		return nil
	})
	return files, err
}

// openAndRead returns how long opening f and reading its start took.
func openAndRead(f heldFile) (time.Duration, error) {
	buf := make([]byte, firstRead)
	began := time.Now()
	file, err := os.Open(f.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.ReadAt(buf, 0); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, f.Check(buf, 0)
}

// getPiece returns how long h takes to get f's first piece from the origin by a
// connection of its own.
func getPiece(ctx context.Context, h *lab.Host, f heldFile) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", firstPiece-1))
	began := time.Now()
	resp, err := h.Client().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	if err == nil && len(body) != firstPiece {
		err = fmt.Errorf("%s: %s, %d bytes", f.url, resp.Status, len(body))
	}
	if err != nil {
		return 0, err
	}
	return took, f.Check(body, 0)
}

// quantile is the smallest value that a share of all do not exceed.
func quantile(of []time.Duration, share float64) time.Duration {
	s := slices.Sorted(slices.Values(of))
	return s[max(0, int(math.Ceil(share*float64(len(s))))-1)]
}
