package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"damselfly/pieces"
)

// StatusText is this host at a glance, without network.
func (d *Daemon) StatusText() []byte {
	s, err := d.Control().Status(context.Background())
	if err != nil {
		return []byte("damselfly: " + err.Error() + "\n")
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	line("damselfly", "%s, up %v", s.Version, d.uptime())
	line("host", "%s (%s)", s.Host.ID, s.Host.Hostname)
	for _, sch := range s.Schedulers {
		state := "not connected"
		if sch.Connected {
			state = "connected"
		}
		line("scheduler", "%s, %s", sch.Address, state)
	}
	for _, m := range s.Managers {
		line("manager", "%s", m)
	}
	caching := ""
	if !s.Caching {
		caching = ", no room: not caching"
	}
	line("cache", "%d of %d bytes in %s, %d free on its disk%s", s.CacheUsed, s.CacheSize, s.DataDir, s.DiskFree, caching)
	if s.RemovedFiles > 0 {
		line("removed", "%d files are open somewhere and still take %d bytes of the disk", s.RemovedFiles, s.RemovedBytes)
	}
	line("tasks", "%d, %d open handles, %d uploads", s.Tasks, s.OpenHandles, s.Uploads)
	t := s.Traffic
	line("bytes", "origin=%d peers=%d seeds=%d cache=%d uploaded=%d", t.Origin, t.Peers, t.Seeds, t.Cache, t.Uploaded)
	line("reads", "%s", readsText(d.engine.Reads()))
	line("under way", "%d requests to hosts, %d reads of origins, %d pieces to write, %d of %d bytes of memory",
		s.Work.Requests, s.Work.OriginReads, s.Work.Writes, s.Work.Memory, s.Work.MemorySize)
	w.Flush()
	return b.Bytes()
}

// TaskJSON describes one Task, without network; NotFound if it is not here.
func (d *Daemon) TaskJSON(id pieces.TaskID) ([]byte, error) {
	info, err := d.Control().Info(context.Background(), id)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(info, "", "  ")
	return append(b, '\n'), err
}
