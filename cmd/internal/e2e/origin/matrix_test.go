package origin_test

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/pieces"
)

const size = 2<<20 + 77

// right stands for right bytes where a kind stands for an error.
const right = pieces.Kind(255)

// misbehaviour is a row of the matrix.
type misbehaviour struct {
	name   string
	manner origin.Manner
	when   origin.When
	fault  origin.Fault
	// want is what every read ends in, one of these.
	want []pieces.Kind
	// within is the longest that opening and reading may take; 0 = both
	// deadlines.
	within time.Duration
	// requests is the most that the fault may cost in the second in which
	// readers try again and again, all hosts together; 0 = 60.
	requests int
}

func one(k pieces.Kind) []pieces.Kind { return []pieces.Kind{k} }

var first = origin.First

func matrix(o *origin.Origin) []misbehaviour {
	var (
		R, O, T = one(right), one(pieces.Origin), one(pieces.Timeout)
		D, X    = one(pieces.Denied), one(pieces.Throttled)
		RorO    = []pieces.Kind{right, pieces.Origin}
		data    = origin.Data
		facts   = origin.Facts
		every   = origin.Every
	)
	return []misbehaviour{
		{name: "cut at 10 %, once", when: first(1, data), fault: origin.Cut(.1, origin.Close), want: R},
		{name: "cut at 50 %, three times", when: first(3, data), fault: origin.Cut(.5, origin.Close), want: R},
		{name: "cut at 99 %, every time", when: data, fault: origin.Cut(.99, origin.Close), want: RorO},
		{name: "reset at 50 %, three times", when: first(3, data), fault: origin.Cut(.5, origin.Reset), want: R},
		{name: "facts cut at 50 %, twice", when: first(2, facts), fault: origin.Cut(.5, origin.Close), want: R},
		{name: "nothing but the header, every time", when: data, fault: origin.Cut(0, origin.Close), want: O},
		{name: "fewer than asked", when: data, fault: origin.Resize(-1000), want: O},
		{name: "more than asked", when: data, fault: origin.Resize(1000), want: O},
		{name: "more than announced", when: data, fault: origin.Overflow(1000), want: R},
		{name: "more than announced with the facts", when: facts, fault: origin.Overflow(1000), want: R},
		{name: "range ignored from some offset on", when: data, fault: origin.IgnoreRange, want: O},
		{name: "range ignored always", manner: origin.NoRanges, want: R},
		{name: "wrong Content-Range", when: data, fault: origin.ContentRange("bytes", 4096, 0), want: O},
		{name: "wrong Content-Range of the facts", when: facts, fault: origin.ContentRange("bytes", 4096, 0), want: O},
		{name: "no Content-Range", when: data, fault: origin.ContentRange("", 0, 0), want: O},
		{name: "no Content-Range of the facts", when: facts, fault: origin.ContentRange("", 0, 0), want: O},
		{name: "Content-Range */…", when: data, fault: origin.Header("Content-Range", "bytes */2097229"), want: O},
		{name: "Content-Range …/*", when: data, fault: origin.ContentRange("bytes", 0, -1), want: O},
		{name: "Content-Range in other units", when: data, fault: origin.ContentRange("pages", 0, 0), want: O},
		{name: "wrong total", when: data, fault: origin.ContentRange("bytes", 0, size+5), want: one(pieces.Changed)},
		{name: "multipart", when: data, fault: origin.Multipart, want: O},
		{name: "gzip", when: data, fault: origin.Gzip, want: O},
		{name: "gzip of the facts", when: facts, fault: origin.Gzip, want: O},
		{name: "gzip bomb", when: every, fault: origin.GzipBomb, want: O},
		{name: "weak ETag", manner: origin.WeakETag, want: R},
		{name: "Last-Modified only", manner: origin.LastModifiedOnly, want: R},
		{name: "no validator", manner: origin.NoValidator, want: R},
		{name: "no length", manner: origin.NoLength, want: R},
		{name: "validator gone", when: data, fault: origin.Header("ETag", ""), want: O},
		{name: "no length of ranges", when: data, fault: origin.Chunked, want: R},
		{name: "login page for data", when: data, fault: origin.Login(""), want: []pieces.Kind{pieces.Origin, pieces.Changed}},
		{name: "login page with an ETag", when: data, fault: origin.Login(`"login"`), want: one(pieces.Changed)},
		{name: "416", when: data, fault: origin.Status(416, ""), want: O},
		{name: "mute", when: every, fault: origin.Mute, want: T},
		{name: "mute for data", when: data, fault: origin.Mute, want: T},
		{name: "mute, twice", when: first(2, data), fault: origin.Mute, want: R},
		{name: "header at 1 byte/s", when: every, fault: origin.SlowHead(1), want: T},
		{name: "body at a byte now and then", when: data, fault: origin.SlowBody(20), want: T},
		{name: "body at a byte now and then, also of the facts", when: every, fault: origin.SlowBody(20), want: T},
		{name: "stall of a sixth of the deadline", when: data, fault: origin.Pause(silence * 9 / 10), want: R},
		{name: "stall over the deadline, once", when: first(1, data), fault: origin.Pause(4 * time.Second), want: R},
		{name: "stall for ever, twice", when: first(2, data), fault: origin.Pause(-1), want: R},
		{name: "stall for ever, every time", when: data, fault: origin.Pause(-1), want: []pieces.Kind{right, pieces.Timeout}},
		{name: "429 with seconds", when: first(1, data), fault: origin.Status(429, "1"), want: R},
		{name: "503 with a date", when: data, fault: origin.Status(503, time.Now().Add(90*time.Minute).UTC().Format(http.TimeFormat)), want: X, requests: 12},
		{name: "503 with a date in the past", when: data, fault: origin.Status(503, "Wed, 21 Oct 2015 07:28:00 GMT"), want: X},
		{name: "429 absurd", when: data, fault: origin.Status(429, "99999999999999999999"), want: X},
		{name: "429 of the facts", when: facts, fault: origin.Status(429, "3600"), want: T, requests: 12},
		{name: "500 now and then", when: origin.OneIn(3, every), fault: origin.Status(500, ""), want: R},
		{name: "500 always", when: every, fault: origin.Status(500, ""), want: O},
		{name: "401 after some pieces", when: origin.After(1, data), fault: origin.Status(401, ""), want: []pieces.Kind{right, pieces.Denied}},
		{name: "403 for data", when: data, fault: origin.Status(403, ""), want: D},
		{name: "404 for data", when: data, fault: origin.Status(404, ""), want: one(pieces.NotFound)},
		{name: "404", when: every, fault: origin.Status(404, ""), want: one(pieces.NotFound)},
		{name: "reset instead of an answer, twice", when: first(2, every), fault: origin.Refuse, want: R},
		{name: "reset always", when: every, fault: origin.Refuse, want: O},
		{name: "redirect to itself", when: every, fault: func(a *origin.Answer) { origin.Redirect("")(a); a.Header.Set("Location", o.URL+"/loop") }, want: O},
		{name: "redirect to another scheme", when: every, fault: origin.Redirect("ftp://127.0.0.1/x"), want: O},
		{name: "redirect to a file", when: every, fault: origin.Redirect("file:///etc/passwd"), want: O},
		{name: "redirect to cloud metadata", when: every, fault: origin.Redirect("http://169.254.169.254/latest"), want: D},
		{name: "redirect to nobody", when: every, fault: origin.Redirect("http://127.0.0.1:1/x"), want: O},
		{name: "redirect without Location", when: every, fault: origin.Redirect(""), want: O},
	}
}

// Rows wait for deadlines more than they work; under the race detector they
// work too.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(24/patience)); err != nil {
		panic(err)
	}
	m.Run()
}

// shortMatrix: one of so many rows is run by short tests.
const shortMatrix = 8

func TestMisbehaviour(t *testing.T) {
	o := origin.New(t, 3)
	loop := o.Add("loop", 1)
	loop.Misbehave(origin.Every, origin.Redirect(o.URL+"/loop"))
	// Rules with a memory belong to one file: a matrix per reader.
	for _, r := range readers(t, nil) {
		for i, m := range matrix(o) {
			if testing.Short() && i%shortMatrix != 0 {
				continue
			}
			f := o.Add(fmt.Sprintf("%s-%d", r.name, i), size)
			t.Run(r.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				m.run(t, r, f)
			})
		}
	}
}

// run lets every host read the file while it misbehaves, then heals it.
func (m misbehaviour) run(t *testing.T, r reader, f *origin.File) {
	f.Manner = m.manner
	var rule *origin.Rule
	if m.fault != nil {
		rule = f.Misbehave(m.when, m.fault)
	}
	r.add(t, f.URL(), pieces.Options{})
	m.readOn(t, r, f)
	if rule != nil {
		require.Positive(t, rule.Fired(), "the fault never happened")
	}
	t.Logf("%d requests, %d bytes", f.Requests(), f.Sent())
	most := m.requests
	if most == 0 {
		most = 60
	}
	require.LessOrEqual(t, f.Requests(), most, "requests while it misbehaved")
	r.heals(t, f, pieces.Options{})
}

// readOn reads on every host, again and again for a second as long as that
// fails, as programs do.
func (m misbehaviour) readOn(t *testing.T, r reader, f *origin.File) {
	limit := m.within
	if limit == 0 {
		limit = readDeadline + factsDeadline + slack
	}
	r.all(func(h *cluster.Host) error {
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			err := read(t, h, f, pieces.Options{}, limit)
			kind := right
			if err != nil {
				kind = pieces.KindOf(err)
			}
			if !slices.Contains(m.want, kind) {
				t.Errorf("ended in %v (%v), want %v", kind, err, m.want)
			}
			if err == nil || time.Since(began) > time.Second || t.Failed() {
				return err
			}
		}
	})
}
