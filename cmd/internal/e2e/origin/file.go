package origin

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// Manner is how a well-behaved file names its versions and is sent.
type Manner int

// The manners.
const (
	StrongETag       Manner = iota
	WeakETag                // and no Last-Modified
	LastModifiedOnly        // no ETag
	NoValidator             // neither
	NoRanges                // strong ETag, but every answer is a whole 200
	NoLength                // no validator, no ranges, chunked
)

// File is one path of an Origin. Safe for concurrent use, but for Manner,
// which is set before the first request.
type File struct {
	Name string
	Size int64
	Manner
	// IgnoreConditions: If-Match and If-Unmodified-Since are not understood.
	IgnoreConditions bool

	o       *Origin
	mu      sync.Mutex
	version int
	rules   []*Rule
	asked   []Asked
	sent    atomic.Int64
}

// Asked is one request, as it came.
type Asked struct {
	N      int // its number, from 0
	At     time.Time
	Header http.Header
	// First and Last byte asked for; 0 and -1 without a range.
	First, Last int64
	Status      int
	Query       string
}

// Facts reports whether it is the request that learns a Task's facts.
func (a Asked) Facts() bool { return a.First == 0 && a.Last == 64<<10-1 }

// When picks the requests that a fault is for.
type When func(Asked) bool

// Every request; those for Facts; those for Data; and the first, or all after
// the first n of these.
func Every(Asked) bool   { return true }
func Facts(a Asked) bool { return a.Facts() }
func Data(a Asked) bool  { return !a.Facts() }

// First picks the first n requests that when picks; for one Rule only.
func First(n int, when When) When {
	seen := 0
	return func(a Asked) bool {
		if !when(a) {
			return false
		}
		seen++
		return seen <= n
	}
}

// After picks all but the first n requests that when picks; for one Rule only.
func After(n int, when When) When {
	first := First(n, when)
	return func(a Asked) bool { return when(a) && !first(a) }
}

// OneIn picks one in n of the requests that when picks, by their number, so that
// a run repeats.
func OneIn(n int, when When) When {
	return func(a Asked) bool {
		return when(a) && (uint64(a.N)*0x9e3779b97f4a7c15>>32)%uint64(n) == 0
	}
}

// Rule is a fault of a file.
type Rule struct {
	when  When
	fault Fault
	fired atomic.Int64
}

// Fired returns how often the fault happened.
func (r *Rule) Fired() int { return int(r.fired.Load()) }

// URL of the file.
func (f *File) URL() string { return f.o.URL + "/" + f.Name }

// Content is the file in a version.
func (f *File) Content(version int) content.File {
	return content.New(f.o.seed, fmt.Sprintf("%s@%d", f.Name, version), f.Size)
}

// SetVersion replaces the content; requests that are being answered go on with
// the old one.
func (f *File) SetVersion(v int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = v
}

// Misbehave adds a fault; later ones see what earlier ones made of an answer.
func (f *File) Misbehave(when When, fault Fault) *Rule {
	r := &Rule{when: when, fault: fault}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, r)
	return r
}

// Heal ends all faults for requests to come.
func (f *File) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Asked returns the requests so far.
func (f *File) Asked() []Asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Asked(nil), f.asked...)
}

// Requests returns how many requests came.
func (f *File) Requests() int { return len(f.Asked()) }

// Sent returns the body bytes sent so far.
func (f *File) Sent() int64 { return f.sent.Load() }

// serve answers one request; false: the connection is over.
func (f *File) serve(w *wire, req *http.Request) bool {
	q := Asked{At: time.Now(), Header: req.Header, Last: -1, Query: req.URL.RawQuery}
	if first, last, ok := rangeOf(req.Header); ok {
		q.First, q.Last = first, last
	}
	f.mu.Lock()
	q.N = len(f.asked)
	a := f.answer(q)
	for _, r := range f.rules {
		if r.when(q) {
			r.fired.Add(1)
			r.fault(a)
		}
	}
	q.Status = a.Status
	f.asked = append(f.asked, q)
	f.mu.Unlock()
	return a.send(w)
}

// answer is what a good server would say; f.mu is held.
func (f *File) answer(q Asked) *Answer {
	a := &Answer{Asked: q, file: f, Version: f.version, Status: http.StatusOK, Header: http.Header{}, N: f.Size, Length: f.Size, Stop: -1}
	f.validators(a)
	if !f.IgnoreConditions && f.refuses(q) {
		a.Status, a.N, a.Length = http.StatusPreconditionFailed, 0, 0
		return a
	}
	switch {
	case f.Manner == NoLength:
		a.Length = -1
	case f.Manner == NoRanges || q.Header.Get("Range") == "":
	case q.First >= f.Size:
		a.Status, a.N, a.Length = http.StatusRequestedRangeNotSatisfiable, 0, 0
		a.Header.Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size))
	default:
		last := min(q.Last, f.Size-1)
		if q.Last < 0 {
			last = f.Size - 1
		}
		a.Status, a.Off, a.N = http.StatusPartialContent, q.First, last-q.First+1
		a.Length = a.N
		a.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", q.First, last, f.Size))
	}
	return a
}

func (f *File) validators(a *Answer) {
	switch f.Manner {
	case StrongETag, NoRanges:
		a.Header.Set("ETag", etag(f.version))
	case WeakETag:
		a.Header.Set("ETag", "W/"+etag(f.version))
	case LastModifiedOnly:
		a.Header.Set("Last-Modified", modified(f.version))
	}
}

// refuses: a precondition does not hold.
func (f *File) refuses(q Asked) bool {
	if m := q.Header.Get("If-Match"); m != "" {
		return m != etag(f.version)
	}
	u := q.Header.Get("If-Unmodified-Since")
	return u != "" && u != modified(f.version) && f.Manner == LastModifiedOnly
}
