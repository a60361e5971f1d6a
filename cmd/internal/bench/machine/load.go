package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// MaxBusy is the share of processor time above which a shaped run is void.
const MaxBusy = 0.8

// Processors are the machine's counters of /proc/stat, in ticks.
type Processors struct{ busy, all int64 }

// ReadProcessors returns the counters as they are now.
func ReadProcessors() (Processors, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Processors{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return Processors{}, fmt.Errorf("/proc/stat begins with %.60q", line)
	}
	var p Processors
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return Processors{}, fmt.Errorf("/proc/stat: %w", err)
		}
		p.all += n
		if i != 3 && i != 4 { // idle, iowait
			p.busy += n
		}
	}
	return p, nil
}

// Since returns the share of time the processors were busy, and the seconds of
// processor time, since q was read. A tick is a hundredth of a second.
func (p Processors) Since(q Processors) (share, seconds float64) {
	if p.all == q.all {
		return 0, 0
	}
	return float64(p.busy-q.busy) / float64(p.all-q.all), float64(p.busy-q.busy) / 100
}

// Busy returns the share of processor time that was in use while do ran.
func Busy(do func() error) (float64, error) {
	before, err := ReadProcessors()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := ReadProcessors()
	share, _ := after.Since(before)
	return share, err
}
