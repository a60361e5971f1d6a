// Package damselfly_test holds what is true of the repository as a whole: the
// floors of its packages.
package damselfly_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// floors says on which floor each unit of the code lives. A unit is a folder
// with all folders below it that have no line of their own. A package imports
// only units of lower floors, and folders of its own unit below itself; a suite
// of tests for every implementation of x stands in x/xtest and imports x. So
// the build graph reads like the table, and a package is understood without
// those above it.
//
// New code: put its folder in the line of its floor, the lowest one that is
// above all it needs.
var floors = [][]string{
	0: {"pieces", "pieces/missing", "pieces/ring", "proto/commonpb", "proto/trace", "cmd/internal/e2e/content", "cmd/internal/e2e/proxy", "cmd/internal/bench/machine"},
	1: {"proto/managerpb", "proto/schedulerpb", "proto/daemonpb", "pieces/store",
		"scheduler/swarm", "manager/store", "manager/ca",
		"daemon/source", "daemon/limit", "daemon/picker", "daemon/readahead"},
	2: {"proto/wire", "scheduler/rules", "manager/people"},
	3: {"proto/rpc", "manager/oidc"},
	4: {"daemon/announce", "daemon/exchange", "daemon/fetch", "daemon/upload", "daemon/control", "manager/console",
		"cmd/internal/boot", "cmd/internal/boot/tracing"},
	5: {"daemon", "fusefs", "scheduler", "manager", "cmd/internal/boot/hostcfg", "cmd/internal/e2e/lab"},
	6: {"cmd/internal/boot/client", "cmd/internal/boot/console", "cmd/internal/boot/doctor", "cmd/internal/boot/host", "cmd/internal/boot/sso",
		"cmd/internal/cluster", "cmd/internal/supervisor", "cmd/internal/e2e", "cmd/internal/sim", "cmd/internal/load", "cmd/internal/bench",
		"cmd/internal/bench/mount"},
	7: {"cmd", "scripts", "deploy"},
}

// only lists what is known in few places: packages at or below prefix may be
// imported by the units named there and by nobody else.
var only = []struct {
	prefix string
	where  []string
	why    string
}{
	{"damselfly/proto/commonpb", pbEdges, "wire types stop at server and client edges; inside we speak package pieces"},
	{"damselfly/proto/managerpb", pbEdges, "wire types stop at server and client edges; inside we speak package pieces"},
	{"damselfly/proto/schedulerpb", pbEdges, "wire types stop at server and client edges; inside we speak package pieces"},
	{"damselfly/proto/daemonpb", pbEdges, "wire types stop at server and client edges; inside we speak package pieces"},
	{"google.golang.org/grpc/credentials", []string{"proto/rpc"}, "proto/rpc is the only place that knows transport credentials"},
	{"github.com/dgraph-io/badger", []string{"pieces/store"}, "the piece cache's database is the store's own business"},
	{"github.com/hanwen/go-fuse", []string{"fusefs", "cmd/internal/bench/mount"}, "only fusefs speaks FUSE; the bench measures it beside go-fuse's own loopback"},
	{"database/sql", []string{"manager/store"}, "SQL lives in manager/store"},
}

var pbEdges = []string{
	"proto/commonpb", "proto/managerpb", "proto/schedulerpb", "proto/daemonpb", "proto/wire", "proto/rpc",
	"daemon/announce", "daemon/exchange", "daemon/control", "daemon", "scheduler", "manager", "manager/console",
	"cmd", "cmd/internal/cluster", "cmd/internal/supervisor", "cmd/internal/e2e", "cmd/internal/e2e/lab", "cmd/internal/load",
}

// never lists imports that a pure unit must do without.
var never = []struct {
	unit    string
	imports []string
	why     string
}{
	{"pieces", impure, "the vocabulary is pure: no I/O, no log, time and randomness are arguments"},
	{"pieces/ring", impure, "the ring is pure"},
	{"scheduler/swarm", append([]string{"context", "sync", "sync/atomic"}, impure...),
		"the swarm is a pure step machine: no goroutine, clock, socket or log"},
	{"daemon/picker", append([]string{"context"}, impure...), "the picker is a pure decision over its arguments"},
}

var impure = []string{
	"os", "io/ioutil", "net", "syscall", "log", "log/slog", "crypto/rand",
	"github.com/sirupsen/logrus", "google.golang.org/grpc",
}

const module = "damselfly/"

func TestFloors(t *testing.T) {
	pkgs, err := listPackages()
	require.NoError(t, err)
	require.Greater(t, len(pkgs), 5, "go list found the module")
	for _, p := range pkgs {
		for _, broken := range check(p) {
			t.Error(broken)
		}
	}
}

// check returns each rule that p breaks, in words.
func check(p pkg) (broken []string) {
	dir := strings.TrimPrefix(p.ImportPath, module)
	unit, floor := unitOf(dir)
	if unit == "" {
		return []string{fmt.Sprintf("%s stands on no floor: add it to the table in floors_test.go, on the lowest floor above all it imports", dir)}
	}
	for _, imp := range p.Imports {
		if i := strings.TrimPrefix(imp, module); i != imp {
			toUnit, toFloor := unitOf(i)
			inside := toUnit == unit && (strings.HasPrefix(i, dir+"/") || dir == i+"/"+path.Base(i)+"test")
			if toUnit != "" && toFloor >= floor && !inside {
				broken = append(broken, fmt.Sprintf(
					"%s (floor %d) imports %s (floor %d): a package imports only lower floors, or its own subfolders. "+
						"Declare the small interface you need in %s, or move what both need to a lower floor.",
					dir, floor, i, toFloor, dir))
			}
		}
		for _, o := range only {
			if under(imp, o.prefix) && !slices.Contains(o.where, unit) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s (allowed in %s)", dir, imp, o.why, strings.Join(o.where, ", ")))
			}
		}
		for _, n := range never {
			if unit == n.unit && slices.Contains(n.imports, imp) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", dir, imp, n.why))
			}
		}
	}
	return broken
}

// unitOf returns the unit a folder belongs to: the longest line of the table
// that it lies in; "" if none.
func unitOf(dir string) (unit string, floor int) {
	for f, units := range floors {
		for _, u := range units {
			if under(dir, u) && len(u) > len(unit) {
				unit, floor = u, f
			}
		}
	}
	return unit, floor
}

func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

type pkg struct {
	ImportPath string
	GoFiles    []string
	Imports    []string
}

// listPackages returns every package of the module, as go list sees it.
func listPackages() ([]pkg, error) {
	var diag bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,GoFiles,Imports", "./...")
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, diag.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs, nil
		case err != nil:
			return nil, err
		}
		if len(p.GoFiles) > 0 { // packages of tests only may look anywhere
			pkgs = append(pkgs, p)
		}
	}
}

func TestBrokenFloorsAreNoticed(t *testing.T) {
	for _, c := range []struct {
		from, imports string
		want          string // "" = allowed
	}{
		{"daemon", "damselfly/daemon/fetch", ""},
		{"daemon", "damselfly/daemon/engine", ""},
		{"daemon/engine", "damselfly/daemon", "imports only lower floors"},
		{"daemon/engine", "damselfly/pieces/store", ""},
		{"daemon/source/sourcetest", "damselfly/daemon/source", ""},
		{"daemon/fetch", "damselfly/daemon/upload", "imports only lower floors"},
		{"fusefs", "damselfly/daemon", "imports only lower floors"},
		{"pieces", "damselfly/pieces/store", "imports only lower floors"},
		{"pieces", "time", ""},
		{"pieces", "os", "pure"},
		{"scheduler/swarm", "context", "pure step machine"},
		{"scheduler", "context", ""},
		{"fusefs", "damselfly/proto/daemonpb", "wire types"},
		{"scheduler", "damselfly/proto/schedulerpb", ""},
		{"scheduler/swarm", "damselfly/proto/commonpb", "wire types"},
		{"manager/store", "damselfly/proto/commonpb", "wire types"},
		{"cmd/dfget", "damselfly/cmd/internal/boot", ""},
		{"cmd/internal/boot", "damselfly/daemon", "imports only lower floors"},
		{"cmd/internal/e2e/lab", "damselfly/cmd/internal/supervisor", "imports only lower floors"},
		{"cmd/dfget", "google.golang.org/grpc/credentials/insecure", "proto/rpc is the only place"},
		{"unheard/of", "time", "stands on no floor"},
	} {
		got := check(pkg{ImportPath: module + c.from, Imports: []string{c.imports}})
		if c.want == "" {
			require.Empty(t, got, "%s imports %s", c.from, c.imports)
		} else {
			require.Len(t, got, 1, "%s imports %s", c.from, c.imports)
			require.Contains(t, got[0], c.want)
		}
	}
}
