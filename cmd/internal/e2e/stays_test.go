package e2e

import (
	"time"

	"damselfly/cmd/internal/e2e/lab"
)

// longestStay is how long a program may be in state D because of a mount, in any
// test: the default read deadline and a second. Tests with shorter deadlines look
// themselves.
const longestStay = 31 * time.Second

// stays watches this process and all that it starts while the tests run.
var stays *lab.Stays

// checkStays fails the test if a thread stayed in state D for too long since began.
func (w *world) checkStays(began time.Time) {
	w.Helper()
	if s := stays.Longest(began); s.For > longestStay {
		w.Errorf("%v, want at most %v", s, longestStay)
	}
}
