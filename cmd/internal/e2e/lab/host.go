package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is a machine of the lab: a network namespace with one address.
type Host struct {
	Name string
	// IP is the host's only address besides loopback.
	IP string
	// Dir is the host's own directory, for data, sockets, mounts, outputs.
	Dir string

	lab *Lab
}

var hostName = regexp.MustCompile(`^[a-z][a-z0-9]{0,13}$`)

// AddHost makes a host and plugs it into the switch, unshaped. Names are up to
// 14 lower-case letters and digits.
func (l *Lab) AddHost(ctx context.Context, name string) (*Host, error) {
	h, err := l.reserve(name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := run(ctx, "ip", "netns", "add", l.netns(name)); err != nil {
		return nil, err
	}
	if err := l.ip(ctx, "switch",
		"link add name "+name+" type veth peer name eth0 netns "+l.netns(name),
		"link set dev "+name+" master "+bridge,
		"link set dev "+name+" up"); err != nil {
		return nil, err
	}
	if err := l.ip(ctx, name,
		"link set lo up",
		"addr add "+h.IP+"/24 dev eth0",
		"link set eth0 up"); err != nil {
		return nil, err
	}
	// As most distributions have it, whatever this machine prefers: BBR paces each
	// flow by timers of its own, which a crowd on two processors feels.
	return h, h.sysctl(ctx, "net.ipv4.tcp_congestion_control", "cubic")
}

// sysctl sets a setting of the host's network namespace.
func (h *Host) sysctl(ctx context.Context, name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	return run(ctx, "nsenter", "--net="+filepath.Join(netnsDir, h.lab.netns(h.Name)), "--",
		"sh", "-c", `echo "$1" > "$2"`, "sh", value, path)
}

func (l *Lab) reserve(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !hostName.MatchString(name) || name == "switch" || name == bridge:
		return nil, fmt.Errorf("host name %q: want up to 14 lower-case letters and digits", name)
	case l.names[name]:
		return nil, fmt.Errorf("host %s exists already", name)
	case len(l.hosts) >= maxHosts:
		return nil, fmt.Errorf("host %s: the lab holds %d hosts at most", name, maxHosts)
	case l.closed:
		return nil, fmt.Errorf("host %s: the lab is closed", name)
	}
	h := &Host{
		Name: name,
		IP:   subnet + strconv.Itoa(firstHost+len(l.hosts)),
		Dir:  filepath.Join(l.Dir, name),
		lab:  l,
	}
	l.names[name] = true
	l.hosts = append(l.hosts, h)
	return h, nil
}

// Rate is a link's speed in bits per second; 0 = unshaped.
type Rate int64

// Units of Rate.
const (
	Kbit Rate = 1000
	Mbit      = 1000 * Kbit
	Gbit      = 1000 * Mbit
)

// Shape limits what the host sends (up) and receives (down).
func (h *Host) Shape(ctx context.Context, up, down Rate) error {
	if err := h.lab.ip(ctx, h.Name, "link set eth0 gso_max_size "+strconv.Itoa(train(up))); err != nil {
		return err
	}
	if err := h.sysctl(ctx, "net.ipv4.tcp_min_tso_segs", strconv.Itoa(max(2, train(up)/segmentSize/2))); err != nil {
		return err
	}
	if err := shape(ctx, h.lab.netns(h.Name), "eth0", up); err != nil {
		return err
	}
	return shape(ctx, h.lab.netns("switch"), h.Name, down)
}

// segmentSize is how many bytes of data TCP sends in one packet of Ethernet.
const segmentSize = 1448

// train is how many bytes the kernel handles as one packet on its way to a link
// of rate r: 4 ms of it, so that a queue of 20 ms holds several flows' trains. A
// shaper lets what fits its burst pass whole, and cuts up what does not: one of
// 64 KiB and its header into 45, each of which then costs as much as the whole,
// so that a crowd of 16 hosts was bound by the processors. TCP is told to make
// trains of half as much at least, where it would send two segments at a time to
// whoever is behind a queue.
func train(r Rate) int {
	const least, most = 4 << 10, 64 << 10
	if r == 0 {
		return most
	}
	return max(least, min(int(r/8/250), most/2))
}

func shape(ctx context.Context, ns, dev string, r Rate) error {
	if r == 0 {
		_ = run(ctx, "tc", "-n", ns, "qdisc", "del", "dev", dev, "root") // fails when there is none
		return nil
	}
	return run(ctx, "tc", "-n", ns, "qdisc", "replace", "dev", dev, "root",
		"tbf", "rate", strconv.FormatInt(int64(r), 10)+"bit", "burst", "64kb", "latency", "20ms")
}

// Cut takes the host off the network, as if its cable was pulled at the
// switch: nothing is refused, everything vanishes. Mend undoes it.
func (h *Host) Cut(ctx context.Context) error {
	return h.lab.ip(ctx, "switch", "link set dev "+h.Name+" down")
}

// Mend plugs a cut host in again.
func (h *Host) Mend(ctx context.Context) error {
	return h.lab.ip(ctx, "switch", "link set dev "+h.Name+" up")
}

// Part makes packets between h and o vanish silently in both directions; all
// others still reach both. Join undoes it.
func (h *Host) Part(ctx context.Context, o *Host) error {
	// The switch's own address: it takes the frames and forwards none.
	mac, err := h.lab.linkAddress(ctx)
	if err != nil {
		return err
	}
	if err := h.lab.ip(ctx, h.Name, "neigh replace "+o.IP+" lladdr "+mac+" dev eth0 nud permanent"); err != nil {
		return err
	}
	return h.lab.ip(ctx, o.Name, "neigh replace "+h.IP+" lladdr "+mac+" dev eth0 nud permanent")
}

// Join lets h and o talk again after Part.
func (h *Host) Join(ctx context.Context, o *Host) error {
	if err := h.lab.ip(ctx, h.Name, "neigh del "+o.IP+" dev eth0"); err != nil {
		return err
	}
	return h.lab.ip(ctx, o.Name, "neigh del "+h.IP+" dev eth0")
}

type link struct {
	Address string `json:"address"`
	Stats   struct {
		RX struct {
			Bytes int64 `json:"bytes"`
		} `json:"rx"`
		TX struct {
			Bytes int64 `json:"bytes"`
		} `json:"tx"`
	} `json:"stats64"`
}

func (l *Lab) link(ctx context.Context, host, dev string) (link, error) {
	out, err := runInput(ctx, "", "ip", "-n", l.netns(host), "-s", "-j", "link", "show", "dev", dev)
	if err != nil {
		return link{}, err
	}
	var links []link
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) != 1 {
		return link{}, fmt.Errorf("ip link show %s on %s: unexpected answer %.200q", dev, host, out)
	}
	return links[0], nil
}

func (l *Lab) linkAddress(ctx context.Context) (string, error) {
	br, err := l.link(ctx, "switch", bridge)
	return br.Address, err
}

// LinkBytes returns the bytes the host has sent and received on its link,
// headers included; loopback is not counted.
func (h *Host) LinkBytes(ctx context.Context) (sent, received int64, err error) {
	eth, err := h.lab.link(ctx, h.Name, "eth0")
	return eth.Stats.TX.Bytes, eth.Stats.RX.Bytes, err
}

// Dial connects from inside the host. addr must hold a literal IP.
func (h *Host) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = h.inside(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen opens a port on the host for a server in this process. addr must hold
// a literal IP.
func (h *Host) Listen(ctx context.Context, network, addr string) (lis net.Listener, err error) {
	err = h.inside(func() (err error) {
		lis, err = (&net.ListenConfig{}).Listen(ctx, network, addr)
		return err
	})
	return lis, err
}

// inside runs do in the host's namespace: a socket belongs to the one its
// thread is in when it is made.
func (h *Host) inside(do func() error) error {
	ns, err := os.Open(filepath.Join(netnsDir, h.lab.netns(h.Name)))
	if err != nil {
		return err
	}
	defer ns.Close()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", h.Name, err)
	}
	err = do()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic("lab: can't leave the namespace of " + h.Name + ": " + err.Error())
	}
	runtime.UnlockOSThread()
	return err
}

// Enter is the command that runs another one inside the host.
func (h *Host) Enter() string {
	return "nsenter --net=" + filepath.Join(netnsDir, h.lab.netns(h.Name))
}

// Client returns an HTTP client whose connections start at the host. It keeps
// no connection open.
func (h *Host) Client() *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true, DisableCompression: true},
	}
}

// Blackhole gives the host a route that swallows whatever it sends to the
// lab's hosts; they get through to it and never hear back. Unblackhole undoes
// it.
func (h *Host) Blackhole(ctx context.Context) error {
	return h.lab.ip(ctx, h.Name, "route add blackhole "+subnet+"0/25", "route add blackhole "+subnet+"128/25")
}

// Unblackhole lets a host's packets out again.
func (h *Host) Unblackhole(ctx context.Context) error {
	return h.lab.ip(ctx, h.Name, "route del blackhole "+subnet+"0/25", "route del blackhole "+subnet+"128/25")
}
