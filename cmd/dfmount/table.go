package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// table lines up columns that are split by tabs.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) flush() error {
	return pieces.WithKind(pieces.Internal, t.w.Flush(), "printing")
}

// printTasks lists tasks, the last added first, at the time now.
func printTasks(w io.Writer, tasks []control.TaskInfo, now time.Time) error {
	slices.SortFunc(tasks, func(a, b control.TaskInfo) int {
		return cmp.Or(b.Added.Compare(a.Added), cmp.Compare(a.ID, b.ID))
	})
	t := newTable(w)
	t.row("TASK", "SIZE", "CACHED", "STATE", "AGE", "SOURCE", "NAME", "URL")
	for _, info := range tasks {
		t.row(info.ID.Short(), size(info), cached(info), string(info.State), age(info.Added, now), source(info.Traffic),
			orDash(strings.Join(info.Names, ",")), orDash(info.URL))
	}
	return t.flush()
}

// age is how long ago something was, in its largest unit.
func age(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// source says where a task's bytes came from, the largest share first.
func source(tr control.Traffic) string {
	type share struct {
		name  string
		bytes int64
	}
	shares := []share{{"peers", tr.Peers}, {"seeds", tr.Seeds}, {"origin", tr.Origin}}
	slices.SortStableFunc(shares, func(a, b share) int { return cmp.Compare(b.bytes, a.bytes) })
	sum := tr.Peers + tr.Seeds + tr.Origin
	var words []string
	for _, s := range shares {
		if s.bytes == sum && sum > 0 {
			return s.name
		}
		if s.bytes > 0 {
			words = append(words, fmt.Sprintf("%s %d%%", s.name, s.bytes*100/sum))
		}
	}
	return orDash(strings.Join(words, ","))
}

func size(t control.TaskInfo) string {
	if t.Facts == nil {
		return "-"
	}
	return boot.FormatBytes(t.Facts.Size)
}

func cached(t control.TaskInfo) string {
	switch {
	case t.Pieces == 0:
		return "-"
	case t.CachedPieces == t.Pieces:
		return "100%"
	}
	return fmt.Sprintf("%d%%", t.CachedPieces*100/t.Pieces)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// printTask shows all of one task; what is empty is left out.
func printTask(w io.Writer, info control.TaskInfo) error {
	t := newTable(w)
	t.row("task", string(info.ID))
	t.row("URL", info.URL)
	for _, f := range [][2]string{{"tag", info.Tag}, {"application", info.Application}, {"digest", string(info.Digest)}, {"name", strings.Join(info.Names, ", ")}} {
		if f[1] != "" {
			t.row(f[0], f[1])
		}
	}
	if info.Private {
		t.row("private", "yes: only for who has its credential")
	}
	if f := info.Facts; f != nil {
		t.row("version", string(info.Version))
		t.row("size", fmt.Sprintf("%d (%s)", f.Size, boot.FormatBytes(f.Size)))
		t.row("modified", when(f.Modified))
		t.row("cached", fmt.Sprintf("%s, %d of %d pieces of %s", boot.FormatBytes(info.CachedBytes), info.CachedPieces, info.Pieces, boot.FormatBytes(info.PieceSize)))
	}
	t.row("state", string(info.State))
	t.row("came from", traffic(info.Traffic))
	t.row("added", when(info.Added))
	t.row("last used", when(info.Accessed))
	for _, p := range info.Paths {
		t.row("path", p)
	}
	return t.flush()
}

func traffic(tr control.Traffic) string {
	f := boot.FormatBytes
	return fmt.Sprintf("origin %s, peers %s, seeds %s, cache %s; sent %s", f(tr.Origin), f(tr.Peers), f(tr.Seeds), f(tr.Cache), f(tr.Uploaded))
}

func printStatus(w io.Writer, st control.Status) error {
	t := newTable(w)
	kind := "host"
	if st.Host.Type == pieces.SeedHost {
		kind = "seed"
	}
	t.row("daemon", fmt.Sprintf("%s, pid %d, since %s", st.Version, st.PID, when(st.Started)))
	t.row(kind, fmt.Sprintf("%s (%s), %s, ports %d and %d", st.Host.Hostname, st.Host.ID.Short(), st.Host.IP, st.Host.PeerPort, st.Host.UploadPort))
	for _, m := range st.Mounts {
		t.row("mount", mountLine(m))
	}
	if len(st.Mounts) == 0 {
		t.row("mount", "none; 'dfmount MOUNTPOINT' makes one")
	}
	for _, m := range st.Managers {
		t.row("manager", m+state(st.ManagerOK))
	}
	for _, s := range st.Schedulers {
		t.row("scheduler", s.Address+state(s.Connected))
	}
	if len(st.Managers)+len(st.Schedulers) == 0 {
		t.row("cluster", "none: this host reads origins alone")
	}
	full := ""
	if !st.Caching {
		full = "; the disk is too full to cache more"
	}
	t.row("cache", fmt.Sprintf("%s of %s in %s, %s free on disk%s", boot.FormatBytes(st.CacheUsed), boot.FormatBytes(st.CacheSize), st.DataDir, boot.FormatBytes(st.DiskFree), full))
	if st.RemovedFiles > 0 {
		t.row("removed", fmt.Sprintf("%d files are open somewhere and still take %s of the disk", st.RemovedFiles, boot.FormatBytes(st.RemovedBytes)))
	}
	t.row("tasks", fmt.Sprintf("%d, %d handles open, %d uploads running", st.Tasks, st.OpenHandles, st.Uploads))
	t.row("under way", workLine(st.Work))
	t.row("came from", traffic(st.Traffic))
	t.row("reads", readsLine(st.Reads))
	return t.flush()
}

// readsLine is where the bytes that programs read were.
func readsLine(r control.Reads) string {
	s := fmt.Sprintf("%d", r.Count.Total())
	for h := pieces.HitInline; h < pieces.Hits; h++ {
		s += fmt.Sprintf(", %v %s", h, boot.FormatBytes(r.Bytes[h]))
	}
	return s + fmt.Sprintf("; %d waited, %v in sum", r.Stalls, time.Duration(r.StalledMicros)*time.Microsecond)
}

func state(ok bool) string {
	if ok {
		return " (ok)"
	}
	return " (not reachable)"
}

func printChecks(w io.Writer, checks []control.Check) error {
	t := newTable(w)
	for _, c := range checks {
		mark := "ok"
		if !c.OK {
			mark = "WRONG"
		}
		t.row(mark, c.Name, c.Detail)
		if c.Fix != "" {
			t.row("", "", "fix: "+c.Fix)
		}
	}
	return t.flush()
}
