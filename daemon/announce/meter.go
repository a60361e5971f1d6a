package announce

import "time"

// meter measures the best mean download rate over a second or little more. The
// zero value is ready. It is not safe for concurrent use.
type meter struct {
	since time.Time
	bytes int64
	best  float64
}

// meterGap ends a second in which nothing more came: it says nothing of the link.
const meterGap = 2 * time.Second

// add notes that n bytes came at now, and returns the best rate so far in bytes/s,
// 0 = unknown.
func (m *meter) add(now time.Time, n int64) float64 {
	took := now.Sub(m.since)
	if m.since.IsZero() || took >= meterGap {
		m.since, m.bytes = now, 0 // what came by then took unknown time
		return m.best
	}
	m.bytes += n
	if took >= time.Second {
		m.best = max(m.best, float64(m.bytes)/took.Seconds())
		m.since, m.bytes = now, 0
	}
	return m.best
}
