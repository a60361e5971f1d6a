package upload

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"damselfly/pieces"
)

// The headers of the protocol.
const (
	// HeaderHost carries the asker's HostID.
	HeaderHost = "X-Df-Host"
	// HeaderWait carries how many milliseconds the asker may wait.
	HeaderWait = "X-Df-Wait"
	// HeaderUrgent, if present, says that a reader waits for the bytes.
	HeaderUrgent = "X-Df-Urgent"
	// HeaderInsist, if present, says that the asker was sent elsewhere for the
	// bytes before, in vain.
	HeaderInsist = "X-Df-Insist"
	// HeaderHolder names, on 409, the host that was given the bytes first.
	HeaderHolder = "X-Df-Holder"
	// HeaderHolderHost is how to reach it, if that is known (wire.HostToHeader).
	HeaderHolderHost = "X-Df-Holder-Host"
	// HeaderError carries the name of an error's kind.
	HeaderError = "X-Df-Error"
	// HeaderRetry says, on 503 and 409, after how many milliseconds to ask again.
	HeaderRetry = "Retry-After-Ms"
)

const pathPrefix = "/v1/tasks/"

// Path returns the path under which the bytes of a Key are served.
func Path(key pieces.Key) string {
	return pathPrefix + string(key.Task) + "/" + string(key.Version)
}

// parseRequest checks everything a request says. Errors are Invalid, or
// NotFound for a path that is not ours.
func parseRequest(r *http.Request, maxWait time.Duration) (Request, error) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), pathPrefix)
	if !ok {
		return Request{}, pieces.Errorf(pieces.NotFound, "no such path; want %s{task}/{version}", pathPrefix)
	}
	if r.URL.RawQuery != "" || r.ContentLength != 0 {
		return Request{}, pieces.Errorf(pieces.Invalid, "a request for bytes has neither query nor body")
	}
	task, version, _ := strings.Cut(rest, "/")
	key, err := pieces.ParseKey(task, version)
	if err != nil {
		return Request{}, err
	}
	req := Request{Key: key}
	if req.Off, req.N, err = parseRange(r.Header.Values("Range")); err != nil {
		return Request{}, err
	}
	if req.Asker, err = parseAsker(r.Header.Values(HeaderHost)); err != nil {
		return Request{}, err
	}
	if req.Wait, err = parseWait(r.Header.Values(HeaderWait), maxWait); err != nil {
		return Request{}, err
	}
	req.Urgent = len(r.Header.Values(HeaderUrgent)) > 0
	req.Insists = len(r.Header.Values(HeaderInsist)) > 0
	return req, nil
}

// parseRange accepts one "bytes=a-b" with a ≤ b < pieces.MaxSize.
func parseRange(values []string) (off, n int64, err error) {
	bad := func(why string) (int64, int64, error) {
		return 0, 0, pieces.Errorf(pieces.Invalid, "Range %.100q: %s", values, why)
	}
	if len(values) != 1 {
		return bad("want one header bytes=FIRST-LAST")
	}
	spec, ok := strings.CutPrefix(values[0], "bytes=")
	if !ok {
		return bad("want bytes=FIRST-LAST")
	}
	a, b, ok := strings.Cut(spec, "-")
	if !ok {
		return bad("want bytes=FIRST-LAST")
	}
	first, ok1 := parseDecimal(a)
	last, ok2 := parseDecimal(b)
	switch {
	case !ok1 || !ok2:
		return bad("FIRST and LAST must be decimal numbers")
	case last < first:
		return bad("LAST is before FIRST")
	case last >= pieces.MaxSize:
		return bad("beyond the largest content there is")
	}
	return first, last - first + 1, nil
}

func parseAsker(values []string) (pieces.HostID, error) {
	if len(values) != 1 {
		return "", pieces.Errorf(pieces.Invalid, "want one %s header with the asker's host id", HeaderHost)
	}
	return pieces.ParseHostID(values[0])
}

func parseWait(values []string, most time.Duration) (time.Duration, error) {
	if len(values) == 0 {
		return 0, nil
	}
	ms, ok := parseDecimal(values[0])
	if len(values) > 1 || !ok {
		return 0, pieces.Errorf(pieces.Invalid, "%s %.100q: want one number of milliseconds", HeaderWait, values)
	}
	return min(time.Duration(min(ms, int64(time.Hour/time.Millisecond)))*time.Millisecond, most), nil
}

// parseDecimal accepts 1 to 18 decimal digits and nothing else.
func parseDecimal(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
