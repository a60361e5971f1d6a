// Package console plays a person at the manager's web pages: a headless
// Chromium against real processes on the loopback. It makes the pictures of the
// README in docs/images when DAMSELFLY_IMAGES is set.
package console

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// bin is where the programs under test are.
var bin = os.Getenv("DAMSELFLY_BIN")

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if os.Getenv("DAMSELFLY_E2E") != "" && bin == "" {
		dir, err := os.MkdirTemp("", "damselfly-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		args := []string{"build", "-o", dir + "/"}
		if os.Getenv("DAMSELFLY_RACE") != "" {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "damselfly/cmd/dfmanager", "damselfly/cmd/dfscheduler", "damselfly/cmd/dfdaemon")...).CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}
