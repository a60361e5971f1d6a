package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// testCommand prints its options, or fails with fail.
func testCommand(fail error) *cobra.Command {
	o := testOptions{Listen: "default", Slots: 1}
	cmd := &cobra.Command{Use: "dftest", Args: cobra.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := LoadConfig(cmd, &o); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %d %v %s %s", o.Listen, o.Slots, o.Managers, o.Cache, o.Labels)
		return fail
	}
	fs := cmd.Flags()
	ConfigFlag(fs, "dftest")
	fs.StringVar(&o.Listen, "listen", o.Listen, "")
	fs.IntVar(&o.Slots, "slots", o.Slots, "")
	fs.StringSliceVar(&o.Managers, "manager", nil, "")
	fs.Var(&o.Cache, "cache-size", "")
	fs.Var(&o.Labels, "label", "")
	return cmd
}

func execute(t *testing.T, fail error, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Execute(context.Background(), testCommand(fail), args, &o, &e)
	return code, o.String(), e.String()
}

func TestFlagsWinOverConfigOverDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(file, []byte("slots: 5\nmanager: [x:1]\ncache-size: 1GiB\nlabel: {a: b}\n"), 0o600))

	_, out, _ := execute(t, nil, "--config", file)
	require.Equal(t, "default 5 [x:1] 1GiB a=b", out)
	_, out, _ = execute(t, nil, "--slots", "9", "--config", file, "--manager", "y:1,z:1", "--manager", "w:1",
		"--cache-size", "3MiB", "--label", "c=d", "--label", "e=f,g=h")
	require.Equal(t, "default 9 [y:1 z:1 w:1] 3MiB c=d,e=f,g=h", out)
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("slots: x\n"), 0o600))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--nope"}, "dftest: unknown flag: --nope (see 'dftest --help')\n"},
		{[]string{"--slots", "x"}, `dftest: invalid argument "x" for "--slots" flag: strconv.ParseInt: parsing "x": invalid syntax (see 'dftest --help')` + "\n"},
		{[]string{"--cache-size", "x"}, `dftest: invalid argument "x" for "--cache-size" flag: size "x": want bytes with an optional unit, such as 512MiB or 50GiB` + "\n"},
		{[]string{"--label", "x"}, `dftest: invalid argument "x" for "--label" flag: label "x": want KEY=VALUE` + "\n"},
		{[]string{"extra"}, "dftest: unknown command \"extra\" for \"dftest\" (see 'dftest --help')\n"},
		{[]string{"--config", filepath.Join(dir, "none")}, "dftest: --config " + filepath.Join(dir, "none") + ": no such file\n"},
		{[]string{"--config", broken}, "dftest: " + broken + `:1: slots: want a whole number, not "x"` + "\n"},
	} {
		code, _, errOut := execute(t, nil, c.args...)
		require.Equal(t, c.want, errOut)
		require.Equal(t, ExitUsage, code, errOut)
	}
}

func TestExitCodes(t *testing.T) {
	want := map[pieces.Kind]int{
		pieces.Internal: 1, pieces.Invalid: 2, pieces.NotFound: 4, pieces.Denied: 3, pieces.Changed: 4,
		pieces.Timeout: 6, pieces.Canceled: 130, pieces.Unavailable: 1, pieces.Throttled: 4,
		pieces.Integrity: 5, pieces.Origin: 4, pieces.Full: 1, pieces.Exists: 1, pieces.Unauthenticated: 3,
	}
	for _, k := range pieces.Kinds() {
		code, _, errOut := execute(t, pieces.Errorf(k, "went\nwrong"))
		require.Equal(t, want[k], code, k.String())
		require.Equal(t, "dftest: went; wrong\n", errOut)
	}
	code, _, errOut := execute(t, errors.New("plain"))
	require.Equal(t, 1, code)
	require.Equal(t, "dftest: plain\n", errOut)
	require.Equal(t, ExitTimeout, ExitCode(fmt.Errorf("x: %w", context.DeadlineExceeded)))
}

func TestHelpAndVersionSucceed(t *testing.T) {
	code, out, errOut := execute(t, nil, "--version")
	require.Equal(t, "dftest "+Version()+"\n", out)
	require.Zero(t, code)
	require.Empty(t, errOut)
	code, out, _ = execute(t, nil, "--help")
	require.Zero(t, code)
	require.Contains(t, out, "--cache-size")
}
