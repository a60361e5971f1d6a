package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/model"
)

// Of the long form of the model, for each million operations.
const (
	modelRestarts  = 50
	modelEvictions = 600
	modelChanges   = 300
	modelThreads   = 8
)

// runModel has the model do o.model operations on one daemon.
func runModel(ctx context.Context, o options, out io.Writer) (err error) {
	fmt.Fprintf(out, "soak: model, seed %d, %d operations\n", o.seed, o.model)
	l, err := lab.New(ctx, lab.Options{Bin: o.bin, Keep: true})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, l.Close())
		if err == nil && !o.keep {
			err = os.RemoveAll(l.Dir)
		} else {
			fmt.Fprintln(out, "logs and data are in", l.Dir)
		}
	}()
	defer context.AfterFunc(ctx, l.Kill)()
	origin, err := l.StartOrigin(ctx)
	if err != nil {
		return err
	}
	h, err := l.AddHost(ctx, "h1")
	if err != nil {
		return err
	}
	config := filepath.Join(h.Dir, "dfdaemon.yaml")
	if err := os.WriteFile(config, []byte(model.Facts), 0o600); err != nil {
		return err
	}
	d, err := h.StartDaemon(ctx, lab.DaemonOptions{Mount: true, Extra: []string{"--config", config}})
	if err != nil {
		return err
	}
	per := func(n int) int { return max(1, int(int64(n)*int64(o.model)/1_000_000)) }
	report, err := model.Run(ctx, model.Options{
		Seed: o.seed, Ops: o.model, Threads: modelThreads,
		Restarts: per(modelRestarts), Evictions: per(modelEvictions), Changes: per(modelChanges),
	}, origin, d)
	fmt.Fprintln(out, report)
	return err
}
