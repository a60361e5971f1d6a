package pieces

import "strings"

// HostType tells seed peers from the rest.
type HostType uint8

// The types.
const (
	NormalHost HostType = iota
	SeedHost
)

// Host is a machine that runs the daemon, as others see it. Hosts are values;
// Labels is never changed after the Host was made.
type Host struct {
	ID       HostID
	Hostname string
	// IP with PeerPort is the gRPC Peer service, with UploadPort the HTTP
	// piece server.
	IP         string
	PeerPort   int
	UploadPort int
	Type       HostType
	IDC        string
	// Location runs from wide to narrow, split by '|'.
	Location string
	Labels   map[string]string
	// UploadSlots in all and Uploads in use when the host last said so.
	UploadSlots int
	Uploads     int
	// SoftwareVersion is for people.
	SoftwareVersion string
}

// Far reports whether both say in which data centre they are, and it is not the
// same.
func (h Host) Far(o Host) bool { return h.IDC != "" && o.IDC != "" && h.IDC != o.IDC }

// CommonLocation returns how many leading '|' elements a and b share, compared
// without case; empty locations share none.
func CommonLocation(a, b string) int {
	if a == "" || b == "" {
		return 0
	}
	n := 0
	for more := true; more; n++ {
		var x, y string
		var moreA, moreB bool
		x, a, moreA = strings.Cut(a, "|")
		y, b, moreB = strings.Cut(b, "|")
		if !strings.EqualFold(x, y) {
			break
		}
		more = moreA && moreB
	}
	return n
}

// Class is how urgent a want is; lower is more urgent and goes first.
type Class uint8

// The classes of DESIGN §7.
const (
	Demand Class = iota // a reader is blocked on it
	Window              // ahead of a sequential reader
	Order               // from the access order of earlier readers
	Fill                // dfget, warm
)

// Classes is the number of classes.
const Classes = 4

var classNames = [Classes]string{"demand", "window", "order", "fill"}

func (c Class) String() string {
	if int(c) < Classes {
		return classNames[c]
	}
	return "class?"
}

// SumRun is a run of piece digests set by one host, who read those pieces from
// the origin.
type SumRun struct {
	First  int
	Sums   []Sum
	Setter HostID
}

// Extent returns the pieces the run speaks of.
func (r SumRun) Extent() Extent { return Extent{r.First, r.First + len(r.Sums)} }

// Parent is a Peer that another may follow: wait for what it fetches.
type Parent struct {
	Host         Host
	Complete     bool
	BackToSource bool
}

// Holder is a Peer that holds pieces, or fetches them under a lease.
type Holder struct {
	Host     Host
	Held     []Extent
	Fetching []Extent
}

// LeaseID is a scheduler's number for one lease; 0 means none.
type LeaseID uint64

// FailReason says how a download from a parent failed.
type FailReason uint8

// The reasons; the numbers are those on the wire.
const (
	FailUnreachable FailReason = iota
	FailTimeout
	FailNotFound  // 404 for something it had announced: no fault if it lost it
	FailBadBytes  // bytes don't match the recorded digest
	FailMalformed // the answer is not what the protocol says
)

// Policy is how a swarm schedules.
type Policy uint8

// The policies.
const (
	PolicySwarm   Policy = iota
	PolicyClassic        // published Dragonfly rules: DAG parents only
)
