package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
)

func TestProfileReport(t *testing.T) {
	a, b := pieces.TaskID(strings.Repeat("a", 64)), pieces.TaskID(strings.Repeat("b", 64))
	p := newProfile()
	var text []byte
	say := func(a fusefs.Access) {
		var err error
		text, err = a.AppendText(text)
		require.NoError(t, err)
	}
	for i := range 100 {
		say(fusefs.Access{Op: "read", Task: a, Size: 1 << 20, Took: time.Duration(i+1) * time.Millisecond, Hit: pieces.HitOrigin})
	}
	say(fusefs.Access{Op: "read", Task: b, Took: time.Second, Size: 4096, Errno: unix.EIO})
	say(fusefs.Access{Op: "readdir", Took: 5 * time.Microsecond})
	text = append(text, "# dropped 7\n"...)
	for len(text) > 0 { // in any pieces
		n := min(len(text), 1000)
		rest, err := p.lines(text[:n])
		require.NoError(t, err)
		text = append(rest, text[n:]...)
		if n == len(rest) {
			break
		}
	}
	p.took = 10 * time.Second
	r := p.report(1, map[pieces.TaskID]string{a: "model"})
	require.EqualValues(t, 7, r.Dropped)
	require.Equal(t, []string{"read", "readdir"}, []string{r.Ops[0].What, r.Ops[1].What})
	require.Equal(t, []string{"none", "origin"}, []string{r.Hits[0].What, r.Hits[1].What})
	require.Len(t, r.Files, 1)
	o := r.Hits[1]
	require.EqualValues(t, 100, o.Count)
	require.EqualValues(t, 100<<20, o.Bytes)
	require.EqualValues(t, 100_000, o.Max)
	require.InEpsilon(t, 50_000, o.P50, 0.09)
	require.InEpsilon(t, 95_000, o.P95, 0.09)
	require.InEpsilon(t, 99_000, o.P99, 0.09)
	require.EqualValues(t, 1, r.Hits[0].Failed)
	require.Zero(t, r.Hits[0].Bytes)

	var out bytes.Buffer
	require.NoError(t, printProfile(&out, r))
	require.Regexp(t, `(?m)^FILE +COUNT.*\nmodel +100 +0 +100 MiB +10 MiB/s `, out.String())
	require.Contains(t, out.String(), "10.0 s listened; 7 requests more came too fast")

	_, err := p.lines([]byte("nonsense\n"))
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestProfileOfNothing(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, printProfile(&out, newProfile().report(10, nil)))
	require.Contains(t, out.String(), "no request came")
}

func TestProfileWhichMount(t *testing.T) {
	one := control.Status{Mounts: []control.MountInfo{{Path: "/m"}}}
	dir, err := mountOf(one, nil)
	require.NoError(t, err)
	require.Equal(t, "/m", dir)
	dir, err = mountOf(one, []string{"/other/"})
	require.NoError(t, err)
	require.Equal(t, "/other", dir)
	_, err = mountOf(control.Status{}, nil)
	require.ErrorContains(t, err, "0 mounts: say which one")
}
