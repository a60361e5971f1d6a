package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// maxBusy is the share of processor time above which a shaped run is void.
const maxBusy = 0.8

// processors are the machine's counters of /proc/stat, in ticks.
type processors struct{ busy, all int64 }

func readProcessors() (processors, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return processors{}, fmt.Errorf("/proc/stat begins with %.60q", line)
	}
	var p processors
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return processors{}, fmt.Errorf("/proc/stat: %w", err)
		}
		p.all += n
		if i != 3 && i != 4 { // idle, iowait
			p.busy += n
		}
	}
	return p, nil
}

// since returns the share of time the processors were busy, and the seconds of
// processor time, since q was read. A tick is a hundredth of a second.
func (p processors) since(q processors) (share, seconds float64) {
	if p.all == q.all {
		return 0, 0
	}
	return float64(p.busy-q.busy) / float64(p.all-q.all), float64(p.busy-q.busy) / 100
}
