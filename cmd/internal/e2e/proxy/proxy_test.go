package proxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a server that sends back what it gets, behind a proxy.
func echo(t *testing.T) *Proxy {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p, front, err := Behind(lis, 1)
	require.NoError(t, err)
	require.Equal(t, p.Addr(), front.Addr().String())
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() {
		p.Close()
		front.Close()
		require.Zero(t, p.Counts().Open)
	})
	return p
}

// talk sends data through p and returns what came back.
func talk(t *testing.T, p *Proxy, data []byte) ([]byte, error) {
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	return io.ReadAll(c)
}

var data = bytes.Repeat([]byte("0123456789abcdef"), 16<<10)

func TestPasses(t *testing.T) {
	p := echo(t)
	got, err := talk(t, p, data)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	require.EqualValues(t, 2*len(data), p.Counts().Bytes)
}

func TestFlips(t *testing.T) {
	p := echo(t)
	p.SetDown(Fault{Flip: 1})
	got, err := talk(t, p, data)
	require.NoError(t, err)
	require.Len(t, got, len(data))
	wrong := int64(0)
	for i := range got {
		if got[i] != data[i] {
			wrong++
		}
	}
	require.Positive(t, wrong)
	require.Equal(t, p.Counts().Flipped, wrong)
}

func TestDuplicates(t *testing.T) {
	p := echo(t)
	p.SetUp(Fault{Duplicate: 1})
	got, err := talk(t, p, data)
	require.NoError(t, err)
	require.Len(t, got, 2*len(data))
}

func TestCuts(t *testing.T) {
	p := echo(t)
	p.SetDown(Fault{CutAfter: 100 << 10})
	got, err := talk(t, p, data)
	require.Error(t, err)
	require.Less(t, len(got), len(data))
	p.SetDown(Fault{Cut: 1})
	_, err = talk(t, p, data)
	require.Error(t, err)
	require.EqualValues(t, 2, p.Counts().Cut)
}

func TestDelayAndRate(t *testing.T) {
	p := echo(t)
	p.SetDown(Fault{Delay: 100 * time.Millisecond})
	start := time.Now()
	_, err := talk(t, p, data)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(start), 100*time.Millisecond)
	require.Less(t, time.Since(start), time.Second, "delays overlap")
	p.SetDown(Fault{Rate: 1000})
	start = time.Now()
	_, err = talk(t, p, data[:300])
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(start), 250*time.Millisecond)
}

func TestMuteAndCutAll(t *testing.T) {
	p := echo(t)
	p.Set(Fault{Mute: true})
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err, "a stopped process still acknowledges")
	require.Eventually(t, func() bool { return p.Counts().Held > 0 }, time.Second, time.Millisecond)
	p.Set(Fault{})
	buf := make([]byte, 5)
	_, err = io.ReadFull(c, buf)
	require.NoError(t, err)
	p.Cut()
	_, err = io.ReadFull(c, buf)
	require.Error(t, err)
}
