package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"damselfly/cmd/internal/bench/machine"
)

// Row is one figure of a scenario over its runs.
type Row struct {
	What string
	// Values of the runs, in order; ratios unless Unit says otherwise.
	Values []float64
	Unit   string
	// Goal is the worst value that is good; 0 = only to compare with. AtLeast:
	// larger values are better.
	Goal    float64
	AtLeast bool
	// Void are the runs during which the machine was too busy to measure
	// anything else.
	Void int
	// Busy is the highest share of processor time of a run.
	Busy float64
}

// Median of the values, the lower one of two.
func (r Row) Median() float64 {
	if len(r.Values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(r.Values))
	return s[(len(s)-1)/2]
}

// Worst of the values.
func (r Row) Worst() float64 {
	if len(r.Values) == 0 {
		return 0
	}
	if r.AtLeast {
		return slices.Min(r.Values)
	}
	return slices.Max(r.Values)
}

// Verdict says in one word how the median stands to the goal.
func (r Row) Verdict() string {
	switch {
	case r.Goal == 0:
		return ""
	case len(r.Values) == 0:
		return "not measured"
	case r.Void*2 > len(r.Values):
		return "void"
	case r.AtLeast && r.Median() >= r.Goal, !r.AtLeast && r.Median() <= r.Goal:
		return "met"
	}
	return "missed"
}

func (r Row) goal() string {
	switch {
	case r.Goal == 0:
		return "-"
	case r.AtLeast:
		return fmt.Sprintf("≥ %g", r.Goal)
	}
	return fmt.Sprintf("≤ %g", r.Goal)
}

// Table is the outcome of a scenario.
type Table struct {
	Name, What string
	Rows       []Row
	// Notes say under which circumstances.
	Notes []string
}

// add appends a value to the row of that name, making it if need be.
func (t *Table) add(row Row, value, busy float64) {
	i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.What == row.What })
	if i < 0 {
		t.Rows = append(t.Rows, row)
		i = len(t.Rows) - 1
	}
	r := &t.Rows[i]
	r.Values = append(r.Values, value)
	r.Busy = max(r.Busy, busy)
	if busy > machine.MaxBusy {
		r.Void++
	}
}

// Write prints the table as Markdown.
func (t *Table) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %s\n\n| figure | goal | median | worst | runs | busy | |\n|---|---|---|---|---|---|---|\n", t.Name, t.What)
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "| %s | %s | %.3g%s | %.3g | %s | %.0f %% | %s |\n", r.What, r.goal(), r.Median(), r.Unit, r.Worst(), values(r.Values), 100*r.Busy, r.Verdict())
	}
	b.WriteByte('\n')
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

func values(vs []float64) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = fmt.Sprintf("%.3g", v)
	}
	return strings.Join(s, ", ")
}
