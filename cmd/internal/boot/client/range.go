package client

import (
	"strconv"
	"strings"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// ParseRange reads the value of --range: FIRST-LAST, both inclusive, or
// FIRST-.
func ParseRange(s string) (control.Range, error) {
	bad := pieces.Errorf(pieces.Invalid, "--range %.60q: want FIRST-LAST in bytes from 0, both inclusive, such as 0-1023 for the first KiB", s)
	from, to, ok := strings.Cut(s, "-")
	first, err := strconv.ParseUint(from, 10, 62)
	if !ok || err != nil {
		return control.Range{}, bad
	}
	if to == "" {
		return control.Range{Off: int64(first), N: -1}, nil
	}
	last, err := strconv.ParseUint(to, 10, 62)
	if err != nil || last < first {
		return control.Range{}, bad
	}
	return control.Range{Off: int64(first), N: int64(last-first) + 1}, nil
}
