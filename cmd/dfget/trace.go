package main

import (
	"context"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/tracing"
)

// traced begins the trace of a download if it is to have one; end ends it, and
// sends what dfget itself has to tell.
func traced(ctx context.Context, o tracing.Options) (_ context.Context, end func(error), err error) {
	e, err := tracing.Start(o, boot.Version(), nil, boot.Discard())
	if err != nil {
		return ctx, nil, err
	}
	ctx, span := e.Tracer("dfget", "").Root(ctx, "dfget")
	return ctx, func(err error) {
		span.End(err)
		e.Close()
	}, nil
}
