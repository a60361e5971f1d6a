package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"damselfly/cmd/internal/e2e/lab"
)

// resetPeak forgets the most memory that a process took so far (proc(5),
// clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peakMemory is the most resident memory of a process since resetPeak, in bytes.
func peakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
}

// resident adds the most memory that one of the rig's daemons took beyond its
// budget during the scenario so far.
func (b *bench) resident(r *rig) error {
	most := int64(0)
	for _, d := range append([]*lab.Daemon{r.cluster.Seed}, r.daemons...) {
		if d.Alive() != nil {
			continue
		}
		n, err := peakMemory(d.PID())
		if err != nil {
			return err
		}
		most = max(most, n)
	}
	b.table.add(Row{What: fmt.Sprintf("a daemon's peak memory beyond its budget of %d MiB", memoryBudget>>20), Goal: 96, Unit: " MiB", Unshaped: true},
		float64(most-memoryBudget)/(1<<20), 0)
	return nil
}

// processSeconds is the processor time that the lab's running processes took so
// far. A tick is a hundredth of a second.
func processSeconds(l *lab.Lab) (map[int]float64, error) {
	used := map[int]float64{}
	for _, p := range l.Procs() {
		if p.Alive() != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if err != nil {
			continue // it ended just now
		}
		// The command's name, in parentheses, may hold anything.
		_, rest, ok := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if !ok || len(f) < 13 {
			return nil, fmt.Errorf("/proc/%d/stat: %.80q", p.PID(), text)
		}
		var ticks int64
		for _, field := range f[11:13] { // utime, stime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("/proc/%d/stat: %w", p.PID(), err)
			}
			ticks += n
		}
		used[p.PID()] = float64(ticks) / 100
	}
	return used, nil
}
