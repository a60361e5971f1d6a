package store

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// The test binary plays another process: with probeWord as its first argument
// it is a probe, with childEnv set it is the child named there, which works on
// the directory in childDirEnv.
const (
	probeWord   = "probe-store"
	childEnv    = "DAMSELFLY_STORE_TEST_CHILD"
	childDirEnv = "DAMSELFLY_STORE_TEST_DIR"
)

var children = map[string]func(dir string) error{
	"write": writeUntilKilled,
	"churn": churnUntilKilled,
	"world": makeWorldAndDie,
	"die":   openAndDie,
	"files": runOutOfFiles,
	"fill":  writeOnFillingDisk,
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == probeWord {
		os.Exit(RunProbe(os.Args[2], os.Stdin, os.Stderr))
	}
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Getenv(childDirEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is this binary as one of the children, not started yet.
func child(t testing.TB, name, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+name, childDirEnv+"="+dir), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// warnings is the log of a child.
func warnings() *logrus.Entry {
	log := logrus.New()
	log.SetLevel(logrus.WarnLevel)
	return logrus.NewEntry(log)
}

// runToDeath runs a child that must die by a signal.
func runToDeath(t testing.TB, name, dir string) {
	t.Helper()
	require.ErrorContains(t, child(t, name, dir).Run(), "killed")
}

// probeSelf is the probe of tests.
var probeSelf = ProbeBy(os.Args[0], probeWord)
