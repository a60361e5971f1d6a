package control

import (
	"encoding/json"
	"strconv"
	"time"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
)

// Hits counts something by where bytes came from; see pieces.Hit. In JSON it is
// an object with a key for each place.
type Hits [pieces.Hits]int64

// Total is the sum.
func (h Hits) Total() (n int64) {
	for _, k := range h {
		n += k
	}
	return n
}

// MarshalJSON keeps the order: nearest places first.
func (h Hits) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, n := range h {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, pieces.Hit(i).String())
		b = strconv.AppendInt(append(b, ':'), n, 10)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Hits) UnmarshalJSON(data []byte) error {
	var by map[string]int64
	if err := json.Unmarshal(data, &by); err != nil {
		return err
	}
	for i := range h {
		h[i] = by[pieces.Hit(i).String()]
	}
	return nil
}

// Reads counts what programs read through the mounts; what the kernel answers by
// itself is not seen.
type Reads struct {
	// Count is READs, by the farthest place of their bytes; none: failed.
	Count Hits `json:"count"`
	Bytes Hits `json:"bytes"`
	// Stalls are reads that waited for missing pieces, StalledMicros for how
	// many microseconds in sum.
	Stalls        int64 `json:"stalls"`
	StalledMicros int64 `json:"stalled_us"`
}

// Work is what the daemon has under way.
type Work struct {
	// Requests to other hosts, and reads of origins.
	Requests    int `json:"requests"`
	OriginReads int `json:"origin_reads"`
	// Writes are pieces that wait to be written to disk.
	Writes int `json:"writes"`
	// Memory of MemorySize bytes holds pieces in flight.
	Memory     int64 `json:"memory"`
	MemorySize int64 `json:"memory_size"`
}

// FileActivity is one file that was read.
type FileActivity struct {
	ID    pieces.TaskID `json:"id"`
	URL   string        `json:"url"`
	Names []string      `json:"names,omitempty"`
	Size  int64         `json:"size"`
	// CachedBytes are in the cache; ResidentBytes of its content file in the
	// kernel's page cache, −1 if that is unknown.
	CachedBytes   int64     `json:"cached_bytes"`
	ResidentBytes int64     `json:"resident_bytes"`
	Reads         Reads     `json:"reads"`
	Traffic       Traffic   `json:"traffic"`
	LastRead      time.Time `json:"last_read"`
	// Private files are shown to Owner and root alone.
	Private bool  `json:"-"`
	Owner   Owner `json:"-"`
}

// visible leaves out what who may not see.
func (s *Server) visible(who caller, files []FileActivity) (out []FileActivity) {
	for _, f := range files {
		if s.mayUse(who, TaskInfo{Private: f.Private, Owner: f.Owner}) {
			out = append(out, f)
		}
	}
	return out
}

func readsTo(r Reads) *daemonpb.Reads {
	return &daemonpb.Reads{Count: r.Count[:], Bytes: r.Bytes[:], Stalls: r.Stalls, StalledUs: r.StalledMicros}
}

func readsFrom(m *daemonpb.Reads) (r Reads) {
	copy(r.Count[:], m.GetCount())
	copy(r.Bytes[:], m.GetBytes())
	r.Stalls, r.StalledMicros = m.GetStalls(), m.GetStalledUs()
	return r
}

func workTo(w Work) *daemonpb.Work {
	return &daemonpb.Work{
		Requests: uint32(w.Requests), OriginReads: uint32(w.OriginReads), Writes: uint32(w.Writes),
		Memory: w.Memory, MemorySize: w.MemorySize,
	}
}

func workFrom(m *daemonpb.Work) Work {
	return Work{
		Requests: int(m.GetRequests()), OriginReads: int(m.GetOriginReads()), Writes: int(m.GetWrites()),
		Memory: m.GetMemory(), MemorySize: m.GetMemorySize(),
	}
}

func activityTo(f FileActivity) *daemonpb.FileActivity {
	return &daemonpb.FileActivity{
		TaskId: string(f.ID), Url: f.URL, Names: f.Names, Size: f.Size, CachedBytes: f.CachedBytes,
		ResidentBytes: f.ResidentBytes, Reads: readsTo(f.Reads), Traffic: trafficTo(f.Traffic), LastRead: f.LastRead.UnixMilli(),
	}
}

func activityFrom(m *daemonpb.FileActivity) FileActivity {
	return FileActivity{
		ID: pieces.TaskID(m.GetTaskId()), URL: m.GetUrl(), Names: m.GetNames(), Size: m.GetSize(), CachedBytes: m.GetCachedBytes(),
		ResidentBytes: m.GetResidentBytes(), Reads: readsFrom(m.GetReads()), Traffic: trafficFrom(m.GetTraffic()),
		LastRead: time.UnixMilli(m.GetLastRead()).UTC(),
	}
}
