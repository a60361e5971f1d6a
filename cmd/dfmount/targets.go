package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"damselfly/cmd/internal/boot/client"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// maxListed bounds the lines of a list of tasks.
const maxListed = 100_000

// readTargets reads what was typed and what a list names. Nothing is connected
// yet, so that a bad input starts no daemon.
func readTargets(args []string, o warmOptions) ([]target, error) {
	portion := control.Portion{Range: control.Whole, Order: o.order, Background: !o.wait}
	if o.ranges != "" {
		if o.order {
			return nil, pieces.Errorf(pieces.Invalid, "--range and --order exclude each other: the order names its own ranges")
		}
		r, err := client.ParseRange(o.ranges)
		if err != nil {
			return nil, err
		}
		portion.Range = r
	}
	var ts []target
	for _, arg := range args {
		ref, err := parseRef(arg, o.options)
		if err != nil {
			return nil, err
		}
		ts = append(ts, target{ref, portion, arg})
	}
	if o.fromFile == "" {
		return ts, nil
	}
	in, name := io.ReadCloser(os.Stdin), "standard input"
	if o.fromFile != "-" {
		f, err := os.Open(o.fromFile)
		if err != nil {
			return nil, pieces.Errorf(pieces.Invalid, "--from-file: %w", err)
		}
		in, name = f, o.fromFile
	}
	defer in.Close()
	listed, err := readList(in, name, portion, o.options)
	return append(ts, listed...), err
}

// readList reads a task a line, each with a range of its own after a tab if it
// has one.
func readList(r io.Reader, name string, portion control.Portion, o pieces.Options) (ts []target, err error) {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(ts) == maxListed {
			return nil, pieces.Errorf(pieces.Invalid, "%s:%d: more than %d tasks; split the list", name, n, maxListed)
		}
		text, bytes, ranged := strings.Cut(line, "\t")
		t := target{portion: portion, from: text}
		if t.ref, err = parseRef(text, o); err == nil && ranged {
			if portion.Order {
				return nil, pieces.Errorf(pieces.Invalid, "%s:%d: a range and --order exclude each other", name, n)
			}
			t.portion.Range, err = client.ParseRange(strings.TrimSpace(bytes))
			t.from += " " + strings.TrimSpace(bytes)
		}
		if err != nil {
			return nil, pieces.WithKind(pieces.KindOf(err), err, fmt.Sprintf("%s:%d", name, n))
		}
		ts = append(ts, t)
	}
	if err := lines.Err(); err != nil {
		return nil, pieces.WithKind(pieces.Invalid, err, name)
	}
	if len(ts) == 0 {
		return nil, pieces.Errorf(pieces.Invalid, "%s names no task: want one a line", name)
	}
	return ts, nil
}

// isPattern reports whether ref may be a pattern of names.
func isPattern(ref control.Ref) bool {
	return !ref.IsURL() && !strings.Contains(ref.Text, "/") && strings.ContainsAny(ref.Text, "*?[")
}

// expand replaces patterns by the names they match, here and at the manager. A
// name that reads like a pattern means itself.
func expand(ctx context.Context, c *control.Client, ts []target) ([]target, error) {
	if !slices.ContainsFunc(ts, func(t target) bool { return isPattern(t.ref) }) {
		return ts, nil
	}
	tasks, missing, err := c.ListAll(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range tasks {
		names = append(names, t.Names...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var out []target
	for _, t := range ts {
		pattern := t.ref.Text
		if !isPattern(t.ref) || slices.Contains(names, pattern) {
			out = append(out, t)
			continue
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, pieces.Errorf(pieces.Invalid, "pattern %q: want *, ? and [a-z] with closed brackets", pattern)
		}
		before := len(out)
		for _, name := range names {
			if ok, _ := path.Match(pattern, name); ok {
				out = append(out, target{control.Ref{Text: name}, t.portion, name})
			}
		}
		if len(out) > before {
			continue
		}
		if missing != "" {
			return nil, pieces.Errorf(pieces.Unavailable, "no name here matches %q, and those of the manager are not known: %s", pattern, missing)
		}
		return nil, pieces.Errorf(pieces.NotFound, "no name matches %q; 'dfmount ls' lists them", pattern)
	}
	return out, nil
}
