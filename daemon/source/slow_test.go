package source_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

// trickler serves 1 MiB of zeros a byte every few milliseconds.
func trickler(t *testing.T) *pieces.Task {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var first, last int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
			t.Error(err)
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, 1<<20))
		w.Header().Set("Content-Length", fmt.Sprint(last-first+1))
		w.WriteHeader(http.StatusPartialContent)
		for i := first; i <= last && r.Context().Err() == nil; i++ {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	t.Cleanup(s.Close)
	task, err := pieces.NewTask(s.URL+"/f", pieces.Options{}, nil)
	require.NoError(t, err)
	return task
}

func TestTrickleIsSilence(t *testing.T) {
	task := trickler(t)
	h := source.NewHTTP(source.HTTPOptions{SlowTime: 300 * time.Millisecond, SlowBytes: 1000, PrefixTime: 20 * time.Millisecond})
	defer h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	st, err := h.Stat(ctx, task)
	require.NoError(t, err, "the facts don't wait for the first bytes")
	require.Positive(t, len(st.Prefix))
	require.Less(t, len(st.Prefix), source.PrefixSize)
	require.EqualValues(t, 1<<20, st.Facts.Size)
	require.False(t, st.Whole())

	body, err := h.ReadRange(ctx, task, st.Facts, 0, 1<<20)
	require.NoError(t, err)
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	require.Equal(t, pieces.Timeout, pieces.KindOf(err), "%v", err)
	require.False(t, pieces.IsPermanent(err))
}

// Bytes that nobody reads are not slow.
func TestSlowReaderIsNoTrickle(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, &zeros{size: 64 << 10})
	}))
	defer s.Close()
	task, err := pieces.NewTask(s.URL+"/f", pieces.Options{}, nil)
	require.NoError(t, err)
	h := source.NewHTTP(source.HTTPOptions{SlowTime: 50 * time.Millisecond, SlowBytes: 1 << 20})
	defer h.Close()
	facts := pieces.Facts{Size: 64 << 10, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"1"`}}
	body, err := h.ReadRange(t.Context(), task, facts, 0, 64<<10)
	require.NoError(t, err)
	defer body.Close()
	for buf, n := make([]byte, 16<<10), 0; n < 64<<10; {
		time.Sleep(20 * time.Millisecond)
		k, err := body.Read(buf)
		n += k
		require.NoError(t, err)
	}
}

// zeros is an io.ReadSeeker.
type zeros struct{ at, size int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.size-z.at)
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	z.at += n
	return int(n), nil
}

func (z *zeros) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += z.at
	case io.SeekEnd:
		off += z.size
	}
	z.at = off
	return off, nil
}
