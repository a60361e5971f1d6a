package announce

import (
	"time"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// HeldReport: these pieces are verified and served from now on.
type HeldReport struct {
	Extents []pieces.Extent
	// Sums of the pieces read under Lease, which then is not 0.
	Sums  []pieces.SumRun
	Lease pieces.LeaseID
	// Costs of the pieces that came from parents.
	Costs []Cost
	// Rate is the best 1-s mean download rate so far in bytes/s; 0 = unknown.
	Rate float64
	// Urgent: somebody waits for this, don't batch it. Reports with Sums are
	// urgent by themselves.
	Urgent bool
}

// Cost is one piece download from a host as its child measured it.
type Cost struct {
	Host     pieces.HostID
	MsPerMiB float64
}

// PeerResult is how a Peer's whole run ended, for statistics.
type PeerResult struct {
	Success                          bool
	FromPeers, FromOrigin, FromCache int64 // bytes
	Took                             time.Duration
	Err                              error
}

// report is what waits in a session's queue: one of the types below. All
// extents are of one Peer.
type report interface {
	// merge takes o into the report and says whether it did: only for reports
	// of one kind whose order among themselves does not matter.
	merge(o report) bool
	// weight is what the report takes of QueueLimit.
	weight() int
	// pieces is how many pieces it speaks of, for BatchPieces.
	pieces() int
	// urgent reports go at once.
	urgent() bool
}

// mergeLimit bounds the weight of one message: 8,192 digests are 256 KiB.
const mergeLimit = 8 << 10

type (
	heldReport    struct{ HeldReport }
	lostReport    struct{ extents []pieces.Extent }
	cancelReport  struct{ extents []pieces.Extent }
	touchedReport struct{ extents []pieces.Extent }
	failedReport  struct {
		host    pieces.HostID
		extents []pieces.Extent
		reason  pieces.FailReason
	}
	wantReport struct {
		extents []pieces.Extent
		class   pieces.Class
		failed  []pieces.HostID
		trace   trace.Parent
	}
	progressReport struct {
		lease pieces.LeaseID
		bytes int64
	}
	originErrorReport struct {
		lease pieces.LeaseID
		err   error
	}
)

func (r *heldReport) merge(o report) bool {
	h, ok := o.(*heldReport)
	if !ok || h.Lease != r.Lease || r.weight()+h.weight() > mergeLimit {
		return false
	}
	r.Extents = appendExtents(r.Extents, h.Extents)
	r.Sums = append(r.Sums, h.Sums...)
	r.Costs = append(r.Costs, h.Costs...)
	r.Rate = max(r.Rate, h.Rate)
	r.Urgent = r.Urgent || h.Urgent
	return true
}

func (r *lostReport) merge(o report) bool {
	l, ok := o.(*lostReport)
	return ok && mergeExtents(&r.extents, l.extents)
}

func (r *cancelReport) merge(o report) bool {
	c, ok := o.(*cancelReport)
	return ok && mergeExtents(&r.extents, c.extents)
}

func (r *touchedReport) merge(o report) bool {
	t, ok := o.(*touchedReport)
	return ok && mergeExtents(&r.extents, t.extents)
}

func (r *progressReport) merge(o report) bool {
	p, ok := o.(*progressReport)
	if ok = ok && p.lease == r.lease; ok {
		r.bytes = max(r.bytes, p.bytes)
	}
	return ok
}

func (r *wantReport) merge(report) bool        { return false }
func (r *failedReport) merge(report) bool      { return false }
func (r *originErrorReport) merge(report) bool { return false }

func (r *heldReport) weight() int {
	n := 1 + len(r.Extents) + len(r.Costs)
	for _, s := range r.Sums {
		n += len(s.Sums)
	}
	return n
}
func (r *lostReport) weight() int        { return 1 + len(r.extents) }
func (r *cancelReport) weight() int      { return 1 + len(r.extents) }
func (r *touchedReport) weight() int     { return 1 + len(r.extents) }
func (r *failedReport) weight() int      { return 1 + len(r.extents) }
func (r *wantReport) weight() int        { return 1 + len(r.extents) + len(r.failed) }
func (r *progressReport) weight() int    { return 1 }
func (r *originErrorReport) weight() int { return 1 }

func (r *heldReport) pieces() int        { return count(r.Extents) }
func (r *lostReport) pieces() int        { return count(r.extents) }
func (r *cancelReport) pieces() int      { return count(r.extents) }
func (r *touchedReport) pieces() int     { return count(r.extents) }
func (r *failedReport) pieces() int      { return 0 }
func (r *wantReport) pieces() int        { return 0 }
func (r *progressReport) pieces() int    { return 0 }
func (r *originErrorReport) pieces() int { return 0 }

func (r *heldReport) urgent() bool        { return r.Urgent || len(r.Sums) > 0 }
func (r *lostReport) urgent() bool        { return true } // others are sent here for what is gone
func (r *cancelReport) urgent() bool      { return false }
func (r *touchedReport) urgent() bool     { return false }
func (r *failedReport) urgent() bool      { return true }
func (r *wantReport) urgent() bool        { return true }
func (r *progressReport) urgent() bool    { return false }
func (r *originErrorReport) urgent() bool { return true }

func mergeExtents(to *[]pieces.Extent, more []pieces.Extent) bool {
	if len(*to)+len(more) > mergeLimit {
		return false
	}
	*to = appendExtents(*to, more)
	return true
}

// appendExtents keeps the order and joins an extent to the one before it.
func appendExtents(to, more []pieces.Extent) []pieces.Extent {
	for _, e := range more {
		if n := len(to); n > 0 && to[n-1].End == e.First {
			to[n-1].End = e.End
			continue
		}
		to = append(to, e)
	}
	return to
}

func count(es []pieces.Extent) int {
	n := 0
	for _, e := range es {
		n += e.Len()
	}
	return n
}
