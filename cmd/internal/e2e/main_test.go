package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/manager/store/pgtest"
)

// bin is where the programs under test are.
var bin = os.Getenv("DAMSELFLY_BIN")

func TestMain(m *testing.M) {
	if os.Getenv(readerEnv) != "" {
		os.Exit(playReader(os.Args[1:]))
	}
	flag.Parse()
	// What runs beside others waits more than it works.
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if os.Getenv("DAMSELFLY_E2E") == "" {
		return m.Run()
	}
	stays = lab.WatchStays()
	defer stays.Close()
	if bin == "" {
		dir, err := os.MkdirTemp("", "damselfly-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		if err := build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return pgtest.Main(m)
}

// build compiles every program into dir.
func build(dir string) error {
	programs, err := filepath.Glob("../../df*")
	if err != nil || len(programs) == 0 {
		return fmt.Errorf("no programs in cmd (%v)", err)
	}
	args := []string{"build", "-o", dir + "/"}
	if os.Getenv("DAMSELFLY_RACE") != "" {
		args = append(args, "-race")
	}
	for _, p := range programs {
		args = append(args, "damselfly/cmd/"+filepath.Base(p))
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
