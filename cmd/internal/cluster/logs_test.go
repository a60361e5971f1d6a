package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
	"damselfly/scheduler"
)

// jsonLog is the log of several parts, as JSON.
type jsonLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *jsonLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *jsonLog) of(app string) *logrus.Entry {
	log := logrus.New()
	log.SetOutput(l)
	log.SetLevel(logrus.TraceLevel)
	log.SetFormatter(&logrus.JSONFormatter{})
	return log.WithField("app", app)
}

// lines returns what was logged so far.
func (l *jsonLog) lines(t *testing.T) (out []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		out = append(out, m)
	}
	return out
}

// What some fields look like wherever they are.
var logFields = map[string]*regexp.Regexp{
	"task":    regexp.MustCompile(`^[0-9a-f]{12}$`),
	"version": regexp.MustCompile(`^[0-9a-f]{1,12}$`),
	"host":    regexp.MustCompile(`^[0-9a-f]{12}$`),
	"seed":    regexp.MustCompile(`^127\.0\.0\.1:\d+$`),
	"pieces":  regexp.MustCompile(`^\[\d+,\d+\)$`),
}

// TestLogsAreConsistent scans the JSON logs of a run with failures: whoever looks
// for a task or a host finds all lines about it by one field of one form.
func TestLogsAreConsistent(t *testing.T) {
	l := &jsonLog{}
	c := With(t, 2, func(o *scheduler.Options) { o.Log = l.of("dfscheduler") })
	logged := func(seed bool) *Host {
		return c.Host(func(o *daemon.Options) { o.Log, o.Seed = l.of("dfdaemon"), seed })
	}
	seed := logged(true)
	first, second := logged(false), logged(false)
	o := newOrigin(t, 6<<20)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	_, err := first.Fetch(ctx, o.URL, pieces.Options{})
	require.NoError(t, err)
	gone := http.NotFoundHandler()
	serve := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/gone") {
			gone.ServeHTTP(w, r)
			return
		}
		serve.ServeHTTP(w, r)
	})
	_, err = second.Fetch(ctx, o.URL+"/gone", pieces.Options{})
	require.Error(t, err)
	seed.Stop()
	c.Schedulers[0].Stop()
	_, err = second.Fetch(ctx, o.URL+"/1", pieces.Options{})
	require.NoError(t, err)
	c.Schedulers[1].Stop()
	_, err = second.Fetch(ctx, o.URL+"/2", pieces.Options{})
	require.NoError(t, err)
	first.Stop()
	second.Stop()

	lines := l.lines(t)
	seen := map[string]int{}
	for _, line := range lines {
		for k, v := range line {
			if form := logFields[k]; form != nil {
				require.Regexp(t, form, v, "%s of %v", k, line)
			}
			switch v.(type) {
			case map[string]any, []any:
				t.Errorf("%s of %v is no text or number", k, line)
			}
			seen[k]++
		}
		for _, other := range []string{"taskID", "task_id", "taskid", "peer_id", "asker", "host_id", "hostID", "key"} {
			require.NotContains(t, line, other)
		}
		if text := line["msg"].(string); line["task"] == nil {
			require.NotRegexp(t, `\b[0-9a-f]{64}\b|\b[0-9a-f]{12}@`, text, "a task that stands only in the text: %v", line)
		}
	}
	for _, k := range []string{"task", "version", "host"} {
		require.Positive(t, seen[k], "no line of %d has the field %s", len(lines), k)
	}
}
