package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"damselfly/pieces"
)

// defaultWatch is how often --watch looks. Managers ask schedulers anew after
// half a second.
const defaultWatch = time.Second

// watch is --watch: zero looks once.
type watch struct{ every time.Duration }

func (w *watch) flag(cmd *cobra.Command) {
	cmd.Flags().DurationVarP(&w.every, "watch", "w", 0, "look again every so often, until interrupted (--watch alone: every second; --watch=5s: every five)")
	cmd.Flags().Lookup("watch").NoOptDefVal = defaultWatch.String()
}

// run shows what look prints, once or again and again until ctx ends, which is
// how a watch is meant to end. A terminal shows the last look alone; anything
// else gets one after the other, split by empty lines, or with --json one
// object a line. A manager that does not answer in between is asked again.
func (w *watch) run(ctx context.Context, a *app, look func(ctx context.Context) error) error {
	if w.every < 0 {
		return pieces.Errorf(pieces.Invalid, "--watch %s: want a time above 0", w.every)
	}
	if w.every == 0 {
		return look(ctx)
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	// A look is shown when it is whole: what was seen before stays on the screen
	// while a manager is asked.
	out, shown := a.out, &bytes.Buffer{}
	a.out = shown
	defer func() { a.out = out }()
	for n := 0; ; n++ {
		shown.Reset()
		if n > 0 && !a.json {
			shown.WriteString(between(out))
		}
		err := look(ctx)
		switch kind := pieces.KindOf(err); {
		case ctx.Err() != nil:
			return nil
		case err != nil && (n == 0 || kind != pieces.Unavailable && kind != pieces.Timeout):
			return err
		case err != nil && !a.json:
			fmt.Fprintln(shown, visible(err.Error()))
		}
		if _, err := out.Write(shown.Bytes()); err != nil {
			return pieces.WithKind(pieces.Internal, err, "printing")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// between is what stands between two looks.
func between(out io.Writer) string {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return "\x1b[H\x1b[2J" // home, and clear
	}
	return "\n"
}
