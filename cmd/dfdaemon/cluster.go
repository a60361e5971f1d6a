package main

import (
	"context"

	"damselfly/pieces"
)

func (p *process) startCluster(context.Context) error {
	return pieces.Errorf(pieces.Unavailable, "--all-in-one waits for the scheduler")
}
