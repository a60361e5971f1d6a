package mount

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/proxy"
)

// farDelay is what the proxy adds each way.
const farDelay = 10 * time.Millisecond

// rig is a lab with an origin, near and far.
type rig struct {
	o      *Options
	lab    *lab.Lab
	origin *lab.Origin
	rate   lab.Rate
	far    *proxy.Proxy
	files  int
	// unwatch ends the watch that kills everything when the part is over.
	unwatch func() bool
	// buf is memory that was in use before; who reads fills it, and it is
	// checked when the clock has stopped.
	buf []byte
}

// newRig makes one whose links have a rate, 0 = unshaped, and whose readers need
// so much memory.
func newRig(ctx context.Context, o *Options, rate lab.Rate, memory int64) (r *rig, err error) {
	l, err := lab.New(ctx, lab.Options{Bin: o.Bin, Dir: o.Dir})
	if err != nil {
		return nil, err
	}
	r = &rig{o: o, lab: l, rate: rate, buf: make([]byte, memory)}
	// A read in a mount has no context: it ends with its daemon.
	r.unwatch = context.AfterFunc(ctx, l.Kill)
	for i := 0; i < len(r.buf); i += 4096 {
		r.buf[i] = 1
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.origin, err = l.StartOrigin(ctx); err != nil {
		return nil, err
	}
	if err = r.origin.Host.Shape(ctx, rate, rate); err != nil {
		return nil, err
	}
	lis, err := r.origin.Host.Listen(ctx, "tcp", net.JoinHostPort(r.origin.Host.IP, "8081"))
	if err != nil {
		return nil, err
	}
	r.far = proxy.Between(lis, func() (net.Conn, error) {
		return r.origin.Host.Dial(context.WithoutCancel(ctx), "tcp", net.JoinHostPort(r.origin.Host.IP, "80"))
	}, o.Seed)
	r.far.Set(proxy.Fault{Delay: farDelay})
	return r, nil
}

func (r *rig) close() {
	r.unwatch()
	if r.far != nil {
		_ = r.far.Close()
	}
	if err := r.lab.Close(); err != nil {
		fmt.Fprintf(r.o.Log, "end of the lab: %v\n", err)
	}
}

// host adds a host on a shaped link.
func (r *rig) host(ctx context.Context, name string) (*lab.Host, error) {
	h, err := r.lab.AddHost(ctx, name)
	if err != nil {
		return nil, err
	}
	return h, h.Shape(ctx, r.rate, r.rate)
}

// daemon adds a host with a mount. config is that of the daemon, in YAML.
func (r *rig) daemon(ctx context.Context, name, config string, o lab.DaemonOptions) (*lab.Daemon, error) {
	h, err := r.host(ctx, name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(h.Dir, "dfdaemon.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	o.Mount = true
	o.Extra = append(o.Extra, "--config", file)
	return h.StartDaemon(ctx, o)
}

// swarm starts a scheduler and two hosts of it.
func (r *rig) swarm(ctx context.Context) (first, second *lab.Daemon, err error) {
	sched, err := r.lab.AddHost(ctx, "sched")
	if err != nil {
		return nil, nil, err
	}
	s, err := sched.StartScheduler(ctx)
	if err != nil {
		return nil, nil, err
	}
	o := lab.DaemonOptions{Schedulers: []string{s.Addr}}
	if first, err = r.daemon(ctx, "h1", "", o); err != nil {
		return nil, nil, err
	}
	second, err = r.daemon(ctx, "h2", "", o)
	return first, second, err
}

// file puts a new file on the origin.
func (r *rig) file(size int64) (content.File, error) {
	r.files++
	f := content.New(r.o.Seed, fmt.Sprintf("mount-%d.bin", r.files), size)
	_, err := r.origin.Add(f)
	return f, err
}

// url of a file, near or far.
func (r *rig) url(f content.File, far bool) string {
	if far {
		return "http://" + r.far.Addr() + "/files/" + f.Name
	}
	return r.origin.URL("files", f.Name)
}

// add makes a file known to d and returns its path there.
func (r *rig) add(ctx context.Context, d *lab.Daemon, f content.File, far bool) (string, error) {
	return d.Add(ctx, r.url(f, far))
}

// get is what a mount is compared with: one GET of these bytes over a connection
// of its own, into memory.
func (r *rig) get(ctx context.Context, h *lab.Host, f content.File, far bool, off, n int64) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(f, far), nil)
	if err != nil {
		return 0, err
	}
	want := http.StatusOK
	if off != 0 || n != f.Size {
		want = http.StatusPartialContent
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	}
	began := time.Now()
	resp, err := h.Client().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return 0, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	if _, err := io.ReadFull(resp.Body, r.buf[:n]); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, f.Check(r.buf[:n], off)
}

// quiet waits until hardly anything leaves the origin.
func (r *rig) quiet(ctx context.Context) error {
	const step, few = 200 * time.Millisecond, 64 << 10
	before, _, err := r.origin.Host.LinkBytes(ctx)
	if err != nil {
		return err
	}
	return lab.Until(ctx, 30*time.Second, "the origin's link to be quiet", func() error {
		select {
		case <-ctx.Done():
		case <-time.After(step):
		}
		now, _, err := r.origin.Host.LinkBytes(ctx)
		if err != nil {
			return err
		}
		sent := now - before
		if before = now; sent > few {
			return fmt.Errorf("%d bytes in %v", sent, step)
		}
		return nil
	})
}

// contentFile returns where d keeps the bytes of a complete file of that size,
// of which there is one.
func contentFile(d *lab.Daemon, size int64) (path string, err error) {
	err = filepath.WalkDir(d.DataDir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Base(filepath.Dir(p)) != "content" {
			return err
		}
		if st, serr := e.Info(); serr == nil && st.Size() == size {
			path = p
		}
		return nil
	})
	if err == nil && path == "" {
		err = fmt.Errorf("%s has no content file of %d bytes", d.Host.Name, size)
	}
	return path, err
}

// mode says how the file at path is open at the moment.
func mode(path string) (string, error) {
	buf := make([]byte, 64)
	n, err := unix.Getxattr(path, "user.df.mode", buf)
	if err != nil {
		return "", fmt.Errorf("mode of %s: %w", path, err)
	}
	return string(buf[:n]), nil
}
