package console

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// functions of templates.
func functions(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"size":     size,
		"exact":    exact,
		"count":    count,
		"rate":     func(bytesPerSecond float64) string { return size(int64(bytesPerSecond)) + "/s" },
		"percent":  percent,
		"stamp":    stamp,
		"iso":      func(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339) },
		"ago":      func(t *timestamppb.Timestamp) string { return ago(now().Sub(t.AsTime())) },
		"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
		"duration": func(d *durationpb.Duration) string { return length(d.AsDuration()) },
		"seconds":  func(s int64) string { return span(time.Duration(s) * time.Second) },
		"short":    short,
		"order":    order,
		"join":     strings.Join,

		"add":    func(a, b int) int { return a + b },
		"kinds":  list("preheat", "delete", "holders", "collect"),
		"states": list("queued", "running", "succeeded", "failed", "canceled"),
		"roles":  list("viewer", "operator", "admin"),
		"scopes": list("read", "operate", "admin", "account"),
	}
}

// size in words, in units of 1,024.
func size(n int64) string {
	if n < 0 {
		return "unknown"
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	x, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for x >= 1024 && i < len(units)-1 {
		x, i = x/1024, i+1
	}
	if x < 10 {
		return fmt.Sprintf("%.1f %s", x, units[i])
	}
	return fmt.Sprintf("%.0f %s", x, units[i])
}

// exact is a size to the byte.
func exact(n int64) string {
	if n < 0 {
		return "not known"
	}
	return count(n) + " bytes"
}

// count is a whole number with its thousands apart.
func count(v any) string {
	s := fmt.Sprint(v)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// percent of the whole, rounded down so that 100 means all.
func percent(part, whole int64) int {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return min(100, int(math.Floor(float64(part)*100/float64(whole))))
}

// stamp is a time with its zone; a dash for none.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05 UTC")
}

// ago says how long ago something was, or how far it is.
func ago(d time.Duration) string {
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "a moment"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// length is a duration without its zeros: 1h, 1h30m, 5s.
func length(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// short is enough of an id to tell it from others.
func short(id string) string { return id[:min(12, len(id))] }

// list is a function of templates that gives these words.
func list(words ...string) func() []string { return func() []string { return words } }

// order lists the first of the extents that readers touched, given as first, end
// pairs.
func order(pairs []uint32) string {
	const most = 8
	var all []string
	for i := 0; i+1 < len(pairs) && len(all) < most; i += 2 {
		if pairs[i]+1 == pairs[i+1] {
			all = append(all, count(pairs[i]))
		} else {
			all = append(all, count(pairs[i])+"–"+count(pairs[i+1]-1))
		}
	}
	if len(pairs) > 2*most {
		all = append(all, "…")
	}
	return strings.Join(all, ", ")
}
