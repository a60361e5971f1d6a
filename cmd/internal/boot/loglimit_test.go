package boot

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// A warning for every piece is a line in five seconds, with a count.
func TestManyLinesAlikeBecomeFew(t *testing.T) {
	var out bytes.Buffer
	e, err := LogOptions{}.Logger(&out, "test")
	require.NoError(t, err)
	now := time.Unix(1_700_000_000, 0)
	for range 60_000 { // a thousand a second, for a minute
		e.WithTime(now).WithField("piece", 7).Warn("not cached")
		now = now.Add(time.Millisecond)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, logBurst+11)
	require.NotContains(t, lines[logBurst-1], "left_out")
	require.Contains(t, lines[logBurst], "left_out=4980")
	require.Contains(t, lines[logBurst+1], "left_out=4999")
	require.Contains(t, lines[logBurst+1], "piece=7")
	require.Contains(t, lines[logBurst+1], "level=warning")

	out.Reset()
	now = now.Add(time.Minute) // quiet
	for range 3 {
		e.WithTime(now).Warn("not cached")
	}
	require.Equal(t, 3, strings.Count(out.String(), "not cached"))

	out.Reset()
	for range 100 {
		e.WithTime(now).Error("an error")
		e.WithTime(now).Debug("not asked for")
	}
	require.Equal(t, 100, strings.Count(out.String(), "an error"))
	require.NotContains(t, out.String(), "asked")
}

func TestLogKindsAreBounded(t *testing.T) {
	l := newLimited(&logrus.TextFormatter{})
	now := time.Unix(1_700_000_000, 0)
	for i := range 10 * maxLogKinds {
		_, ok := l.take(logKind{logrus.WarnLevel, fmt.Sprint(i)}, now)
		require.True(t, ok)
		require.LessOrEqual(t, len(l.kinds), maxLogKinds)
	}
}
