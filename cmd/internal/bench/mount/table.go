package mount

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"damselfly/cmd/internal/bench/machine"
)

// Row is one comparison. Its ratios are ours / theirs, pair by pair.
type Row struct {
	Part string `json:"part"`
	What string `json:"what"`
	// Theirs says what it is compared with.
	Theirs string `json:"theirs"`
	// Unit of the figures of both sides.
	Unit string `json:"unit,omitempty"`
	// Goal is the worst median ratio that is good; AtLeast: larger is better.
	Goal    float64 `json:"goal"`
	AtLeast bool    `json:"at_least,omitempty"`

	Figures []Pair `json:"figures"`
	// Void are the pairs during which the machine was too busy.
	Void int `json:"void,omitempty"`
	// Busy is the highest share of processor time of a pair on shaped links.
	Busy float64 `json:"busy,omitempty"`
}

// Pair is what two measurements gave.
type Pair struct {
	Ours   float64 `json:"ours"`
	Theirs float64 `json:"theirs"`
}

// Ratios in the order of the pairs.
func (r Row) Ratios() []float64 {
	out := make([]float64, len(r.Figures))
	for i, p := range r.Figures {
		out[i] = p.Ours / p.Theirs
	}
	return out
}

// Median of the ratios, the lower one of two; 0 without any.
func (r Row) Median() float64 { return median(r.Ratios()) }

func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(vs))
	return s[(len(s)-1)/2]
}

// Verdict is met, missed, void or not measured.
func (r Row) Verdict() string {
	switch m := r.Median(); {
	case len(r.Figures) == 0:
		return "not measured"
	case r.Void*2 > len(r.Figures):
		return "void"
	case r.AtLeast && m >= r.Goal, !r.AtLeast && m <= r.Goal:
		return "met"
	}
	return "missed"
}

func (r Row) goal() string {
	if r.AtLeast {
		return fmt.Sprintf("≥ %g", r.Goal)
	}
	return fmt.Sprintf("≤ %.3g", r.Goal)
}

// Table is the outcome of a bench.
type Table struct {
	Rows []Row
	// Notes say under which circumstances.
	Notes []string
}

// add appends a pair to the row of that name, making it if need be.
func (t *Table) add(row Row, ours, theirs, busy float64) {
	i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Part == row.Part && r.What == row.What })
	if i < 0 {
		t.Rows = append(t.Rows, row)
		i = len(t.Rows) - 1
	}
	r := &t.Rows[i]
	r.Figures = append(r.Figures, Pair{ours, theirs})
	r.Busy = max(r.Busy, busy)
	if busy > machine.MaxBusy {
		r.Void++
	}
}

// Write prints the table as Markdown.
func (t *Table) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| part | what | beside | goal | median | pairs | ours | theirs | busy | |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.Rows {
		var ratios, ours, theirs []float64
		ratios = r.Ratios()
		for _, p := range r.Figures {
			ours, theirs = append(ours, p.Ours), append(theirs, p.Theirs)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | **%.3g** | %s | %.4g%s | %.4g%s | %.0f %% | %s |\n", r.Part, r.What, r.Theirs, r.goal(), r.Median(),
			list(ratios), median(ours), r.Unit, median(theirs), r.Unit, 100*r.Busy, r.Verdict())
	}
	b.WriteByte('\n')
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func list(vs []float64) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = fmt.Sprintf("%.3g", v)
	}
	return strings.Join(s, ", ")
}

// judged is a Row with what it comes to, for scripts.
type judged struct {
	Row
	Median  float64 `json:"median"`
	Verdict string  `json:"verdict"`
}

func (t *Table) verdicts() any {
	out := struct {
		Rows  []judged `json:"rows"`
		Notes []string `json:"notes"`
	}{[]judged{}, t.Notes}
	for _, r := range t.Rows {
		out.Rows = append(out.Rows, judged{r, r.Median(), r.Verdict()})
	}
	return out
}

// quantile q of vs, 0 ≤ q ≤ 1.
func quantile(vs []float64, q float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(vs))
	return s[int(q*float64(len(s)-1))]
}
