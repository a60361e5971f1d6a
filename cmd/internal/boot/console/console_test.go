package console

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
)

func TestPlainLines(t *testing.T) {
	now := time.Unix(0, 1)
	var out bytes.Buffer
	c := &plain{w: &out, program: "dfget", now: func() time.Time { return now }}
	for range 5 {
		c.Progress(control.Progress{Done: 1 << 20, Total: 3 << 20, Traffic: control.Traffic{Origin: 1 << 19, Peers: 1 << 19}})
		now = now.Add(time.Second)
	}
	c.Progress(control.Progress{Done: 2 << 20, Total: -1})
	c.Summary("f", 3<<20, 1500*time.Millisecond, control.Traffic{Cache: 3 << 20})
	require.Equal(t, `dfget: 1 MiB of 3 MiB, peers 512 KiB, origin 512 KiB
dfget: 1 MiB of 3 MiB, peers 512 KiB, origin 512 KiB
dfget: f: 3 MiB in 1.5 s (2 MiB/s), cache 3 MiB
`, out.String())
}

func TestBar(t *testing.T) {
	var out bytes.Buffer
	c := &bar{plain: plain{w: &out, program: "dfget", now: time.Now}}
	c.Progress(control.Progress{Done: 1 << 20, Total: 4 << 20, Traffic: control.Traffic{Peers: 1 << 20}})
	require.Contains(t, out.String(), "peers 1 MiB")
	require.Contains(t, out.String(), "25%")
	c.Stop()
	c.Stop()
	c.Note("done")
	require.Contains(t, out.String(), "dfget: done\n")
}
