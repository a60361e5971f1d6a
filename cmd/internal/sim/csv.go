package sim

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteCurve writes how far the hosts were over time: seconds since the first
// join, then shares of the content held.
func (r *Result) WriteCurve(to io.Writer) error {
	w := csv.NewWriter(to)
	_ = w.Write([]string{"seconds", "least", "tenth", "half", "ninety", "most", "mean"})
	for _, s := range r.Curve {
		_ = w.Write([]string{
			num(s.At.Seconds()), num(s.Least), num(s.Tenth), num(s.Half), num(s.Ninety), num(s.Most), num(s.Mean),
		})
	}
	w.Flush()
	return w.Error()
}

// WriteHosts writes one line per host. finished is empty for a host that did not
// finish.
func (r *Result) WriteHosts(to io.Writer) error {
	w := csv.NewWriter(to)
	_ = w.Write([]string{"host", "joined_s", "finished_s", "killed", "from_peers", "from_seed", "from_origin", "sent"})
	for _, h := range r.Hosts {
		end := ""
		if h.Finished > 0 {
			end = num(h.Finished.Seconds())
		}
		_ = w.Write([]string{
			h.Name, num(h.Joined.Seconds()), end, strconv.FormatBool(h.Killed),
			strconv.FormatInt(h.FromPeers, 10), strconv.FormatInt(h.FromSeed, 10),
			strconv.FormatInt(h.FromOrigin, 10), strconv.FormatInt(h.Sent, 10),
		})
	}
	w.Flush()
	return w.Error()
}

func num(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }
