package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// orderHead is the first line of a file of an access order (docs/formats.md).
const orderHead = "# damselfly access order 1"

// maxOrderLines bounds the extents of a file.
const maxOrderLines = 1 << 16

// writeOrder writes an access order: one extent a line, OFFSET and LENGTH in
// bytes.
func writeOrder(w io.Writer, o control.Order) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\n# task %s\n# version %s\n# size %d\n", orderHead, o.ID, o.Version, o.Size)
	for _, r := range o.Ranges {
		fmt.Fprintf(b, "%d %d\n", r.Off, r.N)
	}
	return pieces.WithKind(pieces.Internal, b.Flush(), "writing the access order")
}

// readOrder reads what writeOrder wrote, or a person. Of the comment lines only
// the version counts; name is for errors.
func readOrder(r io.Reader, name string) (o control.Order, err error) {
	lines := bufio.NewScanner(r)
	bad := func(n int, format string, args ...any) error {
		return pieces.Errorf(pieces.Invalid, "%s:%d: %s", name, n, fmt.Sprintf(format, args...))
	}
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if v, ok := strings.CutPrefix(line, "# version "); ok {
			if o.Version, err = pieces.ParseVersionID(v); err != nil {
				return o, bad(n, "%v", err)
			}
		}
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 2 {
			return o, bad(n, "%.60q: want OFFSET LENGTH, both in bytes", line)
		}
		off, err1 := strconv.ParseUint(words[0], 10, 62)
		length, err2 := strconv.ParseUint(words[1], 10, 62)
		if err1 != nil || err2 != nil || length == 0 {
			return o, bad(n, "%.60q: want OFFSET LENGTH, both in bytes, LENGTH not 0", line)
		}
		if len(o.Ranges) == maxOrderLines {
			return o, bad(n, "more than %d extents", maxOrderLines)
		}
		o.Ranges = append(o.Ranges, control.Range{Off: int64(off), N: int64(length)})
	}
	if err := lines.Err(); err != nil {
		return o, pieces.WithKind(pieces.Invalid, err, name)
	}
	if len(o.Ranges) == 0 {
		return o, bad(n, "no extent: want lines of OFFSET LENGTH, as 'dfmount order export' writes them")
	}
	return o, nil
}
