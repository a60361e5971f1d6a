package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// MarshalJSON adds what is derived from the values.
func (r Row) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		What    string  `json:"what"`
		Unit    string  `json:"unit,omitempty"`
		Goal    float64 `json:"goal,omitempty"`
		AtLeast bool    `json:"at_least,omitempty"`
		Median  float64 `json:"median"`
		Worst   float64 `json:"worst"`
		Verdict string  `json:"verdict,omitempty"`
		Values  []Value `json:"values"`
	}{r.What, r.Unit, r.Goal, r.AtLeast, r.Median(), r.Worst(), r.Verdict(), r.Values})
}

// MarshalJSON names the fields as scripts expect them.
func (t Table) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name  string   `json:"scenario"`
		What  string   `json:"what"`
		Rows  []Row    `json:"rows"`
		Notes []string `json:"notes,omitempty"`
	}{t.Name, t.What, t.Rows, t.Notes})
}

// print writes a table to Out as text or JSON, and into the folder of results.
func (o *Options) print(t *Table) error {
	write := t.Write
	if o.JSON {
		write = func(w io.Writer) error { return json.NewEncoder(w).Encode(t) }
	}
	if err := write(o.Out); err != nil || o.Results == "" {
		return err
	}
	if err := o.result(t.Name+".json", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}); err != nil {
		return err
	}
	return o.result(t.Name+".md", func(w io.Writer) error {
		if err := t.Write(w); err != nil {
			return err
		}
		for _, plot := range t.plots {
			fmt.Fprintf(w, "![%s](%s.svg)\n", plot, plot)
		}
		_, err := fmt.Fprintf(w, "\n%s, %d processors, %d hosts, %d MiB, %d Mbit/s, median of %d runs; a value crossed out is void.\n",
			time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), o.Hosts, o.Size>>20, o.Rate/1e6, o.Runs)
		return err
	})
}

// result writes one file of the folder of results.
func (o *Options) result(name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(o.Results, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(o.Results, name))
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// plot draws the progress of a run's hosts.
func (b *bench) plot(name, title string, run crowdRun, size int64, unit time.Duration) error {
	if b.o.Results == "" {
		return nil
	}
	if !slices.Contains(b.table.plots, name) {
		b.table.plots = append(b.table.plots, name)
	}
	return b.o.result(name+".svg", func(w io.Writer) error { return plot(w, title, run.samples, size, unit) })
}

// goals prints every figure that has a goal, and how many are met.
func (o *Options) goals(tables []*Table) {
	count := map[string]int{}
	for _, t := range tables {
		for _, r := range t.Rows {
			if v := r.Verdict(); v != "" {
				count[v]++
				fmt.Fprintf(o.Log, "%-12s %s: %s: %.3g%s (%s)\n", v, t.Name, r.What, r.Median(), r.Unit, r.goal())
			}
		}
	}
	fmt.Fprintf(o.Log, "goals met %d, missed %d, void %d, not measured %d\n", count["met"], count["missed"], count["void"], count["not measured"])
}
