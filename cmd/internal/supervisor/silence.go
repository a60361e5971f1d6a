package supervisor

import "time"

// silence says for how long somebody has not been heard, in time that we were
// running ourselves: a tick that comes late counts as two in time, however late
// it is. Whoever wakes from a pause so hears what piled up before it judges.
type silence struct {
	step time.Duration // between ticks
	last time.Time     // of the last tick
	sum  time.Duration
}

func newSilence(step time.Duration, now time.Time) silence { return silence{step: step, last: now} }

// heard ends the silence.
func (s *silence) heard() { s.sum = 0 }

// tick returns how long the silence is by now.
func (s *silence) tick(now time.Time) time.Duration {
	s.sum += min(now.Sub(s.last), 2*s.step)
	s.last = now
	return s.sum
}
