package jobs

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/pieces/ring"
)

// hostPage is how many hosts are read at a time.
const hostPage = 1000

// liveHosts answers the live hosts of a cluster that fit the target, for every
// target but Seed, which fits all seeds here.
func (e *Engine) liveHosts(ctx context.Context, cluster string, t Target) (fit []store.Host, err error) {
	f := store.HostFilter{Cluster: cluster, Since: e.o.Since(), Seeds: t.Who == Seed || t.Who == AllSeeds}
	for after := pieces.HostID(""); ; {
		page, err := e.o.Store.Hosts(ctx, f, after, hostPage)
		if err != nil {
			return nil, err
		}
		for _, h := range page {
			if t.fits(h.Host) {
				fit = append(fit, h)
			}
		}
		if len(page) < hostPage {
			return fit, nil
		}
		after = page[len(page)-1].Host.ID
	}
}

func (t Target) fits(h pieces.Host) bool {
	if t.Who == OneHost {
		return h.ID == t.Host
	}
	for k, v := range t.Labels {
		if got, ok := h.Labels[k]; t.Who == Labelled && (!ok || got != v) {
			return false
		}
	}
	return true
}

// plan cuts a job into items: Task by Task, and for each Task host by host.
func plan(kind Kind, s Spec, hosts []store.Host) ([]store.JobItem, error) {
	if len(hosts) == 0 {
		return nil, pieces.Errorf(pieces.NotFound, "no live host fits the target %s", s.Target)
	}
	tasks := s.Tasks
	if kind == Collect {
		tasks = []pieces.TaskID{""}
	}
	perTask := len(hosts)
	if s.Target.Who == Seed {
		perTask = 1
	}
	if n := len(tasks) * perTask; n > MaxItems {
		return nil, pieces.Errorf(pieces.Full, "%d tasks on %d hosts are %d items, at most %d are allowed: make several jobs", len(tasks), perTask, n, MaxItems)
	}
	seeds := newSeeds(hosts)
	var items []store.JobItem
	for _, task := range tasks {
		on := hosts
		if s.Target.Who == Seed {
			on = []store.Host{seeds.of(task)}
		}
		for _, h := range on {
			items = append(items, store.JobItem{Number: len(items) + 1, Task: task, Host: h.Host.ID, Hostname: h.Host.Hostname})
		}
	}
	return items, nil
}

func (t Target) String() string {
	switch t.Who {
	case OneHost:
		return "host " + t.Host.Short()
	case Labelled:
		return fmt.Sprintf("labels %v", t.Labels)
	}
	return string(t.Who)
}

// seeds finds the seed of a Task, as schedulers do: by consistent hash over the
// addresses of the live ones.
type seeds struct {
	ring   *ring.Ring
	byAddr map[string]store.Host
}

func newSeeds(hosts []store.Host) seeds {
	s := seeds{byAddr: map[string]store.Host{}}
	var addrs []string
	for _, h := range hosts {
		a := address(h.Host)
		addrs = append(addrs, a)
		s.byAddr[a] = h
	}
	s.ring = ring.New(addrs)
	return s
}

func (s seeds) of(task pieces.TaskID) store.Host { return s.byAddr[s.ring.Owner(string(task))] }

// address is where a host's Peer service is.
func address(h pieces.Host) string { return net.JoinHostPort(h.IP, strconv.Itoa(h.PeerPort)) }
