package pieces

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strconv"
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
	header := normalHeader(o.Header)
	if u.userinfo != "" {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Authorization", "Basic "+u.userinfo)
	}
	filter := normalFilter(o.FilterQuery)
	digest, err := ParseDigest(string(o.Digest))
	if err != nil {
		return nil, err
	}
	t := &Task{
		URL:         u.String(nil),
		PublicURL:   u.String(filter),
		Tag:         o.Tag,
		Application: o.Application,
		Digest:      digest,
		FilterQuery: filter,
		Header:      header,
	}
	if len(header) > 0 {
		t.Audience = audience(secret, u.origin(), header)
	}
	t.ID = t.computeID()
	return t, nil
}

// String names t for logs, without what may be secret.
func (t Task) String() string { return t.ID.Short() + " " + redact(t.PublicURL) }

// CheckID returns an Invalid error unless t's fields are such as NewTask makes
// and hashing them gives t.ID: how catalogue entries certify themselves. URL,
// which is not hashed, must be PublicURL but for filtered parameters.
func (t *Task) CheckID() error {
	for _, raw := range []string{t.PublicURL, t.URL} {
		u, err := parseURL(raw)
		if err != nil {
			return err
		}
		if u.String(t.FilterQuery) != t.PublicURL || u.String(nil) != raw || u.userinfo != "" {
			return Errorf(Invalid, "catalogue entry %s: URL is not canonical", t.ID.Short())
		}
	}
	if d, err := ParseDigest(string(t.Digest)); err != nil || d != t.Digest {
		return Errorf(Invalid, "catalogue entry %s: digest %.150q is not canonical", t.ID.Short(), t.Digest)
	}
	if t.Audience != "" && !isLowerHex(t.Audience, 64) {
		return Errorf(Invalid, "catalogue entry %s: audience is not 64 lower-case hex digits", t.ID.Short())
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
// headers in normal form and order, each with the number of its values.
func audience(secret []byte, origin string, header http.Header) string {
	mac := fieldHash{hmac.New(sha256.New, secret)}
	mac.field(origin)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		mac.field(name)
		mac.field(strconv.Itoa(len(header[name])))
		for _, v := range header[name] {
			mac.field(v)
		}
	}
	return hex.EncodeToString(mac.sum())
}

// normalHeader returns a copy with canonical names that leaves out names
// without values; nil if nothing is left.
func normalHeader(h http.Header) http.Header {
	var out http.Header
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			if out == nil {
				out = http.Header{}
			}
			out.Add(name, v)
		}
	}
	return out
}

// normalFilter returns the names trimmed, sorted and each once.
func normalFilter(names []string) []string {
	var out []string
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
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
