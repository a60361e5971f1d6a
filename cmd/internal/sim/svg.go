package sim

import (
	"bufio"
	"fmt"
	"io"

	"damselfly/pieces"
)

// The plot's measures, in pixels.
const (
	plotWidth, plotHeight = 720.0, 420.0
	plotLeft, plotTop     = 60.0, 40.0
	plotRight, plotBottom = 20.0, 50.0
)

// Plot writes an SVG of the mean host's progress over time, in lower bounds, with
// the band from the last to the first host: one colour per result.
func Plot(to io.Writer, title string, rs ...*Result) error {
	w := bufio.NewWriter(to)
	most := 1.0
	for _, r := range rs {
		if n := len(r.Curve); n > 0 {
			most = max(most, over(r.Curve[n-1].At, r.Bound))
		}
	}
	x := func(lb float64) float64 { return plotLeft + lb/most*(plotWidth-plotLeft-plotRight) }
	y := func(s float64) float64 { return plotHeight - plotBottom - s*(plotHeight-plotTop-plotBottom) }
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(w, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="20" font-size="14">%s</text>`+"\n", plotLeft, title)
	for k := 0; k <= 4; k++ {
		s := float64(k) / 4
		fmt.Fprintf(w, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n",
			plotLeft, y(s), plotWidth-plotRight, plotLeft-6, y(s)+4, 100*s)
	}
	for step, lb := tickStep(most), 0.0; lb <= most; lb += step {
		fmt.Fprintf(w, `<text x="%.1f" y="%.1f" text-anchor="middle">%g</text>`+"\n", x(lb), plotHeight-plotBottom+18, lb)
	}
	fmt.Fprintf(w, `<path d="M%.1f %.1fV%.1f" stroke="#888" stroke-dasharray="4 3"/>`+"\n", x(1), y(1), y(0))
	fmt.Fprintf(w, `<text x="%.1f" y="%.1f" text-anchor="middle">time in lower bounds</text>`+"\n", (plotLeft+plotWidth-plotRight)/2, plotHeight-12)
	for i, r := range rs {
		colour := []string{"#0b6bcb", "#c2410c", "#15803d", "#7e22ce"}[i%4]
		fmt.Fprint(w, `<path d="`)
		line(w, r, false, x, y, func(s Sample) float64 { return s.Most })
		line(w, r, true, x, y, func(s Sample) float64 { return s.Least })
		fmt.Fprintf(w, `Z" fill="%s" fill-opacity="0.15"/>`+"\n"+`<path d="`, colour)
		line(w, r, false, x, y, func(s Sample) float64 { return s.Mean })
		fmt.Fprintf(w, `" fill="none" stroke="%s" stroke-width="2"/>`+"\n", colour)
		fmt.Fprintf(w, `<text x="%.1f" y="%.1f" fill="%s" text-anchor="end">%s</text>`+"\n",
			plotWidth-plotRight-4, y(0)-10-16*float64(i), colour, r.Label())
	}
	fmt.Fprintln(w, "</svg>")
	return w.Flush()
}

func tickStep(most float64) float64 {
	for _, s := range []float64{0.1, 0.2, 0.5, 1, 2, 5} {
		if most/s <= 12 {
			return s
		}
	}
	return 10
}

// line writes the points of one curve, back to front if reverse continues a path.
func line(w io.Writer, r *Result, reverse bool, x, y func(float64) float64, of func(Sample) float64) {
	for k := range r.Curve {
		s, verb := r.Curve[k], "L"
		if reverse {
			s = r.Curve[len(r.Curve)-1-k]
		} else if k == 0 {
			verb = "M"
		}
		fmt.Fprintf(w, "%s%.1f %.1f", verb, x(over(s.At, r.Bound)), y(of(s)))
	}
}

// Label names the run in few words.
func (r *Result) Label() string {
	policy := "swarm"
	if r.Scenario.Policy == pieces.PolicyClassic {
		policy = "classic"
	}
	return fmt.Sprintf("%s, %d hosts", policy, r.Scenario.Hosts)
}
