package load

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what one scenario found.
type Report struct {
	Scenario string `json:"scenario"`
	// Setting says in words what the figures are of.
	Setting string `json:"setting"`
	Rows    []Row  `json:"rows,omitempty"`
	Memory  []Size `json:"memory,omitempty"`
	Goals   []Goal `json:"goals,omitempty"`
}

// Row is one measurement of latency and cost.
type Row struct {
	What string `json:"what"`
	// Offered and Rate are registrations per second: meant, and answered with
	// parents. Parents is how many of these a registration got on average.
	Offered float64 `json:"offered"`
	Rate    float64 `json:"rate"`
	Parents float64 `json:"parents"`
	Calls   int     `json:"calls"`
	Failed  int     `json:"failed"`
	Error   string  `json:"error,omitempty"`
	// Latencies in ms from the time a call was meant to begin; Late is the
	// 99th percentile of how late it began: the generator's own share.
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
	Late float64 `json:"late_p99_ms"`
	// CPU seconds of the scheduler per 1,000 calls, and its share of one core.
	CPU  float64 `json:"cpu_s_per_1000"`
	Core float64 `json:"core_share"`
	RSS  int64   `json:"rss_bytes"`
}

// Size is one measurement of memory after a garbage collection.
type Size struct {
	What string `json:"what"`
	N    int    `json:"n"`
	RSS  int64  `json:"rss_bytes"`
	Heap int64  `json:"heap_bytes"`
	// Each is what one of N added to RSS and heap.
	EachRSS  int64 `json:"each_rss_bytes"`
	EachHeap int64 `json:"each_heap_bytes"`
}

// Goal is a figure that the design names.
type Goal struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	// Limit is the most, or with AtLeast the least, that is allowed.
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"`
}

// Met reports whether the goal was reached.
func (g Goal) Met() bool {
	if g.AtLeast {
		return g.Value >= g.Limit
	}
	return g.Value <= g.Limit
}

func (g Goal) String() string {
	sign, verdict := "≤", "met"
	if g.AtLeast {
		sign = "≥"
	}
	if !g.Met() {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%s: %.4g (goal %s %.4g) %s", g.What, g.Value, sign, g.Limit, verdict)
}

func row(what string, offered float64, o *Outcome, parents int64, spent, rss int64) Row {
	r := Row{
		What: what, Offered: offered, Rate: o.Rate(), Calls: o.Calls, Failed: o.Failed,
		P50: ms(o.Latency.At(.5)), P99: ms(o.Latency.At(.99)), Max: ms(o.Latency.At(1)), Late: ms(o.Late.At(.99)),
		RSS: rss,
	}
	if ok := o.Calls - o.Failed; ok > 0 {
		r.Parents = float64(parents) / float64(ok)
		r.CPU = time.Duration(spent).Seconds() / float64(ok) * 1000
		r.Core = time.Duration(spent).Seconds() / o.Took.Seconds()
	}
	if o.Err != nil {
		r.Error = o.Err.Error()
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Print writes the report as tables.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Scenario, r.Setting)
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.AlignRight)
	if len(r.Rows) > 0 {
		fmt.Fprint(t, "offered/s\treg/s\tparents\tp50 ms\tp99 ms\tmax ms\tlate p99\tcpu s/1000\tcore %\tRSS MiB\tfailed\t  \n")
		for _, x := range r.Rows {
			fmt.Fprintf(t, "%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.4f\t%.0f\t%.0f\t%d\t  %s\n", x.Offered, x.Rate, x.Parents,
				x.P50, x.P99, x.Max, x.Late, x.CPU, 100*x.Core, mib(x.RSS), x.Failed, strings.TrimSpace(x.What+" "+x.Error))
		}
	}
	if len(r.Memory) > 0 {
		fmt.Fprint(t, "n\tRSS MiB\theap MiB\tRSS each\theap each\t  \n")
		for _, x := range r.Memory {
			fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%d\t%d\t  %s\n", x.N, mib(x.RSS), mib(x.Heap), x.EachRSS, x.EachHeap, x.What)
		}
	}
	t.Flush()
	for _, g := range r.Goals {
		fmt.Fprintln(&b, g)
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
