package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Link counts the bytes of a host's link, headers included.
type Link struct{ Sent, Received int64 }

// Links returns the counters of all hosts by name, cheaply enough to be asked
// many times a second.
func (l *Lab) Links() (links map[string]Link, err error) {
	var text []byte
	err = (&Host{Name: "switch", lab: l}).inside(func() error {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		return nil, err
	}
	links = map[string]Link{}
	for _, h := range l.Hosts() {
		links[h.Name] = Link{}
	}
	for line := range strings.Lines(string(text)) {
		port, counters, ok := strings.Cut(line, ":")
		name := strings.TrimSpace(port)
		if _, host := links[name]; !ok || !host {
			continue
		}
		// What the switch's port receives, the host sent.
		link, err := parseCounters(strings.Fields(counters))
		if err != nil {
			return nil, fmt.Errorf("counters of %s: %w", name, err)
		}
		links[name] = link
	}
	return links, nil
}

// parseCounters reads a line of /proc/net/dev: received bytes stand first, sent
// ones ninth.
func parseCounters(f []string) (link Link, err error) {
	if len(f) < 16 {
		return link, fmt.Errorf("%d columns in /proc/net/dev", len(f))
	}
	if link.Sent, err = strconv.ParseInt(f[0], 10, 64); err != nil {
		return link, err
	}
	link.Received, err = strconv.ParseInt(f[8], 10, 64)
	return link, err
}
