package bench

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// pieceLength of our torrents, that of our own pieces of such files.
const pieceLength = 256 << 10

// torrent writes the metainfo file of f (BEP 3), with one tracker.
func torrent(f content.File, announce string) ([]byte, error) {
	var sums bytes.Buffer
	r := f.Reader()
	for {
		h := sha1.New()
		n, err := io.CopyN(h, r, pieceLength)
		if n > 0 {
			sums.Write(h.Sum(nil))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "d8:announce%d:%s4:infod6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:",
		len(announce), announce, f.Size, len(f.Name), f.Name, pieceLength, sums.Len())
	b.Write(sums.Bytes())
	b.WriteString("ee")
	return b.Bytes(), nil
}

// tracker is a BitTorrent tracker (BEP 3, compact answers of BEP 23) for one
// torrent. It must be closed.
type tracker struct {
	server http.Server
	done   chan struct{}

	mu    sync.Mutex
	peers []string // six bytes each: address and port
}

// serveTracker answers on lis until close.
func serveTracker(lis net.Listener) *tracker {
	t := &tracker{done: make(chan struct{})}
	t.server = http.Server{Handler: t, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(t.done)
		_ = t.server.Serve(lis)
	}()
	return t
}

func (t *tracker) close() error {
	err := t.server.Close()
	<-t.done
	return err
}

// ServeHTTP answers every peer with all others it has heard of.
func (t *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	port, perr := strconv.ParseUint(r.FormValue("port"), 10, 16)
	ip := net.ParseIP(host).To4()
	if err != nil || perr != nil || ip == nil {
		http.Error(w, "d14:failure reason11:bad requeste", http.StatusOK)
		return
	}
	me := string(append(slices.Clone(ip), byte(port>>8), byte(port)))
	t.mu.Lock()
	if !slices.Contains(t.peers, me) {
		t.peers = append(t.peers, me)
	}
	var others []byte
	for _, p := range t.peers {
		if p != me {
			others = append(others, p...)
		}
	}
	t.mu.Unlock()
	fmt.Fprintf(w, "d8:intervali5e12:min intervali1e5:peers%d:%se", len(others), others)
}
