package origin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/daemon"
	"damselfly/pieces"
)

// An open file whose readahead the origin refuses costs nothing while nobody
// reads, and little while many read.
func TestNoStormWhileAFileIsOpen(t *testing.T) {
	o := origin.New(t, 4)
	for _, r := range readers(t, nil) {
		for name, fault := range map[string]origin.Fault{
			"403": origin.Status(403, ""), "500": origin.Status(500, ""), "login": origin.Login(""), "reset": origin.Refuse,
			"429": origin.Status(429, "3600"), "changed": origin.ContentRange("bytes", 0, size+1),
		} {
			f := o.Add("storm-"+r.name+"-"+name, 12<<20)
			t.Run(r.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				storm(t, r, f, fault)
			})
		}
	}
}

func storm(t *testing.T, r reader, f *origin.File, fault origin.Fault) {
	r.add(t, f.URL(), pieces.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var files []*daemon.File
	for _, h := range r.hosts {
		file, _, err := open(ctx, h, f.URL(), pieces.Options{})
		require.NoError(t, err)
		defer file.Close()
		files = append(files, file)
	}
	// Two reads that adjoin open a cursor, whose window is beyond them.
	buf := make([]byte, 256<<10)
	f.Misbehave(func(a origin.Asked) bool { return a.First >= 1<<20 || a.Last >= 4<<20 }, fault)
	for _, file := range files {
		for off := int64(0); off < 1<<20; off += int64(len(buf)) {
			if _, err := file.ReadAt(ctx, buf, off); err != nil {
				break
			}
		}
	}
	require.LessOrEqual(t, atRest(t, f), 64, "requests for a window that nobody waits for")

	before := f.Requests()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			b := make([]byte, 4<<10)
			for until := time.Now().Add(time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
				n, err := files[i%len(files)].ReadAt(ctx, b, 4<<20+int64(i)*(96<<10))
				if err == nil && f.Content(1).Check(b[:n], 4<<20+int64(i)*(96<<10)) != nil {
					t.Error("wrong bytes")
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, f.Requests()-before, 150, "requests of 64 impatient readers in a second")
	for _, file := range files {
		file.Close()
	}
	r.heals(t, f, pieces.Options{})
}

// atRest waits until the origin is asked no more: twice the longest time for
// which it is left alone. It returns the number of requests until then.
func atRest(t *testing.T, f *origin.File) int {
	last, since := f.Requests(), time.Now()
	for until := since.Add(healed); time.Since(since) < 2*rest; time.Sleep(20 * time.Millisecond) {
		if n := f.Requests(); n != last {
			last, since = n, time.Now()
		}
		require.True(t, time.Now().Before(until), "%d requests and more to come, though nobody reads", last)
	}
	return last
}

// What looks like content can only be told from it by a pinned digest.
func TestPinnedDigest(t *testing.T) {
	o := origin.New(t, 5)
	for _, r := range readers(t, nil) {
		for name, fault := range map[string]origin.Fault{"login page": origin.Login(`"portal"`), "shifted bytes": origin.Shifted(8)} {
			f := o.Add("pin-"+r.name+"-"+name[:5], size)
			t.Run(r.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				rule := f.Misbehave(origin.Every, fault)
				opts := pieces.Options{Digest: pieces.Digest("sha256:" + f.Content(1).SHA256())}
				r.add(t, f.URL(), opts)
				for _, err := range r.all(func(h *cluster.Host) error {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					_, err := h.Fetch(ctx, f.URL(), opts)
					return err
				}) {
					require.Equal(t, pieces.Integrity, pieces.KindOf(err), "%v", err)
				}
				require.Positive(t, rule.Fired())
			})
		}
	}
}

// certificate is signed by itself, for a name, until some time.
func certificate(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, parsed
}

func TestTLS(t *testing.T) {
	pool := x509.NewCertPool()
	serve := func(name string, until time.Time, trust bool) *origin.Origin {
		c, x := certificate(t, name, until)
		if trust {
			pool.AddCert(x)
		}
		return origin.NewTLS(t, 6, &tls.Config{Certificates: []tls.Certificate{c}})
	}
	good := serve("127.0.0.1", time.Now().Add(time.Hour), true)
	bad := map[string]*origin.Origin{
		"expired":    serve("127.0.0.1", time.Now().Add(-time.Hour), true),
		"wrong name": serve("other.example", time.Now().Add(time.Hour), true),
		"unknown":    serve("127.0.0.1", time.Now().Add(time.Hour), false),
	}
	for _, r := range readers(t, func(o *daemon.Options) { o.Source.TLS = &tls.Config{RootCAs: pool} }) {
		t.Run(r.name+"/good", func(t *testing.T) {
			f := good.Add(r.name, size)
			r.add(t, f.URL(), pieces.Options{})
			r.heals(t, f, pieces.Options{})
		})
		for name, o := range bad {
			t.Run(r.name+"/"+name, func(t *testing.T) {
				f := o.Add(r.name, size)
				r.add(t, f.URL(), pieces.Options{})
				for _, err := range r.all(func(h *cluster.Host) error { return read(t, h, f, pieces.Options{}, factsDeadline+slack) }) {
					require.Equal(t, pieces.Origin, pieces.KindOf(err), "%v", err)
				}
				require.Zero(t, f.Requests())
				require.Positive(t, o.Conns.Load())
				require.LessOrEqual(t, o.Conns.Load(), int64(8))
			})
		}
	}
}
