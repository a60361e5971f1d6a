package upload

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

const patience = 10 * time.Second

type step = func(context.Context) (Chunk, error)

func TestFullServerRefusesAndWaitersGetTheFreedSlot(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, Options{Slots: 1, RetryAfter: 70 * time.Millisecond,
		Backend: backendFunc(func(_ context.Context, r Request) (Content, error) {
			if r.Off == 0 { // holds its slot between two chunks
				return &chunks{size: 100, steps: []step{give(make([]byte, 5)), until(release, make([]byte, 5))}}, nil
			}
			return &chunks{size: 100, steps: []step{give(make([]byte, r.N))}}, nil
		})})
	resp, err := s.client.Do(s.request(t, 0, 10, 0))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 1, s.Uploads())

	refused, _, err := s.get(t, 10, 10, 0)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, refused.StatusCode)
	require.Equal(t, "70", refused.Header.Get(HeaderRetry))
	require.Equal(t, pieces.Throttled.String(), refused.Header.Get(HeaderError))

	// Only readers wait for a slot.
	wait := func(patience time.Duration) int {
		r := s.request(t, 10, 10, patience)
		r.Header.Set(HeaderUrgent, "1")
		resp, err := s.client.Do(r)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusServiceUnavailable, wait(50*time.Millisecond))

	patient := make(chan int, 1)
	go func() { patient <- wait(patience) }()
	close(release)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, <-patient)
	require.Eventually(t, func() bool { return s.Uploads() == 0 }, patience, time.Millisecond)
}

// What nobody waits for fills its own slots only, and is not queued for them.
func TestBulkLeavesSlotsToReaders(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, Options{Slots: 2, BulkSlots: 1,
		Backend: backendFunc(func(_ context.Context, r Request) (Content, error) {
			if r.Off == 0 {
				return &chunks{size: 100, steps: []step{give(make([]byte, 5)), until(release, make([]byte, 5))}}, nil
			}
			return &chunks{size: 100, steps: []step{give(make([]byte, r.N))}}, nil
		})})
	resp, err := s.client.Do(s.request(t, 0, 10, 0))
	require.NoError(t, err)
	defer resp.Body.Close()

	refused, _, err := s.get(t, 10, 10, patience)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, refused.StatusCode)

	urgent := s.request(t, 10, 10, 0)
	urgent.Header.Set(HeaderUrgent, "1")
	answer, err := s.client.Do(urgent)
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusPartialContent, answer.StatusCode)

	close(release)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Uploads() == 0 }, patience, time.Millisecond)
	again, _, err := s.get(t, 10, 10, 0)
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, again.StatusCode)
}

func TestWaitingTakesNoSlot(t *testing.T) {
	arrived, waiting := make(chan struct{}), make(chan time.Duration, 1)
	s := serve(t, Options{Slots: 1, Backend: backendFunc(func(_ context.Context, r Request) (Content, error) {
		if r.Off == 0 {
			waiting <- r.Wait
			return &chunks{size: 100, steps: []step{until(arrived, make([]byte, 10))}}, nil
		}
		return &chunks{size: 100, steps: []step{give(make([]byte, r.N))}}, nil
	})})
	code := make(chan int, 1)
	go func() {
		resp, _, err := s.get(t, 0, 10, patience)
		if err != nil {
			code <- 0
			return
		}
		code <- resp.StatusCode
	}()
	require.Equal(t, patience, <-waiting)
	require.Zero(t, s.Uploads())
	require.True(t, s.IdleSince().IsZero(), "a host with a waiting child is not idle")
	resp, _, err := s.get(t, 10, 10, 0)
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	close(arrived)
	require.Equal(t, http.StatusPartialContent, <-code)
	require.Eventually(t, func() bool { return !s.IdleSince().IsZero() }, patience, time.Millisecond)
}

func TestWaitInVain(t *testing.T) {
	s := serve(t, Options{OpenTimeout: 20 * time.Millisecond, MaxWait: 30 * time.Millisecond,
		Backend: backendFunc(func(ctx context.Context, r Request) (Content, error) {
			return &chunks{size: 100, steps: []step{until(nil, nil)}}, nil
		})})
	resp, _, err := s.get(t, 0, 10, time.Hour)
	require.NoError(t, err)
	require.Equal(t, http.StatusGatewayTimeout, resp.StatusCode)
}

func TestClientThatLeavesEndsTheWait(t *testing.T) {
	ended, begun := make(chan error, 1), make(chan struct{})
	s := serve(t, Options{Backend: backendFunc(func(ctx context.Context, _ Request) (Content, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-begun; cancel() }()
	_, err := s.client.Do(s.request(t, 0, 10, patience).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestSlowClientsAreCutOff(t *testing.T) {
	content := make([]byte, 32<<20)
	s := serve(t, Options{Backend: fileBackend(t, content, 32<<20, false),
		HeaderTimeout: 50 * time.Millisecond, WriteTimeout: 100 * time.Millisecond, IdleTimeout: 50 * time.Millisecond})
	dial := func(send string) net.Conn {
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(c, send)
		require.NoError(t, err)
		return c
	}
	request := "GET " + Path(testKey) + " HTTP/1.1\r\nHost: h\r\nRange: bytes=0-33554431\r\nX-Df-Host: " + testHost + "\r\n\r\n"
	for name, send := range map[string]string{"says nothing": "", "half a header": request[:40], "endless header": request[:40] + strings.Repeat("a", 64<<10)} {
		c := dial(send)
		_, err := io.Copy(io.Discard, c)
		if ne, ok := err.(net.Error); ok {
			require.False(t, ne.Timeout(), name)
		}
	}
	c := dial(request) // and never reads
	require.Eventually(t, func() bool { return s.Uploads() == 1 }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return s.Uploads() == 0 }, patience, time.Millisecond)
	n, _ := io.Copy(io.Discard, c)
	require.Less(t, n, int64(len(content)))
}

func TestOneConnectionTooMany(t *testing.T) {
	s := serve(t, Options{Backend: fileBackend(t, make([]byte, 10), 10, false), MaxConns: 1})
	_, _, err := s.get(t, 0, 10, 0) // stays open, idle
	require.NoError(t, err)
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// meter is a Limiter that counts and can be shut.
type meter struct {
	n    atomic.Int64
	most int64
}

func (m *meter) WaitN(_ context.Context, n int) error {
	if m.n.Add(int64(n)) > m.most && m.most > 0 {
		return pieces.Errorf(pieces.Canceled, "limit")
	}
	return nil
}

func TestBothLimitsSeeEveryByte(t *testing.T) {
	all, one := &meter{}, &meter{}
	s := serve(t, Options{Backend: fileBackend(t, make([]byte, 1<<20), 300_000, true), Rate: all,
		TaskRate: func(id pieces.TaskID) Limiter { require.Equal(t, testKey.Task, id); return one }})
	_, _, err := s.get(t, 5, 900_000, 0)
	require.NoError(t, err)
	require.EqualValues(t, 900_000, all.n.Load())
	require.EqualValues(t, 900_000, one.n.Load())
}

func TestStop(t *testing.T) {
	before := runtime.NumGoroutine()
	release, begun := make(chan struct{}), make(chan struct{}, 2)
	s := serve(t, Options{StopTimeout: patience, Backend: backendFunc(func(ctx context.Context, r Request) (Content, error) {
		begun <- struct{}{}
		if r.Off == 0 {
			return &chunks{size: 100, steps: []step{give(make([]byte, 5)), until(release, make([]byte, 5))}}, nil
		}
		return &chunks{size: 100, steps: []step{until(nil, nil)}}, nil
	})})
	sending, err := s.client.Do(s.request(t, 0, 10, 0))
	require.NoError(t, err)
	var wg sync.WaitGroup
	waiter := make(chan int, 1)
	wg.Go(func() {
		if resp, _, err := s.get(t, 50, 10, patience); err == nil {
			waiter <- resp.StatusCode
		} else {
			waiter <- 0
		}
	})
	<-begun
	<-begun
	wg.Go(s.stop)
	require.Equal(t, http.StatusServiceUnavailable, <-waiter, "who waits is told at once")
	close(release)
	b, err := io.ReadAll(sending.Body)
	require.NoError(t, err, "an answer under way is finished")
	require.Len(t, b, 10)
	sending.Body.Close()
	wg.Wait()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
}

func TestStopCutsWhatTakesTooLong(t *testing.T) {
	s := serve(t, Options{StopTimeout: 20 * time.Millisecond, Backend: backendFunc(func(context.Context, Request) (Content, error) {
		return &chunks{size: 100, steps: []step{give(make([]byte, 5)), until(nil, nil)}}, nil
	})})
	resp, err := s.client.Do(s.request(t, 0, 10, 0))
	require.NoError(t, err)
	defer resp.Body.Close()
	s.stop()
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func BenchmarkSendfile(b *testing.B) {
	content := make([]byte, 4<<20)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	name := filepath.Join(b.TempDir(), "content")
	require.NoError(b, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	require.NoError(b, err)
	defer f.Close()
	s, err := New(Options{Backend: backendFunc(func(_ context.Context, r Request) (Content, error) {
		return &chunks{size: int64(len(content)), steps: []step{func(context.Context) (Chunk, error) {
			return Chunk{File: f, Off: r.Off, Len: r.N}, nil
		}}}, nil
	})})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	defer func() { cancel(); <-done }()
	url := "http://" + lis.Addr().String() + Path(testKey)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		r, _ := http.NewRequest(http.MethodGet, url, nil)
		r.Header.Set("Range", "bytes=0-4194303")
		r.Header.Set(HeaderHost, testHost)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		resp.Body.Close()
	}
}
