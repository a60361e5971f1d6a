package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
)

func TestHeartbeatBeatsAndDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Heartbeat
		start, beats := time.Now(), 0
		time.AfterFunc(1500*time.Millisecond, h.Seen)
		err := h.Run(t.Context(), func() error { beats++; return nil })
		require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
		require.Equal(t, 4500*time.Millisecond, time.Since(start), "3 s after it was last seen")
		require.Equal(t, 5, beats, "at 0, 1, 2, 3 and 4 s")
	})
}

func TestHeartbeatLivesWhileSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Heartbeat{Interval: 100 * time.Millisecond, Misses: 2}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var other sync.WaitGroup
		other.Go(func() {
			for ctx.Err() == nil {
				h.Seen()
				time.Sleep(150 * time.Millisecond)
			}
		})
		defer other.Wait()
		require.NoError(t, h.Run(ctx, func() error { return nil }))
	})
}

func TestHeartbeatEndsWithItsBeat(t *testing.T) {
	full := errors.New("queue full")
	require.Equal(t, full, new(Heartbeat).Run(t.Context(), func() error { return full }))
}

// A process that was stopped itself must not blame the other side, whose beats
// wait in the socket.
func TestHeartbeatForgivesOwnStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Heartbeat
		beats := 0
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := h.Run(ctx, func() error {
			if beats++; beats == 3 {
				time.Sleep(10 * time.Second) // the process stands still
				time.AfterFunc(500*time.Millisecond, h.Seen)
			}
			if beats > 4 {
				h.Seen()
			}
			return nil
		})
		require.NoError(t, err)
	})
}

func TestHeartbeatStallIsForgivenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Heartbeat
		start, stalled := time.Now(), false
		err := h.Run(t.Context(), func() error {
			if !stalled {
				stalled = true
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
		require.LessOrEqual(t, time.Since(start), 12*time.Second)
	})
}

type (
	clientPump = Pump[*schedulerpb.PeerMessage, *schedulerpb.SchedulerMessage]
	serverPump = Pump[*schedulerpb.SchedulerMessage, *schedulerpb.PeerMessage]
)

func clientBeat() *schedulerpb.PeerMessage {
	return &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}}
}

func serverBeat() *schedulerpb.SchedulerMessage {
	return &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}}
}

// echo is a server's end that answers each message with one of the same task.
func echo(s schedulerpb.Scheduler_ReportPieceResultServer) error {
	out := make(chan *schedulerpb.SchedulerMessage, 64)
	p := serverPump{Stream: s, Out: out, Beat: serverBeat, Interval: 20 * time.Millisecond, Misses: 50,
		Handle: func(m *schedulerpb.PeerMessage) error {
			if m.Task == "bad" {
				return pieces.Errorf(pieces.Denied, "task bad is not welcome")
			}
			if m.GetHeartbeat() == nil {
				out <- &schedulerpb.SchedulerMessage{Task: m.Task}
			}
			return nil
		}}
	return p.Run(s.Context())
}

func openPump(t *testing.T, addr string, o DialOptions, handle func(*schedulerpb.SchedulerMessage) error) (chan *schedulerpb.PeerMessage, *clientPump) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s, err := client(t, addr, o).ReportPieceResult(ctx)
	require.NoError(t, err)
	out := make(chan *schedulerpb.PeerMessage, 64)
	return out, &clientPump{Stream: s, Out: out, Beat: clientBeat, Handle: handle, Cancel: cancel, Interval: 20 * time.Millisecond, Misses: 50}
}

func TestPumpMovesMessagesInOrder(t *testing.T) {
	addr, _ := serve(t, &fake{report: echo}, ServerOptions{})
	var got []string
	beats := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, p := openPump(t, addr, DialOptions{}, func(m *schedulerpb.SchedulerMessage) error {
		if m.GetHeartbeat() != nil {
			beats++
		} else {
			got = append(got, m.Task)
		}
		if len(got) == 3 && beats > 3 {
			cancel()
		}
		return nil
	})
	for _, task := range []string{"a", "b", "c"} {
		out <- &schedulerpb.PeerMessage{Task: task}
	}
	require.NoError(t, p.Run(ctx))
	require.Equal(t, []string{"a", "b", "c"}, got)
}

func TestPumpClosedInGoodOrderLosesNothing(t *testing.T) {
	received := make(chan int, 1)
	addr, _ := serve(t, &fake{report: func(s schedulerpb.Scheduler_ReportPieceResultServer) error {
		n := 0
		p := serverPump{Stream: s, Beat: serverBeat, Handle: func(m *schedulerpb.PeerMessage) error {
			if m.Task != "" {
				n++
			}
			return nil
		}}
		err := p.Run(s.Context())
		received <- n
		return err
	}}, ServerOptions{})
	out, p := openPump(t, addr, DialOptions{}, func(*schedulerpb.SchedulerMessage) error { return nil })
	for range cap(out) {
		out <- &schedulerpb.PeerMessage{Task: "x"}
	}
	close(out)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, cap(out), <-received)
}

func TestPumpHearsWhyTheOtherSideLeft(t *testing.T) {
	addr, _ := serve(t, &fake{report: echo}, ServerOptions{})
	out, p := openPump(t, addr, DialOptions{}, func(*schedulerpb.SchedulerMessage) error { return nil })
	for range cap(out) {
		out <- &schedulerpb.PeerMessage{Task: "bad"}
	}
	err := p.Run(t.Context())
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	require.ErrorContains(t, err, "not welcome")
}

// A server that accepts and then says nothing, as a stopped process does.
func TestPumpNoticesASilentServer(t *testing.T) {
	addr, _ := serve(t, &fake{report: func(s schedulerpb.Scheduler_ReportPieceResultServer) error {
		<-s.Context().Done()
		return s.Context().Err()
	}}, ServerOptions{})
	_, p := openPump(t, addr, DialOptions{}, nil)
	p.Misses = 3
	err := p.Run(t.Context())
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.ErrorContains(t, err, "no heartbeat")
}

// The server's end notices a client that is cut off without a word.
func TestPumpNoticesASilentClient(t *testing.T) {
	ended := make(chan error, 1)
	addr, _ := serve(t, &fake{report: func(s schedulerpb.Scheduler_ReportPieceResultServer) error {
		p := serverPump{Stream: s, Beat: serverBeat, Interval: 10 * time.Millisecond,
			Handle: func(*schedulerpb.PeerMessage) error { return nil }}
		err := p.Run(s.Context())
		ended <- err
		return err
	}}, ServerOptions{})
	_, err := client(t, addr, DialOptions{Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}).ReportPieceResult(t.Context())
	require.NoError(t, err)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(<-ended))
}
