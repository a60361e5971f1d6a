package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/daemon/control"
)

// row is one read of the whole file on one host.
type row struct {
	host  string
	size  int64
	took  time.Duration
	sum   string
	right bool
	// Bytes by where they came from; together size.
	origin, peers, cache int64
}

// add puts the URL in the catalogue, on the first host, for all of them.
func (s *stage) add(ctx context.Context, url string, out io.Writer) error {
	h := s.hosts[0]
	path, err := h.tool(ctx, "dfmount", "add", url, "--name", "demo")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n$ dfmount add %s --name demo\n%s\n", url, strings.TrimSpace(string(path)))
	return nil
}

// readAll reads the file on all hosts at once, then on the first one again.
func (s *stage) readAll(ctx context.Context, what file) ([]row, error) {
	rows := make([]row, len(s.hosts)+1)
	var g errgroup.Group
	for i, h := range s.hosts {
		g.Go(func() (err error) {
			rows[i], err = h.read(ctx, what)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	again, err := s.hosts[0].read(ctx, what)
	again.host += ", again"
	rows[len(s.hosts)] = again
	return rows, err
}

// read reads the file once and finds out where its bytes came from.
func (h *host) read(ctx context.Context, what file) (row, error) {
	before, err := h.traffic(ctx, what.url)
	if err != nil {
		return row{}, err
	}
	r := row{host: h.name, size: what.size}
	begin := time.Now()
	if h.mount != "" {
		r.sum, err = hashFile(ctx, filepath.Join(h.mount, "by-name", "demo"))
	} else {
		r.sum, err = h.dfget(ctx, what.url)
	}
	r.took = time.Since(begin)
	if err != nil {
		return r, fmt.Errorf("%s: %w", h.name, err)
	}
	after, err := h.traffic(ctx, what.url)
	r.right = r.sum == what.sha256
	r.origin = min(what.size, after.Origin-before.Origin)
	r.peers = min(what.size-r.origin, after.Peers+after.Seeds-before.Peers-before.Seeds)
	r.cache = what.size - r.origin - r.peers
	return r, err
}

// traffic returns where the bytes of url came from so far; nothing if the host
// has not met it yet.
func (h *host) traffic(ctx context.Context, url string) (control.Traffic, error) {
	var tasks []control.TaskInfo
	if err := h.dfmount(ctx, &tasks, "ls"); err != nil {
		return control.Traffic{}, err
	}
	for _, t := range tasks {
		if t.URL == url {
			return t.Traffic, nil
		}
	}
	return control.Traffic{}, nil
}

// hashFile reads path to its end, as fast as it comes.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

// dfget downloads to a file of the host and hashes that.
func (h *host) dfget(ctx context.Context, url string) (string, error) {
	out := filepath.Join(h.dir, "out")
	if _, err := h.tool(ctx, "dfget", url, "-O", out); err != nil {
		return "", err
	}
	return hashFile(ctx, out)
}

func printTable(out io.Writer, rows []row) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-18s\tseconds\tMB/s\tfrom origin\tfrom peers\tfrom cache\tSHA-256\t\n", "host")
	for _, r := range rows {
		sum := "ok"
		if !r.right {
			sum = "WRONG: " + r.sum
		}
		fmt.Fprintf(table, "%-18s\t%.2f\t%.0f\t%s\t%s\t%s\t%s\t\n", r.host, r.took.Seconds(),
			float64(r.size)/1e6/max(r.took.Seconds(), 1e-6), mib(r.origin), mib(r.peers), mib(r.cache), sum)
	}
	_ = table.Flush() // a terminal that went away is no matter
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// reportOrigin says what the origin itself counted, and fails if a read went
// wrong.
func (s *stage) reportOrigin(ctx context.Context, what file, rows []row, out io.Writer) error {
	if what.stats != "" {
		var st originStats
		b, err := fetch(ctx, what.stats)
		if err == nil {
			err = json.Unmarshal(b, &st)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nThe origin sent %s in %d requests: %.2f × the file, for %d reads.\n",
			mib(st.Bytes), st.Requests, float64(st.Bytes)/float64(max(what.size, 1)), len(rows))
	}
	for _, r := range rows {
		if !r.right {
			return fmt.Errorf("%s read other bytes than the origin has", r.host)
		}
	}
	return nil
}
