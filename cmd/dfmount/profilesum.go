package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"damselfly/cmd/internal/boot"
	"damselfly/fusefs"
	"damselfly/pieces"
)

// profile sums up requests.
type profile struct {
	took    time.Duration
	dropped int64
	ops     map[string]*cost
	hits    [pieces.Hits]cost // of reads
	files   map[pieces.TaskID]*cost
}

func newProfile() *profile {
	return &profile{ops: map[string]*cost{}, files: map[pieces.TaskID]*cost{}}
}

func (p *profile) add(a fusefs.Access) {
	sum(p.ops, a.Op).add(a)
	if a.Op == "read" {
		p.hits[a.Hit].add(a)
	}
	if a.Task != "" {
		sum(p.files, a.Task).add(a)
	}
}

func sum[K comparable](m map[K]*cost, k K) *cost {
	if m[k] == nil {
		m[k] = &cost{}
	}
	return m[k]
}

// cost is what requests took. Latencies are kept in buckets of 2^(1/8), so that
// percentiles are right within 9 %, whatever their number.
type cost struct {
	count, failed, bytes int64
	total, longest       time.Duration
	buckets              map[int]int64
}

func (c *cost) add(a fusefs.Access) {
	c.count++
	if a.Errno != 0 {
		c.failed++
	} else if a.Op == "read" {
		c.bytes += a.Size
	}
	c.total += a.Took
	c.longest = max(c.longest, a.Took)
	if c.buckets == nil {
		c.buckets = map[int]int64{}
	}
	c.buckets[bucketOf(a.Took)]++
}

func bucketOf(d time.Duration) int {
	return int(math.Ceil(8 * math.Log2(float64(max(d, time.Microsecond))/float64(time.Microsecond))))
}

// percentile is the upper end of the bucket that the q-th of 1 request is in.
func (c *cost) percentile(q float64) time.Duration {
	rank, seen := int64(math.Ceil(q*float64(c.count))), int64(0)
	for _, b := range slices.Sorted(maps.Keys(c.buckets)) {
		if seen += c.buckets[b]; seen >= rank {
			d := time.Duration(math.Pow(2, float64(b)/8) * float64(time.Microsecond))
			return min(d, max(c.longest, time.Microsecond))
		}
	}
	return 0
}

// profileReport is what a profile found; times are in microseconds.
type profileReport struct {
	Seconds float64 `json:"seconds"`
	// Dropped requests are missing: they came faster than they were read.
	Dropped int64         `json:"dropped"`
	Ops     []profileLine `json:"ops"`
	Hits    []profileLine `json:"hits"`
	Files   []profileLine `json:"files"`
}

// profileLine is the cost of one kind of request, or of one file.
type profileLine struct {
	What   string `json:"what"`
	Count  int64  `json:"count"`
	Failed int64  `json:"failed"`
	Bytes  int64  `json:"bytes"`
	Total  int64  `json:"total_us"`
	P50    int64  `json:"p50_us"`
	P95    int64  `json:"p95_us"`
	P99    int64  `json:"p99_us"`
	Max    int64  `json:"max_us"`
}

func (c *cost) line(what string) profileLine {
	return profileLine{
		What: what, Count: c.count, Failed: c.failed, Bytes: c.bytes, Total: c.total.Microseconds(),
		P50: c.percentile(0.5).Microseconds(), P95: c.percentile(0.95).Microseconds(),
		P99: c.percentile(0.99).Microseconds(), Max: c.longest.Microseconds(),
	}
}

// report sorts ops and files by time spent, and keeps the first files.
func (p *profile) report(files int, names map[pieces.TaskID]string) profileReport {
	r := profileReport{Seconds: p.took.Seconds(), Dropped: p.dropped}
	for op, c := range p.ops {
		r.Ops = append(r.Ops, c.line(op))
	}
	for h := range p.hits {
		if p.hits[h].count > 0 {
			r.Hits = append(r.Hits, p.hits[h].line(pieces.Hit(h).String()))
		}
	}
	for id, c := range p.files {
		r.Files = append(r.Files, c.line(cmp.Or(names[id], id.Short())))
	}
	bySpent := func(a, b profileLine) int { return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.What, b.What)) }
	slices.SortFunc(r.Ops, bySpent)
	slices.SortFunc(r.Files, bySpent)
	r.Files = r.Files[:min(len(r.Files), files)]
	return r
}

func printProfile(w io.Writer, r profileReport) error {
	t := newTable(w)
	for _, part := range []struct {
		title string
		lines []profileLine
	}{{"OPERATION", r.Ops}, {"READ FROM", r.Hits}, {"FILE", r.Files}} {
		if len(part.lines) == 0 {
			continue
		}
		t.row(part.title, "COUNT", "FAILED", "BYTES", "PER SECOND", "P50", "P95", "P99", "MAX", "IN SUM")
		for _, l := range part.lines {
			bytes, speed := "-", "-"
			if l.Bytes > 0 {
				bytes, speed = boot.FormatBytes(l.Bytes), rate(l.Bytes, r.Seconds)
			}
			t.row(l.What, fmt.Sprint(l.Count), fmt.Sprint(l.Failed), bytes, speed, micros(l.P50), micros(l.P95), micros(l.P99), micros(l.Max), micros(l.Total))
		}
		t.row("")
	}
	summary := fmt.Sprintf("%.1f s listened", r.Seconds)
	if len(r.Ops) == 0 {
		summary += "; no request came: all was answered by the kernel, or nobody read"
	}
	if r.Dropped > 0 {
		summary += fmt.Sprintf("; %d requests more came too fast to be written down", r.Dropped)
	}
	t.row(summary)
	return t.flush()
}

func micros(us int64) string {
	d := time.Duration(us) * time.Microsecond
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second / 10).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond / 10).String()
	}
	return d.String()
}
