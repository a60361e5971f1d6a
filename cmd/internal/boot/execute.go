package boot

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"damselfly/pieces"
)

// Main runs the command with the process's arguments and exits.
func Main(cmd *cobra.Command) { MainArgs(cmd, os.Args[1:]) }

// MainArgs is Main with other arguments.
func MainArgs(cmd *cobra.Command, args []string) {
	keepSecrets()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// From the first signal on the default disposition is back: a second one
	// ends a process that hangs while it stops.
	context.AfterFunc(ctx, stop)
	os.Exit(Execute(ctx, cmd, args, os.Stdout, os.Stderr))
}

// Execute runs cmd with args and returns its exit code. An error is printed to
// stderr as one line that begins with the command's name. Whatever cobra
// refuses before a command runs (flags, arguments, sub-commands) is a usage
// error.
func Execute(ctx context.Context, cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	prepare(cmd)
	if ok, err := printDocs(cmd, args, stdout); ok {
		return complain(cmd, err, stderr)
	}
	ran := false
	noteRun(cmd, &ran)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	at, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if !ran && pieces.KindOf(err) == pieces.Internal {
		err = pieces.Errorf(pieces.Invalid, "%s (see '%s --help')", oneLine(err.Error()), at.CommandPath())
	}
	if ctx.Err() != nil && pieces.KindOf(err) == pieces.Canceled {
		err = pieces.Errorf(pieces.Canceled, "interrupted")
	}
	return complain(cmd, err, stderr)
}

// complain prints err, if there is one, and returns its exit code.
func complain(cmd *cobra.Command, err error, stderr io.Writer) int {
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: %s\n", cmd.Name(), oneLine(err.Error()))
	return ExitCode(err)
}

// prepare gives cmd what all binaries share.
func prepare(cmd *cobra.Command) {
	cmd.SilenceErrors = true
	cmd.SilenceUsage = true
	if cmd.Version == "" {
		cmd.Version = Version()
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
}

// noteRun wraps cmd and its sub-commands so that *ran tells whether one of
// them began to run.
func noteRun(cmd *cobra.Command, ran *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		noteRun(sub, ran)
	}
}

func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
