package deploy

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/fusefs"
	"damselfly/manager"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/pieces/missing"
	"damselfly/proto/rpc"
	"damselfly/scheduler"
)

// nothing is a mount's Backend without Tasks.
type nothing struct{}

var errNone = pieces.Errorf(pieces.NotFound, "nothing here")

func (nothing) Lookup(context.Context, pieces.TaskID) (fusefs.Entry, error) {
	return fusefs.Entry{}, errNone
}
func (nothing) Name(context.Context, string) (pieces.TaskID, error) { return "", errNone }
func (nothing) Names(context.Context) ([]string, error)             { return nil, nil }
func (nothing) Here(context.Context, pieces.TaskID) (fusefs.Entry, error) {
	return fusefs.Entry{}, errNone
}
func (nothing) List(context.Context) ([]fusefs.Entry, error)          { return nil, nil }
func (nothing) Open(context.Context, pieces.Key) (fusefs.File, error) { return nil, errNone }
func (nothing) Status() []byte                                        { return nil }
func (nothing) TaskJSON(pieces.TaskID) ([]byte, error)                { return nil, errNone }

// exposed returns the metrics that one daemon with a mount, one scheduler and
// one manager register, as the programs do: the names, with their labels.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts without a helper")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing.Skip(t, "no FUSE here: ", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reg := prometheus.NewRegistry()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	defer db.Close()
	_, err = manager.New(manager.Options{Store: db, Registry: reg})
	require.NoError(t, err)
	_, err = scheduler.New(scheduler.Options{Advertise: "127.0.0.1:1", Registry: reg})
	require.NoError(t, err)
	rpc.NewServer(rpc.ServerOptions{Registry: reg})

	d, err := daemon.New(ctx, daemon.Options{
		DataDir: t.TempDir(), AdvertiseIP: "127.0.0.1", PeerListen: listen(t), UploadListen: listen(t), Registry: reg,
	})
	require.NoError(t, err)
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.Run(running) }()
	defer func() {
		stop()
		require.NoError(t, <-done)
	}()
	m, err := fusefs.New(ctx, fusefs.Options{Dir: t.TempDir(), Backend: nothing{}, Registry: reg, ProbeDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close(ctx)) }()

	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		reg.Describe(descs)
	}()
	metrics := map[string][]string{}
	for desc := range descs {
		name, labels := parseDesc(t, desc.String())
		metrics[name] = append(metrics[name], labels...)
	}
	return metrics
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", .*, constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

// parseDesc reads what a Desc tells of itself.
func parseDesc(t *testing.T, text string) (name string, labels []string) {
	t.Helper()
	m := descText.FindStringSubmatch(text)
	require.NotNil(t, m, text)
	for _, l := range regexp.MustCompile(`(\w+)=`).FindAllStringSubmatch(m[2], -1) {
		labels = append(labels, l[1])
	}
	for l := range strings.SplitSeq(m[3], ",") {
		if l != "" {
			labels = append(labels, l)
		}
	}
	return m[1], labels
}

// What a query may name beside a metric's own labels: what a scrape adds, and
// the bound of a bucket.
var scrapeLabels = []string{"instance", "job", "le"}

var (
	metricInQuery = regexp.MustCompile(`(damselfly_\w+)(?:\{([^}]*)\})?`)
	labelInQuery  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	byInQuery     = regexp.MustCompile(`by \(([^)]*)\)`)
)

// Every metric that a panel of the dashboard asks for is one that the programs
// expose, with the labels it asks for; and every panel asks for some.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	metrics := exposed(t)
	data, err := os.ReadFile("grafana/damselfly.json")
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			ID          int
			Title, Type string
			Targets     []struct{ Expr string }
			GridPos     struct{ X, W int }
		}
	}
	require.NoError(t, json.Unmarshal(data, &board))
	require.NotEmpty(t, board.Panels)
	ids, asked := map[int]bool{}, 0
	for _, p := range board.Panels {
		require.False(t, ids[p.ID], "two panels are %d", p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			found := metricInQuery.FindAllStringSubmatch(target.Expr, -1)
			require.NotEmpty(t, found, "%s: %s", p.Title, target.Expr)
			for _, f := range found {
				labels, ok := find(metrics, f[1])
				require.True(t, ok, "%s: nothing exposes %s", p.Title, f[1])
				asked++
				for _, l := range labelInQuery.FindAllStringSubmatch(f[2], -1) {
					require.Contains(t, append(labels, scrapeLabels...), l[1], "%s: %s", p.Title, target.Expr)
				}
				for _, by := range byInQuery.FindAllStringSubmatch(target.Expr, -1) {
					for l := range strings.SplitSeq(by[1], ",") {
						require.Contains(t, append(labels, scrapeLabels...), strings.TrimSpace(l), "%s: %s", p.Title, target.Expr)
					}
				}
			}
		}
	}
	require.Greater(t, asked, 30)
}

// find returns the labels of the metric that a name in a query stands for: a
// histogram has three.
func find(metrics map[string][]string, name string) (labels []string, ok bool) {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if base, cut := strings.CutSuffix(name, suffix); cut {
			if labels, ok := metrics[base]; ok {
				return slices.Clone(labels), true
			}
		}
	}
	return nil, false
}
