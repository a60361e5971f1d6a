package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// Origin is an nginx on a host of its own. Paths of its files:
//
//	/files/NAME       ETag, Last-Modified, ranges: the usual origin
//	/slow/NAME        the same at 1 MiB/s per connection
//	/list/            the same, and the directory shows what there is
//	/norange/NAME     answers every Range with 200 and the whole file
//	/novalidator/NAME neither ETag nor Last-Modified
//	/moved/NAME       302 to /files/NAME
//	/denied/NAME      403; /login/NAME 401; /busy/NAME 503 with Retry-After: 1
//
// Anything else is 404.
type Origin struct {
	*Proc
	Host *Host

	root string
}

const originConf = `
daemon off;
master_process off;
user root;
pid nginx.pid;
error_log error.log warn;
events { worker_connections 4096; }
http {
  types { application/octet-stream bin; }
  default_type application/octet-stream;
  log_format lab escape=json '{"time":$msec,"status":$status,"method":"$request_method","uri":"$uri",'
    '"range":"$http_range","sent":$body_bytes_sent,"remote":"$remote_addr","seconds":$request_time}';
  access_log access.log lab;
  sendfile on; sendfile_max_chunk 256k; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 1000000;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  server {
    listen 80 backlog=4096;
    root none;
    location /files/       { alias files/; }
    location /slow/        { alias files/; limit_rate 1m; }
    location /list/        { alias files/; autoindex on; autoindex_exact_size on; }
    location /norange/     { alias files/; max_ranges 0; }
    location /novalidator/ { alias files/; etag off; if_modified_since off; add_header Last-Modified ""; }
    location /moved/       { rewrite ^/moved/(.*)$ /files/$1 redirect; }
    location /denied/      { return 403; }
    location /login/       { return 401; }
    location /busy/        { add_header Retry-After 1 always; return 503; }
    location = /stub       { access_log off; stub_status; }
  }
}
`

var relativePath = regexp.MustCompile(`(alias |root )`)

// StartOrigin makes the host "origin" and starts nginx on it, port 80.
func (l *Lab) StartOrigin(ctx context.Context) (*Origin, error) {
	h, err := l.AddHost(ctx, "origin")
	if err != nil {
		return nil, err
	}
	o := &Origin{Host: h, root: filepath.Join(h.Dir, "files")}
	for _, d := range []string{o.root, filepath.Join(h.Dir, "tmp")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	// nginx takes these two relative to its build prefix, the rest to -p.
	conf := relativePath.ReplaceAllString(originConf, "${1}"+h.Dir+"/")
	if err := os.WriteFile(filepath.Join(h.Dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	return o, o.Start(ctx)
}

// Start starts nginx; also again, after it was killed.
func (o *Origin) Start(ctx context.Context) error {
	p, err := o.Host.Start("nginx", "nginx", "-p", o.Host.Dir, "-e", "error.log", "-c", filepath.Join(o.Host.Dir, "nginx.conf"))
	if err != nil {
		return err
	}
	o.Proc = p
	return Until(ctx, 10*time.Second, "nginx to answer", func() error {
		if err := p.Alive(); err != nil {
			return err
		}
		_, err := o.writing(ctx)
		return err
	})
}

// URL returns the address of a file under one of the paths above ("files", …).
func (o *Origin) URL(path, name string) string {
	return "http://" + o.Host.IP + "/" + path + "/" + name
}

// Add writes the file and returns its URL under /files/. A file of that name
// is replaced at once, as a deployment by rename does.
func (o *Origin) Add(f content.File) (string, error) {
	path := filepath.Join(o.root, f.Name)
	tmp, err := os.CreateTemp(filepath.Join(o.Host.Dir, "tmp"), "add-")
	if err != nil {
		return "", err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{tmp}, f.Reader(), make([]byte, 1<<20))
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return o.URL("files", f.Name), os.Rename(tmp.Name(), path)
}

// Remove takes a file away; its requests stay in the log.
func (o *Origin) Remove(f content.File) error { return os.Remove(filepath.Join(o.root, f.Name)) }

var stubWriting = regexp.MustCompile(`Writing: (\d+)`)

// writing returns how many requests nginx answers just now, this one included.
func (o *Origin) writing(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.Host.IP+"/stub", nil)
	if err != nil {
		return "", err
	}
	resp, err := o.Host.Client().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	m := stubWriting.FindStringSubmatch(string(body))
	if err != nil || m == nil {
		return "", fmt.Errorf("nginx status: %q (%v)", body, err)
	}
	return m[1], nil
}

// Settle waits until nginx answers nobody: only then is every request in the
// log.
func (o *Origin) Settle(ctx context.Context) error {
	return Until(ctx, 30*time.Second, "the origin to have nothing to do", func() error {
		n, err := o.writing(ctx)
		if err == nil && n != "1" {
			err = errors.New(n + " requests in progress")
		}
		return err
	})
}

// Requests returns the finished requests for the file called name, whatever
// path they came by; all requests if name is empty. Call Settle first.
func (o *Origin) Requests(name string) ([]Request, error) {
	b, err := os.ReadFile(filepath.Join(o.Host.Dir, "access.log"))
	if err != nil {
		return nil, err
	}
	all, err := parseAccessLog(b)
	if err != nil || name == "" {
		return all, err
	}
	var found []Request
	for _, r := range all {
		if strings.HasSuffix(r.URI, "/"+name) {
			found = append(found, r)
		}
	}
	return found, nil
}

// Sent settles and returns the body bytes sent of the file called name.
func (o *Origin) Sent(ctx context.Context, name string) (int64, error) {
	if err := o.Settle(ctx); err != nil {
		return 0, err
	}
	rs, err := o.Requests(name)
	var sum int64
	for _, r := range rs {
		sum += r.Sent
	}
	return sum, err
}
