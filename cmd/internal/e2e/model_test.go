package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/model"

	"github.com/stretchr/testify/require"
)

// Whatever way programs read, on many threads, while files are evicted and
// replaced and the daemon is killed: no byte is wrong, and nothing fails without
// cause. The long form is part of make soak.
func TestModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3*time.Minute)
	h := w.host("h1")
	config := filepath.Join(h.Dir, "dfdaemon.yaml")
	w.ok(os.WriteFile(config, []byte(model.Facts), 0o600))
	d, err := h.StartDaemon(w.ctx, lab.DaemonOptions{Mount: true, Extra: []string{"--config", config}})
	w.ok(err)
	report, err := model.Run(w.ctx, model.Options{
		Seed: seed, Ops: 60_000, Threads: 8, Restarts: 5, Evictions: 60, Changes: 30,
	}, w.origin, d)
	t.Log(report)
	w.ok(err)
	require.Equal(t, 5, report.Restarts)
	for kind, n := range report.Ops {
		require.Positive(t, n, kind)
	}
}
