package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"damselfly/cmd/internal/e2e/lab"
)

// counters are what must come back to where it was when nobody reads.
type counters struct {
	goroutines, descriptors      float64
	memory, handles, slots, rssM float64
}

func (c counters) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, %.0f reserved bytes, %.0f open files, %.0f uploads, %.0f MiB resident",
		c.goroutines, c.descriptors, c.memory, c.handles, c.slots, c.rssM)
}

func countersOf(ctx context.Context, h *lab.Host) (counters, error) {
	m, err := h.Metrics(ctx)
	if err != nil {
		return counters{}, err
	}
	c := counters{
		goroutines: m["go_goroutines"], descriptors: m["process_open_fds"],
		memory: m["damselfly_daemon_memory_bytes"], handles: m["damselfly_daemon_open_handles"],
		slots: m["damselfly_upload_slots_in_use"], rssM: m["process_resident_memory_bytes"] / (1 << 20),
	}
	for name, v := range m {
		if strings.HasPrefix(name, "damselfly_rpc_panics") || strings.HasPrefix(name, "damselfly_fuse_panics") {
			if v != 0 {
				return c, fmt.Errorf("%s: %s is %v", h.Name, name, v)
			}
		}
	}
	return c, nil
}

// Slack over the first rest: connections to more neighbours, one's share of
// their streams, files that the cache keeps open.
const (
	slackGoroutines  = 150
	slackDescriptors = 80
	mostRSS          = 900 // MiB: the daemon's own limit is 768
	settleTime       = 30 * time.Second
)

// atRest waits until c is at rest against what it was at first.
func atRest(ctx context.Context, h *lab.Host, first counters) (c counters, err error) {
	err = lab.Until(ctx, settleTime, h.Name+" to be at rest", func() error {
		if c, err = countersOf(ctx, h); err != nil {
			return err
		}
		if c.memory != 0 || c.handles != 0 || c.slots != 0 || c.rssM > mostRSS ||
			c.goroutines > first.goroutines+slackGoroutines || c.descriptors > first.descriptors+slackDescriptors {
			return fmt.Errorf("%v; at first %v", c, first)
		}
		return nil
	})
	return c, err
}
