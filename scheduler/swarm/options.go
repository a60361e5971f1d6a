package swarm

import (
	"time"

	"damselfly/pieces"
)

// Options are the rules' numbers. They are immutable once given to Step;
// dynamic config swaps the whole value.
type Options struct {
	Policy pieces.Policy

	// FilterParentLimit is how many eligible parents are scored at most,
	// CandidateParentLimit how many of those a child gets. ParentLimit is how
	// many it has in the end: the others come when it has something to report,
	// and where hosts name several data centres, from its own alone. Not of policy
	// classic.
	FilterParentLimit    int
	CandidateParentLimit int
	ParentLimit          int
	// MaxChildren is how many children a peer has at most, even if its host has
	// more upload slots: more only divide its link. Not of policy classic.
	MaxChildren int
	Weights     Weights

	// The worst parent is looked at every max(ReplaceMin, ReplaceShare ×
	// expected time) and replaced if another scores ReplaceGain times as much.
	ReplaceMin   time.Duration
	ReplaceShare float64
	ReplaceGain  float64
	// DefaultRate is the download rate of a peer that has told none, bytes/s.
	DefaultRate float64

	// A peer that failed for a child is blocked for it: BlockMin the first
	// time, twice as long each time after, up to BlockMax. A block that lasted
	// through is forgotten after as long again.
	BlockMin, BlockMax time.Duration
	// AccusedBlock is how long a host that sent a child wrong bytes is blocked
	// for that child; BadVoices children that say so put it out.
	AccusedBlock time.Duration
	BadVoices    int
	// BadFor is how long a bad node stays out of the eligible set; it becomes the
	// parent of who would have too few.
	BadFor time.Duration

	// A conflict about a digest is settled within DisputeFor by reading the
	// piece again, or the first record stands. Rereads run at once in a
	// Version at most. MaxDisputes pieces are in dispute at once in a Version,
	// DisputesPerHost because of one host, who may also lose as many that it
	// passed on; beyond them the first record stands and who contradicts it is
	// put out.
	DisputeFor                            time.Duration
	Rereads, MaxDisputes, DisputesPerHost int
	// Quarantine is how long a Version is not served of which the origin
	// contradicted itself.
	Quarantine time.Duration

	// LeaseUnit is the most bytes of one lease, LeaseUnitMin the least into
	// which leases are cut to spread them over peers.
	LeaseUnit, LeaseUnitMin int64
	// Running leases per normal peer, per seed, and per peer of class demand, of
	// class order: those are small and far from each other, so that a few at a
	// time would leave a link to a far origin idle.
	PeerLeases, SeedLeases, DemandLeases, OrderLeases int
	// LeaseSilence without heartbeat ends a lease.
	LeaseSilence time.Duration
	// LeaseRest is how long an executor that let a lease fall gets no other.
	LeaseRest time.Duration
	// RepeatAfter: a demand asked again after so long may be read again from
	// the origin, though somebody holds it.
	RepeatAfter time.Duration
	// What somebody holds is read again at most RepeatShare of the content (but
	// RepeatFloor, and a piece) within RepeatWindow. Not bound by it are a peer
	// to whom no other gave anything for RepeatAlone, and pieces of which every
	// holder failed for RepeatVoices peers (or all who want something) since
	// it last gave anybody a piece, or sent this one wrong bytes.
	RepeatShare               float64
	RepeatFloor               int64
	RepeatWindow, RepeatAlone time.Duration
	RepeatVoices              int
	// Grace without new leases after the first resumed registration.
	Grace time.Duration

	// SeedWake is how long a woken seed has to register; then it is passed
	// over for SeedRest.
	SeedWake, SeedRest time.Duration
	// NoSource: wants that nobody may read end in an error after this.
	NoSource time.Duration

	// FactsLease is how long facts may take without a heartbeat, FactsWait how
	// long a question waits for them before it is told to ask again.
	FactsLease, FactsWait time.Duration
	// FactsFresh is how long facts are believed; FactsFreshSum for content
	// without validator.
	FactsFresh, FactsFreshSum time.Duration

	// ErrorTTL is how long a permanent origin error answers for the origin.
	ErrorTTL time.Duration
	// Back-off after transient origin errors; a longer Retry-After wins.
	BackoffMin, BackoffMax time.Duration
	// RestMax bounds how long an origin is left alone, whatever Retry-After it
	// sends: one request finds out whether it has recovered.
	RestMax time.Duration
	// ProbeFor is how long the one Task that finds out whether an origin that
	// asked to be left alone has recovered keeps its other Tasks away.
	ProbeFor time.Duration
	// After OriginTries transient errors in a row, or when the back-off or the
	// Retry-After is longer than Patience, wants end in the error.
	OriginTries int
	Patience    time.Duration

	// Probes is how many leases run at once between a failure of the origin and
	// its next delivery.
	Probes int

	// HoldersPerWant is how many holders of a piece are named at most.
	HoldersPerWant int
	// PeerTTL: a silent peer is collected after it. TaskTTL: a Task without
	// peers is forgotten after it.
	PeerTTL, TaskTTL time.Duration

	// Limits.
	MaxPeers    int // per Task
	MaxVersions int // per Task
	MaxWants    int // pieces that one peer wants at once
	MaxWaiters  int // StatTask calls waiting for facts
	MaxOrder    int // extents of the access order
	MaxSums     int // digests per message
	MaxExtents  int // extents per message
}

// Weights of the six scores; they need not add up to 1.
type Weights struct {
	FinishedPiece    float64
	UploadSuccess    float64
	FreeUpload       float64
	HostType         float64
	IDCAffinity      float64
	LocationAffinity float64
}

// Defaults returns the numbers of the design.
func Defaults() Options {
	return Options{
		FilterParentLimit:    15,
		CandidateParentLimit: 4,
		ParentLimit:          10,
		MaxChildren:          24,
		Weights:              Weights{0.2, 0.2, 0.15, 0.15, 0.15, 0.15},
		ReplaceMin:           100 * time.Millisecond,
		ReplaceShare:         0.03,
		ReplaceGain:          1.1,
		DefaultRate:          100e6 / 8,
		BlockMin:             10 * time.Second,
		BlockMax:             5 * time.Minute,
		AccusedBlock:         time.Hour,
		BadVoices:            2,
		BadFor:               30 * time.Second,
		DisputeFor:           30 * time.Second,
		Rereads:              2,
		MaxDisputes:          64,
		DisputesPerHost:      8,
		Quarantine:           time.Minute,
		LeaseUnit:            16 << 20,
		LeaseUnitMin:         1 << 20,
		PeerLeases:           2,
		SeedLeases:           4,
		DemandLeases:         64,
		OrderLeases:          16,
		LeaseSilence:         3 * time.Second,
		LeaseRest:            2 * time.Second,
		RepeatAfter:          2 * time.Second,
		RepeatShare:          0.05,
		RepeatFloor:          4 << 20,
		RepeatWindow:         30 * time.Second,
		RepeatAlone:          3 * time.Second,
		RepeatVoices:         2,
		Grace:                time.Second,
		SeedWake:             time.Second,
		SeedRest:             10 * time.Second,
		NoSource:             5 * time.Second,
		FactsLease:           5 * time.Second,
		FactsWait:            2 * time.Second,
		FactsFresh:           60 * time.Second,
		FactsFreshSum:        10 * time.Minute,
		ErrorTTL:             10 * time.Second,
		BackoffMin:           500 * time.Millisecond,
		BackoffMax:           20 * time.Second,
		RestMax:              20 * time.Second,
		OriginTries:          5,
		Patience:             20 * time.Second,
		Probes:               4,
		ProbeFor:             5 * time.Second,
		HoldersPerWant:       4,
		PeerTTL:              time.Minute,
		TaskTTL:              10 * time.Minute,
		MaxPeers:             20000,
		MaxVersions:          8,
		MaxWants:             1 << 17,
		MaxWaiters:           20000,
		MaxOrder:             1000,
		MaxSums:              1024,
		MaxExtents:           4096,
	}
}
