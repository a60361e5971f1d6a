package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// view is the page for now, with rates since last, in so many columns and rows.
func view(last, now sample, width, height int) []string {
	if now.err != nil {
		return fit([]string{"the daemon does not answer: " + now.err.Error(), "", "asking again; q quits"}, width, height)
	}
	d := since(last, now)
	st := now.st
	lines := []string{
		fmt.Sprintf("damselfly %s  %s  up %v  %s   q quits", st.Version, st.Host.Hostname,
			now.at.Sub(st.Started).Round(time.Second), now.at.Local().Format(time.TimeOnly)),
	}
	for _, m := range st.Mounts {
		lines = append(lines, "mount      "+mountLine(m))
	}
	lines = append(lines, "cluster    "+clusterLine(st), "cache      "+cacheLine(st), "under way  "+workLine(st.Work), "")
	lines = append(lines, sourceLines(d, st)...)
	lines = append(lines, "", hitLine(d), stallLine(d), "")
	return fit(append(lines, fileLines(last, now, d.seconds, width)...), width, height)
}

// delta is what happened between two samples.
type delta struct {
	seconds float64
	traffic control.Traffic
	reads   control.Reads
}

// since returns nothing for the first sample, or those of two daemons.
func since(last, now sample) delta {
	d := delta{seconds: now.at.Sub(last.at).Seconds()}
	if last.st.PID != now.st.PID || d.seconds <= 0 {
		return delta{seconds: 1}
	}
	d.traffic = trafficSince(last.st.Traffic, now.st.Traffic)
	d.reads = readsSince(last.st.Reads, now.st.Reads)
	return d
}

func trafficSince(a, b control.Traffic) control.Traffic {
	return control.Traffic{
		Origin: b.Origin - a.Origin, Peers: b.Peers - a.Peers, Seeds: b.Seeds - a.Seeds,
		Cache: b.Cache - a.Cache, Uploaded: b.Uploaded - a.Uploaded,
	}
}

func readsSince(a, b control.Reads) (d control.Reads) {
	for h := range b.Count {
		d.Count[h], d.Bytes[h] = b.Count[h]-a.Count[h], b.Bytes[h]-a.Bytes[h]
	}
	d.Stalls, d.StalledMicros = b.Stalls-a.Stalls, b.StalledMicros-a.StalledMicros
	return d
}

// rate is n bytes in so many seconds.
func rate(n int64, seconds float64) string {
	if n <= 0 {
		return "-"
	}
	return boot.FormatBytes(int64(float64(n)/seconds)) + "/s"
}

func share(part, all int64) string {
	if all <= 0 || part < 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(part)/float64(all))
}

func mountLine(m control.MountInfo) string {
	pass := "passthrough"
	if !m.Passthrough {
		pass = "no passthrough: " + m.PassthroughReason
	}
	return fmt.Sprintf("%s (%s), open: %d through the daemon, %d in passthrough", m.Path, pass, m.OpenCached, m.OpenPassthrough)
}

func clusterLine(st control.Status) string {
	if len(st.Managers)+len(st.Schedulers) == 0 {
		return "none: this host reads origins alone"
	}
	up := 0
	for _, s := range st.Schedulers {
		if s.Connected {
			up++
		}
	}
	line := fmt.Sprintf("%d of %d schedulers", up, len(st.Schedulers))
	if len(st.Managers) > 0 {
		line += ", manager" + state(st.ManagerOK)
	}
	return line
}

func cacheLine(st control.Status) string {
	full := ""
	if !st.Caching {
		full = "; the disk is too full to cache more"
	}
	if st.RemovedFiles > 0 {
		full += fmt.Sprintf(", %s more when %d removed files are closed", boot.FormatBytes(st.RemovedBytes), st.RemovedFiles)
	}
	return fmt.Sprintf("%s of %s, %s free on disk%s; %d files known", boot.FormatBytes(st.CacheUsed), boot.FormatBytes(st.CacheSize), boot.FormatBytes(st.DiskFree), full, st.Tasks)
}

func workLine(w control.Work) string {
	return fmt.Sprintf("%d requests to hosts, %d reads of origins, %d pieces to write, memory %s of %s",
		w.Requests, w.OriginReads, w.Writes, boot.FormatBytes(w.Memory), boot.FormatBytes(w.MemorySize))
}

// sourceLines is throughput by source.
func sourceLines(d delta, st control.Status) []string {
	lines := []string{fmt.Sprintf("%-10s %12s %14s", "BYTES", "NOW", "SINCE START")}
	for _, r := range []struct {
		name     string
		now, all int64
	}{
		{"origin", d.traffic.Origin, st.Traffic.Origin}, {"peers", d.traffic.Peers, st.Traffic.Peers},
		{"seeds", d.traffic.Seeds, st.Traffic.Seeds}, {"sent", d.traffic.Uploaded, st.Traffic.Uploaded},
		{"read", d.reads.Bytes.Total(), st.Reads.Bytes.Total()},
	} {
		lines = append(lines, fmt.Sprintf("%-10s %12s %14s", r.name, rate(r.now, d.seconds), boot.FormatBytes(r.all)))
	}
	return lines
}

// hitLine is where the bytes of the last reads were.
func hitLine(d delta) string {
	all := d.reads.Bytes.Total()
	s := fmt.Sprintf("reads      %.0f/s", float64(d.reads.Count.Total())/d.seconds)
	for h := pieces.HitInline; h < pieces.Hits; h++ {
		s += fmt.Sprintf("  %v %s", h, share(d.reads.Bytes[h], all))
	}
	if failed := d.reads.Count[pieces.HitNone]; failed > 0 {
		s += fmt.Sprintf("  failed or empty %d", failed)
	}
	return s
}

func stallLine(d delta) string {
	return fmt.Sprintf("stalls     %.0f/s, %.2f readers waiting on average", float64(d.reads.Stalls)/d.seconds, float64(d.reads.StalledMicros)/1e6/d.seconds)
}

// fileLines are the files read last, those read most at the moment first.
func fileLines(last, now sample, seconds float64, width int) []string {
	type row struct {
		control.FileActivity
		read, fetched int64
		reads         control.Reads
	}
	before := map[pieces.TaskID]control.FileActivity{}
	if last.st.PID == now.st.PID {
		for _, f := range last.st.Files {
			before[f.ID] = f
		}
	}
	var rows []row
	for _, f := range now.st.Files {
		r := row{FileActivity: f}
		if b, ok := before[f.ID]; ok {
			r.reads = readsSince(b.Reads, f.Reads)
			t := trafficSince(b.Traffic, f.Traffic)
			r.read, r.fetched = max(0, r.reads.Bytes.Total()), max(0, t.Origin+t.Peers+t.Seeds)
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.read+b.fetched, a.read+a.fetched) })
	lines := []string{fmt.Sprintf("%10s %6s %8s %12s %12s %7s  %s", "SIZE", "CACHED", "IN PAGES", "READ", "FETCHED", "STALLS", "FILE")}
	for _, r := range rows {
		resident := "-"
		if r.ResidentBytes >= 0 {
			resident = share(r.ResidentBytes, r.Size)
		}
		lines = append(lines, fmt.Sprintf("%10s %6s %8s %12s %12s %7d  %s", boot.FormatBytes(r.Size), share(r.CachedBytes, r.Size), resident,
			rate(r.read, seconds), rate(r.fetched, seconds), max(0, r.reads.Stalls), called(r.FileActivity, width-62)))
	}
	return lines
}

// called is the name of a file, or the end of its URL in so many columns.
func called(f control.FileActivity, width int) string {
	name := f.URL
	if len(f.Names) > 0 {
		name = f.Names[0]
	}
	if over := utf8.RuneCountInString(name) - max(width, 8); over > 0 {
		name = "…" + string([]rune(name)[over+1:])
	}
	return name
}

// fit cuts lines, none of which holds control characters then, to the size.
func fit(lines []string, width, height int) []string {
	lines = lines[:min(len(lines), height)]
	for i, l := range lines {
		r := []rune(strings.Map(printable, l))
		lines[i] = string(r[:min(len(r), width)])
	}
	return lines
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
		return '?'
	}
	return r
}
