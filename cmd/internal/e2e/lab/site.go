package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Site is a data centre: hosts behind a switch of their own, which has one link
// to the lab's switch. What goes from site to site passes two such links.
type Site struct {
	Name string
	lab  *Lab
}

// AddSite makes a site without hosts. Names are up to 9 lower-case letters and
// digits, and none of a host.
func (l *Lab) AddSite(ctx context.Context, name string) (*Site, error) {
	if !hostName.MatchString(name) || len(name) > 9 {
		return nil, fmt.Errorf("site name %q: want up to 9 lower-case letters and digits", name)
	}
	s := &Site{name, l}
	return s, l.ip(ctx, "switch",
		"link add "+name+" type bridge forward_delay 0",
		"link set "+name+" up",
		"link add name "+s.port()+" type veth peer name "+name+"-core",
		"link set dev "+s.port()+" master "+name,
		"link set dev "+name+"-core master "+bridge,
		"link set dev "+s.port()+" up",
		"link set dev "+name+"-core up")
}

// port is where the site's switch is plugged into the lab's.
func (s *Site) port() string { return s.Name + "-port" }

// Move plugs a host into the site's switch; its shaping stays.
func (s *Site) Move(ctx context.Context, h *Host) error {
	return s.lab.ip(ctx, "switch", "link set dev "+h.Name+" master "+s.Name)
}

// Link counts the bytes that left the site and that came into it.
func (s *Site) Link() (link Link, err error) {
	var text []byte
	err = (&Host{Name: "switch", lab: s.lab}).inside(func() error {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		return link, err
	}
	for line := range strings.Lines(string(text)) {
		if port, counters, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(port) == s.port() {
			link, err := parseCounters(strings.Fields(counters))
			// What this port receives comes from outside.
			return Link{Sent: link.Received, Received: link.Sent}, err
		}
	}
	return link, fmt.Errorf("site %s has no port", s.Name)
}
