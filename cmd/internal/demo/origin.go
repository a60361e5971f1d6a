package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

const fileName = "demo.bin"

// file is what the demo reads.
type file struct {
	url    string
	size   int64
	sha256 string
	// stats answers how much the origin sent; empty for a foreign URL.
	stats string
}

// originStats is what the demo's origin has sent so far.
type originStats struct {
	Requests, Bytes int64
}

// serveOrigin is an ordinary web server with one generated file. It writes its
// address to the file where, and ends with ctx.
func serveOrigin(ctx context.Context, where string, size int64) error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var requests, sent atomic.Int64
	f := content.New(uint64(time.Now().UnixNano()), fileName, size)
	modified := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+fileName, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, modified.UnixNano(), size))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(&countingWriter{w, &sent}, r, "", modified, f.Reader())
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(originStats{requests.Load(), sent.Load()})
	})
	mux.HandleFunc("GET /sha256", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, f.SHA256()) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	// Renamed, so that who waits for it never reads half of it.
	if err := os.WriteFile(where+".new", []byte("http://"+lis.Addr().String()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(where+".new", where); err != nil {
		return err
	}
	if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// startOrigin starts the demo's own origin, unless there is a URL already, and
// learns what the file holds.
func (s *stage) startOrigin(ctx context.Context, o options) (file, error) {
	if o.url != "" {
		return download(ctx, o.url)
	}
	self, err := os.Executable()
	if err != nil {
		return file{}, err
	}
	where := filepath.Join(s.dir, "origin.url")
	if _, err := s.start("origin", self, "-serve", where, "-size", fmt.Sprint(o.mib)); err != nil {
		return file{}, err
	}
	if err := s.wait(ctx, "the origin", func() error { _, err := os.Stat(where); return err }); err != nil {
		return file{}, err
	}
	base, err := os.ReadFile(where)
	if err != nil {
		return file{}, err
	}
	sum, err := fetch(ctx, string(base)+"/sha256")
	return file{
		url: string(base) + "/" + fileName, size: o.mib << 20, sha256: strings.TrimSpace(string(sum)),
		stats: string(base) + "/stats",
	}, err
}

// download reads a foreign URL directly, once, for the digest to compare with.
func download(ctx context.Context, url string) (file, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return file{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return file{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return file{}, fmt.Errorf("%s: %s", url, resp.Status)
	}
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	return file{url: url, size: n, sha256: hex.EncodeToString(h.Sum(nil))}, err
}

// fetch reads a small page.
func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
