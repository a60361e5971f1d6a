package pieces

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/http"
	"sort"
	"strings"
)

// Options are what, together with a URL, make a Task.
type Options struct {
	Tag         string
	Application string
	Digest      Digest
	// FilterQuery names query parameters that don't change the content
	// (signatures, expiry). Their values never leave this host.
	FilterQuery []string
	// Header is sent to the origin. Any user header gives the Task an audience.
	Header http.Header
}

// Task is one URL with its options, in the form its id was computed from.
type Task struct {
	ID TaskID
	// URL is canonical, without userinfo, with all query parameters: what the
	// origin is asked for.
	URL string
	// PublicURL is URL without the filtered query parameters: what the id is
	// made of, and what other hosts may know.
	PublicURL   string
	Tag         string
	Application string
	Digest      Digest
	FilterQuery []string
	// Audience is empty for public Tasks, else 64 hex digits (see NewTask).
	Audience string
	// Header holds user headers and userinfo (as Authorization). Never
	// logged, never stored outside this host's catalogue, never sent to
	// anyone but the origin.
	Header http.Header
}

// Public reports whether other hosts may take part in the Task.
func (t *Task) Public() bool { return t.Audience == "" }

// HasSecrets reports whether t holds values that never leave this host.
func (t *Task) HasSecrets() bool { return len(t.Header) > 0 || t.URL != t.PublicURL }

// NewTask canonicalises rawURL and computes the Task's id:
//
//	SHA-256("damselfly task 1", canonical URL without filtered parameters,
//	        tag, application, pinned digest, audience)
//
// each field length-prefixed. Any user header or userinfo in the URL makes the
// audience HMAC-SHA-256(secret, origin | credential); without them secret is
// unused. Unparsable URLs and schemes other than http and https are Invalid.
func NewTask(rawURL string, o Options, secret []byte) (*Task, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	header := o.Header.Clone()
	if u.userinfo != "" {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Authorization", "Basic "+u.userinfo)
	}
	digest, err := ParseDigest(string(o.Digest))
	if err != nil {
		return nil, err
	}
	t := &Task{
		URL:         u.String(nil),
		PublicURL:   u.String(o.FilterQuery),
		Tag:         o.Tag,
		Application: o.Application,
		Digest:      digest,
		FilterQuery: normalFilter(o.FilterQuery),
		Header:      header,
	}
	if len(header) > 0 {
		t.Audience = audience(secret, u.origin(), header)
	}
	t.ID = t.computeID()
	return t, nil
}

// CheckID returns an Invalid error unless hashing t's fields gives t.ID: how
// catalogue entries certify themselves.
func (t *Task) CheckID() error {
	u, err := parseURL(t.PublicURL)
	if err != nil {
		return err
	}
	if u.String(t.FilterQuery) != t.PublicURL || u.userinfo != "" {
		return Errorf(Invalid, "catalogue entry %s: URL is not canonical", t.ID.Short())
	}
	if got := t.computeID(); got != t.ID {
		return Errorf(Invalid, "catalogue entry %s hashes to %s", t.ID.Short(), got.Short())
	}
	return nil
}

func (t *Task) computeID() TaskID {
	h := newFieldHash("damselfly task 1")
	h.field(t.PublicURL)
	h.field(t.Tag)
	h.field(t.Application)
	h.field(string(t.Digest))
	h.field(t.Audience)
	return TaskID(hex.EncodeToString(h.sum()))
}

// audience is HMAC(secret, origin | credential), the credential being all user
// headers in canonical form and order.
func audience(secret []byte, origin string, header http.Header) string {
	mac := fieldHash{hmac.New(sha256.New, secret)}
	mac.field(origin)
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		mac.field(http.CanonicalHeaderKey(name))
		for _, v := range header[name] {
			mac.field(v)
		}
		mac.field("")
	}
	return hex.EncodeToString(mac.sum())
}

func normalFilter(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

// fieldHash hashes length-prefixed fields, so that no two field lists share
// an encoding.
type fieldHash struct{ h hash.Hash }

func newFieldHash(format string) fieldHash {
	h := fieldHash{sha256.New()}
	h.field(format)
	return h
}

func (f fieldHash) field(s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	f.h.Write(n[:])
	f.h.Write([]byte(s))
}

func (f fieldHash) sum() []byte { return f.h.Sum(nil) }
