package bench

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// The plot's measures, in pixels.
const (
	plotWidth, plotHeight = 720.0, 420.0
	plotLeft, plotTop     = 60.0, 40.0
	plotRight, plotBottom = 20.0, 50.0
)

// plot writes an SVG of what each host had received of size bytes over time, in
// units of ideal.
func plot(to io.Writer, title string, samples []sample, size int64, ideal time.Duration) error {
	w := bufio.NewWriter(to)
	most := 1.0
	if n := len(samples); n > 0 {
		most = max(most, samples[n-1].at.Seconds()/ideal.Seconds())
	}
	x := func(at time.Duration) float64 {
		return plotLeft + at.Seconds()/ideal.Seconds()/most*(plotWidth-plotLeft-plotRight)
	}
	y := func(share float64) float64 {
		return plotHeight - plotBottom - min(1.1, share)/1.1*(plotHeight-plotTop-plotBottom)
	}
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(w, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="20" font-size="14">%s</text>`+"\n", plotLeft, title)
	for k := range 5 {
		share := float64(k) / 4
		fmt.Fprintf(w, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n",
			plotLeft, y(share), plotWidth-plotRight, plotLeft-6, y(share)+4, 100*share)
	}
	for k := 0; float64(k)/4 <= most; k++ {
		at := time.Duration(k) * ideal / 4
		fmt.Fprintf(w, `<text x="%.1f" y="%.1f" text-anchor="middle">%g T</text>`+"\n", x(at), plotHeight-plotBottom+18, float64(k)/4)
	}
	if len(samples) > 0 {
		for i := range samples[0].received {
			fmt.Fprintf(w, `<path fill="none" stroke="hsl(%d,60%%,45%%)" d="M%.1f %.1f`, i*360/len(samples[0].received), x(0), y(0))
			for _, s := range samples {
				fmt.Fprintf(w, "L%.1f %.1f", x(s.at), y(float64(s.received[i])/float64(size)))
			}
			fmt.Fprintln(w, `"/>`)
		}
	}
	fmt.Fprintln(w, "</svg>")
	return w.Flush()
}
