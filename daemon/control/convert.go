package control

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/wire"
)

func sourceTo(url string, o pieces.Options) *daemonpb.Source {
	src := &daemonpb.Source{
		Url: url, Tag: o.Tag, Application: o.Application,
		Digest: string(o.Digest), FilterQuery: o.FilterQuery,
	}
	for _, name := range slices.Sorted(maps.Keys(o.Header)) {
		for _, v := range o.Header[name] {
			src.Headers = append(src.Headers, &daemonpb.Header{Name: name, Value: v})
		}
	}
	return src
}

// notForUsers are header fields that the daemon sets itself.
var notForUsers = []string{"Host", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
	"If-Unmodified-Since", "Accept-Encoding", "Connection", "Content-Length", "Transfer-Encoding", "Upgrade"}

func optionsFrom(src *daemonpb.Source) (pieces.Options, error) {
	digest, err := pieces.ParseDigest(src.GetDigest())
	if err != nil {
		return pieces.Options{}, err
	}
	o := pieces.Options{
		Tag: src.GetTag(), Application: src.GetApplication(),
		Digest: digest, FilterQuery: src.GetFilterQuery(),
	}
	for _, h := range src.GetHeaders() {
		if err := CheckHeader(h.GetName(), h.GetValue()); err != nil {
			return pieces.Options{}, err
		}
		if o.Header == nil {
			o.Header = http.Header{}
		}
		o.Header.Add(h.GetName(), h.GetValue())
	}
	return o, nil
}

// CheckHeader returns an Invalid error unless a user may send this header
// field to an origin. The message does not hold the value.
func CheckHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return pieces.Errorf(pieces.Invalid, "header name %.60q: want a form such as -H 'Accept: text/plain'", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return pieces.Errorf(pieces.Invalid, "header %.60q: the value holds a control character", name)
	case slices.Contains(notForUsers, http.CanonicalHeaderKey(name)):
		return pieces.Errorf(pieces.Invalid, "header %.60q is set by the daemon itself and can't be chosen", name)
	}
	return nil
}

func refTo(ref Ref) *daemonpb.Ref {
	m := &daemonpb.Ref{Ref: ref.Text}
	if ref.IsURL() {
		m.Source = sourceTo(ref.Text, ref.Options)
	}
	return m
}

func trafficTo(t Traffic) *daemonpb.Traffic {
	return &daemonpb.Traffic{Origin: t.Origin, Peers: t.Peers, Seeds: t.Seeds, Cache: t.Cache, Uploaded: t.Uploaded}
}

func trafficFrom(m *daemonpb.Traffic) Traffic {
	return Traffic{m.GetOrigin(), m.GetPeers(), m.GetSeeds(), m.GetCache(), m.GetUploaded()}
}

func progressTo(id pieces.TaskID, p Progress, finished bool) *daemonpb.Progress {
	return &daemonpb.Progress{TaskId: string(id), Done: p.Done, Total: p.Total, Traffic: trafficTo(p.Traffic), Finished: finished}
}

func progressFrom(m *daemonpb.Progress) Progress {
	return Progress{m.GetDone(), m.GetTotal(), trafficFrom(m.GetTraffic())}
}

func secondsTo(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func secondsFrom(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func (s *Server) infoTo(t TaskInfo) *daemonpb.TaskInfo {
	m := &daemonpb.TaskInfo{
		TaskId: string(t.ID), Url: t.URL, Tag: t.Tag, Application: t.Application, Digest: string(t.Digest),
		Audience: t.Private, Names: t.Names, Version: string(t.Version), CachedBytes: t.CachedBytes,
		Pieces: uint32(t.Pieces), CachedPieces: uint32(t.CachedPieces), PieceSize: t.PieceSize,
		State: string(t.State), Added: secondsTo(t.Added), Accessed: secondsTo(t.Accessed),
		OpenHandles: uint32(t.OpenHandles), Traffic: trafficTo(t.Traffic), Paths: s.paths(string(t.ID)), Fill: t.Fill,
	}
	if t.Facts != nil {
		m.Facts = wire.FactsTo(*t.Facts)
	}
	return m
}

func infoFrom(m *daemonpb.TaskInfo) (TaskInfo, error) {
	t := TaskInfo{
		ID: pieces.TaskID(m.GetTaskId()), URL: m.GetUrl(), Tag: m.GetTag(), Application: m.GetApplication(),
		Digest: pieces.Digest(m.GetDigest()), Private: m.GetAudience(), Names: m.GetNames(),
		Version: pieces.VersionID(m.GetVersion()), CachedBytes: m.GetCachedBytes(),
		Pieces: int(m.GetPieces()), CachedPieces: int(m.GetCachedPieces()), PieceSize: m.GetPieceSize(),
		State: State(m.GetState()), Added: secondsFrom(m.GetAdded()), Accessed: secondsFrom(m.GetAccessed()),
		OpenHandles: int(m.GetOpenHandles()), Traffic: trafficFrom(m.GetTraffic()), Paths: m.GetPaths(), Fill: m.GetFill(),
	}
	if m.GetFacts() == nil {
		return t, nil
	}
	f, err := wire.FactsFrom(m.GetFacts())
	t.Facts = &f
	return t, err
}

func statusTo(s Status) *daemonpb.StatusReply {
	m := &daemonpb.StatusReply{
		Version: s.Version, Host: wire.HostTo(s.Host), Pid: int32(s.PID), Started: secondsTo(s.Started),
		Managers: s.Managers, ManagerOk: s.ManagerOK, CacheUsed: s.CacheUsed, CacheSize: s.CacheSize,
		DiskFree: s.DiskFree, Tasks: uint32(s.Tasks), OpenHandles: uint32(s.OpenHandles),
		Uploads: uint32(s.Uploads), Traffic: trafficTo(s.Traffic), DataDir: s.DataDir,
		FuseReads: s.FuseReads, Caching: s.Caching, Reads: readsTo(s.Reads), Work: workTo(s.Work),
		RemovedFiles: uint32(s.RemovedFiles), RemovedBytes: s.RemovedBytes,
	}
	for _, f := range s.Files {
		m.Files = append(m.Files, activityTo(f))
	}
	for _, mi := range s.Mounts {
		m.Mounts = append(m.Mounts, &daemonpb.MountInfo{
			Path: mi.Path, Passthrough: mi.Passthrough, PassthroughReason: mi.PassthroughReason,
			OpenCached: uint32(mi.OpenCached), OpenPassthrough: uint32(mi.OpenPassthrough),
		})
	}
	for _, sc := range s.Schedulers {
		m.Schedulers = append(m.Schedulers, &daemonpb.SchedulerState{Address: sc.Address, Connected: sc.Connected})
	}
	return m
}

func statusFrom(m *daemonpb.StatusReply) (Status, error) {
	s := Status{
		Version: m.GetVersion(), PID: int(m.GetPid()), Started: secondsFrom(m.GetStarted()),
		Managers: m.GetManagers(), ManagerOK: m.GetManagerOk(), CacheUsed: m.GetCacheUsed(), CacheSize: m.GetCacheSize(),
		DiskFree: m.GetDiskFree(), Tasks: int(m.GetTasks()), OpenHandles: int(m.GetOpenHandles()),
		Uploads: int(m.GetUploads()), Traffic: trafficFrom(m.GetTraffic()), DataDir: m.GetDataDir(),
		FuseReads: m.GetFuseReads(), Caching: m.GetCaching(), Reads: readsFrom(m.GetReads()), Work: workFrom(m.GetWork()),
		RemovedFiles: int(m.GetRemovedFiles()), RemovedBytes: m.GetRemovedBytes(),
	}
	for _, f := range m.GetFiles() {
		s.Files = append(s.Files, activityFrom(f))
	}
	for _, mi := range m.GetMounts() {
		s.Mounts = append(s.Mounts, MountInfo{
			Path: mi.GetPath(), Passthrough: mi.GetPassthrough(), PassthroughReason: mi.GetPassthroughReason(),
			OpenCached: int(mi.GetOpenCached()), OpenPassthrough: int(mi.GetOpenPassthrough()),
		})
	}
	for _, sc := range m.GetSchedulers() {
		s.Schedulers = append(s.Schedulers, SchedulerState{Address: sc.GetAddress(), Connected: sc.GetConnected()})
	}
	host, err := wire.HostFrom(m.GetHost())
	s.Host = host
	return s, err
}
