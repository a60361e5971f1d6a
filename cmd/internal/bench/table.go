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
	Values []Value
	Unit   string
	// Goal is the worst value that is good; 0 = only to compare with. AtLeast:
	// larger values are better.
	Goal    float64
	AtLeast bool
	// Unshaped: it counts bytes or compares like with like, so that a busy
	// machine does not make it void.
	Unshaped bool
}

// Value is a Row's value of one run.
type Value struct {
	Value float64 `json:"value"`
	// Busy is the share of processor time during the run.
	Busy float64 `json:"busy"`
	// Void: the machine was too busy to measure anything else.
	Void bool `json:"void"`
}

// counted are the sorted values that count: those that are not void, or all if
// there are no others.
func (r Row) counted() []float64 {
	var good, all []float64
	for _, v := range r.Values {
		all = append(all, v.Value)
		if !v.Void {
			good = append(good, v.Value)
		}
	}
	if len(good) == 0 {
		good = all
	}
	slices.Sort(good)
	return good
}

// Median of the values that count, the lower one of two.
func (r Row) Median() float64 {
	s := r.counted()
	if len(s) == 0 {
		return 0
	}
	return s[(len(s)-1)/2]
}

// Worst of the values that count.
func (r Row) Worst() float64 {
	s := r.counted()
	switch {
	case len(s) == 0:
		return 0
	case r.AtLeast:
		return s[0]
	}
	return s[len(s)-1]
}

// Busy is the highest share of processor time of a run.
func (r Row) Busy() float64 {
	busy := 0.0
	for _, v := range r.Values {
		busy = max(busy, v.Busy)
	}
	return busy
}

// Verdict says in one word how the median stands to the goal. It is void if most
// runs are.
func (r Row) Verdict() string {
	void := 0
	for _, v := range r.Values {
		if v.Void {
			void++
		}
	}
	switch {
	case r.Goal == 0:
		return ""
	case len(r.Values) == 0:
		return "not measured"
	case void*2 > len(r.Values):
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

	plots []string // files of the results that belong to it
}

// add appends a value to the row of that name, making it if need be.
func (t *Table) add(row Row, value, busy float64) {
	i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.What == row.What })
	if i < 0 {
		t.Rows = append(t.Rows, row)
		i = len(t.Rows) - 1
	}
	r := &t.Rows[i]
	r.Values = append(r.Values, Value{value, busy, busy > machine.MaxBusy && !r.Unshaped})
}

// Write prints the table as Markdown. A void run's value is crossed out.
func (t *Table) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %s\n\n| figure | goal | median | worst | runs | busy | |\n|---|---|---|---|---|---|---|\n", t.Name, t.What)
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "| %s | %s | %.3g%s | %.3g | %s | %.0f %% | %s |\n", r.What, r.goal(), r.Median(), r.Unit, r.Worst(), values(r.Values), 100*r.Busy(), r.Verdict())
	}
	b.WriteByte('\n')
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

func values(vs []Value) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = fmt.Sprintf("%.3g", v.Value)
		if v.Void {
			s[i] = "~~" + s[i] + "~~"
		}
	}
	return strings.Join(s, ", ")
}
