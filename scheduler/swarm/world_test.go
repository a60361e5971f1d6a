package swarm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"damselfly/pieces"
)

// world is one Task with its hosts, driven by words.
type world struct {
	now      time.Time
	opts     Options
	hosts    *Hosts
	seeds    []Seed
	task     *Task
	sessions map[pieces.HostID]uint64
	versions map[string]pieces.Facts // by name
	current  string
	calls    uint64
	askers   map[uint64]string
	// origin is what other Tasks of the same origin have found.
	origin OriginRest
}

var dayOne = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld() *world {
	w := &world{
		now: dayOne, opts: Defaults(), hosts: &Hosts{},
		sessions: map[pieces.HostID]uint64{}, versions: map[string]pieces.Facts{}, askers: map[uint64]string{},
	}
	w.task = New(Identity{ID: "t", Public: true, SeedsCanFetch: true}, 1, 1)
	return w
}

func (w *world) step(ev Event) []Action {
	return w.task.Step(View{w.now, w.hosts, &w.opts, w.origin}, ev)
}

// args are a command's words: the plain ones and the k=v ones.
type args struct {
	plain []string
	set   map[string]string
}

func parseArgs(words []string) args {
	a := args{set: map[string]string{}}
	for _, s := range words {
		if k, v, ok := strings.Cut(s, "="); ok {
			a.set[k] = v
		} else {
			a.plain = append(a.plain, s)
		}
	}
	return a
}

func (a args) has(word string) bool { return slices.Contains(a.plain, word) }

func (a args) num(k string, otherwise int) int {
	if n, err := strconv.Atoi(a.set[k]); err == nil {
		return n
	}
	return otherwise
}

// extents are the words that look like 3 or 0-4 (both ends counted).
func (a args) extents() (es []pieces.Extent) {
	for _, s := range a.plain {
		first, last, ok := strings.Cut(s, "-")
		if !ok {
			last = first
		}
		f, err1 := strconv.Atoi(first)
		l, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil {
			es = append(es, pieces.Extent{First: f, End: l + 1})
		}
	}
	return es
}

func (w *world) command(words []string) ([]string, error) {
	name, a := words[0], parseArgs(words[1:])
	host := pieces.HostID("")
	if len(a.plain) > 0 {
		host = pieces.HostID(a.plain[0])
		a.plain = a.plain[1:]
	}
	from := From{Host: host, Session: w.sessions[host], Version: w.versionID(a.set["version"])}
	switch name {
	case "host":
		w.host(host, a)
		return nil, nil
	case "set":
		return nil, w.set(a)
	case "private":
		w.task = New(Identity{ID: "t"}, 1, 1)
		return nil, nil
	case "content":
		w.content(string(host), a)
		return nil, nil
	case "up":
		w.sessions[host]++
		return w.say(w.step(SessionUp{host, w.sessions[host]})), nil
	case "down":
		return w.say(w.step(SessionDown{host, w.sessions[host]})), nil
	case "wait":
		d, err := time.ParseDuration(string(host))
		return w.pass(d), err
	case "stat", "answer":
		return w.say(w.step(w.stat(name == "answer", host, a))), nil
	case "register":
		return w.say(w.step(w.register(host, a))), nil
	case "held":
		return w.say(w.step(w.held(from, a))), nil
	case "lost":
		return w.say(w.step(Lost{from, a.extents()})), nil
	case "failed":
		return w.say(w.step(Failed{from, pieces.HostID(a.set["parent"]), a.extents(), reasons[a.set["reason"]]})), nil
	case "want":
		return w.say(w.step(Want{From: from, Extents: a.extents(), Class: classOf(a), Failed: hostList(a.set["failed"])})), nil
	case "cancel":
		return w.say(w.step(Cancel{from, a.extents()})), nil
	case "progress":
		return w.say(w.step(Progress{From: from, Lease: pieces.LeaseID(a.num("lease", 0))})), nil
	case "origin":
		return w.say(w.step(OriginFailed{from, pieces.LeaseID(a.num("lease", 0)), errOf(a)})), nil
	case "touched":
		return w.say(w.step(Touched{from, a.extents()})), nil
	case "recalled":
		return w.say(w.step(Recalled{w.versionID(a.set["version"]), a.extents()})), nil
	case "leave":
		return w.say(w.step(Leave{Host: host})), nil
	case "putout":
		return w.say(w.step(PutOut{pieces.Errorf(pieces.Denied, "no")})), nil
	case "wakefailed":
		e := WakeFailed{Seed: string(host), Version: w.versionID("")}
		if a.has("facts") {
			e.Version = ""
		}
		return w.say(w.step(e)), nil
	case "elsewhere":
		return nil, w.elsewhere(string(host), a)
	case "state":
		return []string{w.state()}, nil
	}
	return nil, fmt.Errorf("no such command")
}

// elsewhere sets what other Tasks of the same origin have found: it rests for a
// while, this Task is to find out, or nothing.
func (w *world) elsewhere(what string, a args) error {
	switch what {
	case "rests":
		w.origin = OriginRest{errOf(a), w.now.Add(errOf(a).RetryAfter)}
	case "probe":
		w.origin.Until = time.Time{}
	case "answers":
		w.origin = OriginRest{}
	default:
		return fmt.Errorf("nothing is known as %q", what)
	}
	return nil
}

func (w *world) host(id pieces.HostID, a args) {
	h := &HostState{Host: pieces.Host{
		ID: id, IP: string(id), IDC: a.set["idc"], Location: a.set["location"], UploadSlots: a.num("slots", 8),
	}}
	if a.has("seed") {
		h.Type = pieces.SeedHost
		w.seeds = append(w.seeds, Seed{Key: string(id), Host: id})
	}
	if a.has("gone") {
		w.seeds = slices.DeleteFunc(w.seeds, func(s Seed) bool { return s.Host == id })
		w.hosts = w.hosts.Without(id)
	} else {
		w.hosts = w.hosts.With(h)
	}
	w.hosts = w.hosts.WithSeeds(w.seeds)
}

func (w *world) content(name string, a args) {
	f := pieces.Facts{Size: int64(a.num("pieces", 8)) * pieces.MinPieceSize, Ranges: !a.has("noranges")}
	if a.set["bytes"] != "" {
		f.Size = int64(a.num("bytes", 0))
	}
	f.Validator = pieces.Validator{Kind: pieces.StrongETag, Value: name}
	w.versions[name], w.current = f, name
}

func (w *world) versionID(name string) pieces.VersionID {
	return w.versions[cmp.Or(name, w.current)].VersionID()
}

func (w *world) set(a args) error {
	for k, s := range a.set {
		switch k {
		case "unit":
			n, _ := strconv.Atoi(s)
			w.opts.LeaseUnit = int64(n) * pieces.MinPieceSize
		case "parents":
			w.opts.CandidateParentLimit, _ = strconv.Atoi(s)
		case "most":
			w.opts.ParentLimit, _ = strconv.Atoi(s)
		case "allowance":
			n, _ := strconv.Atoi(s)
			w.opts.RepeatFloor = int64(n) * pieces.MinPieceSize
		case "children":
			w.opts.MaxChildren, _ = strconv.Atoi(s)
		case "maxpeers":
			w.opts.MaxPeers, _ = strconv.Atoi(s)
		case "seedleases":
			w.opts.SeedLeases, _ = strconv.Atoi(s)
		case "disputes":
			w.opts.DisputesPerHost, _ = strconv.Atoi(s)
		case "order":
			w.opts.MaxOrder, _ = strconv.Atoi(s)
		case "wants":
			w.opts.MaxWants, _ = strconv.Atoi(s)
		case "tries":
			w.opts.OriginTries, _ = strconv.Atoi(s)
		case "versions":
			w.opts.MaxVersions, _ = strconv.Atoi(s)
		case "draws":
			w.opts.FilterParentLimit, _ = strconv.Atoi(s)
		case "policy":
			w.opts.Policy = pieces.PolicySwarm
			if s == "classic" {
				w.opts.Policy = pieces.PolicyClassic
			}
		default:
			return fmt.Errorf("no option %s", k)
		}
	}
	return nil
}

func (w *world) stat(answer bool, host pieces.HostID, a args) Stat {
	w.calls++
	w.askers[w.calls] = string(host)
	e := Stat{Call: w.calls, Host: host, CanFetch: !a.has("nofetch"), Lease: pieces.LeaseID(a.num("lease", 0))}
	if answer {
		if e.Err = errOf(a); e.Err == nil {
			f := w.versions[cmp.Or(a.set["version"], w.current)]
			e.Facts = &f
			e.Tiny = []byte(a.set["tiny"])
		}
	}
	return e
}

func (w *world) register(host pieces.HostID, a args) Register {
	e := Register{
		Host: host, Session: w.sessions[host], CanFetch: !a.has("nofetch"), Resumed: a.has("resumed"), Held: a.extents(),
	}
	if v := a.set["version"]; v != "" {
		e.Version = w.versionID(v)
		f := w.versions[v]
		e.Facts = &f
	}
	if l := a.set["lease"]; l != "" {
		id, run, _ := strings.Cut(l, ":")
		n, _ := strconv.Atoi(id)
		e.Leases = []RunningLease{{pieces.LeaseID(n), parseArgs([]string{run}).extents()}}
	}
	return e
}

// held reports pieces, with right digests unless told otherwise.
func (w *world) held(from From, a args) Held {
	e := Held{From: from, Extents: a.extents(), Lease: pieces.LeaseID(a.num("lease", 0))}
	if s := a.set["cost"]; s != "" {
		h, ms, _ := strings.Cut(s, ":")
		x, _ := strconv.ParseFloat(ms, 64)
		e.Costs = []Cost{{pieces.HostID(h), x}}
	}
	if a.has("nosums") {
		return e
	}
	for _, x := range e.Extents {
		run := pieces.SumRun{First: x.First, Setter: cmp.Or(pieces.HostID(a.set["setter"]), from.Host)}
		for i := range x.All() {
			text := fmt.Sprint("piece ", i)
			if a.has("wrong") {
				text += " wrong"
			}
			text += a.set["says"]
			run.Sums = append(run.Sums, pieces.SumOf([]byte(text)))
		}
		e.Sums = append(e.Sums, run)
	}
	return e
}

// pass lets time go by, with every Tick that is due.
func (w *world) pass(d time.Duration) (said []string) {
	end := w.now.Add(d)
	for {
		next := w.task.Next()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(w.now) {
			w.now = next
		}
		for _, s := range w.say(w.step(Tick{})) {
			said = append(said, fmt.Sprintf("%v: %s", w.now.Sub(dayOne), s))
		}
	}
	w.now = end
	return said
}

var reasons = map[string]pieces.FailReason{
	"unreachable": pieces.FailUnreachable, "timeout": pieces.FailTimeout, "notfound": pieces.FailNotFound,
	"badbytes": pieces.FailBadBytes, "malformed": pieces.FailMalformed,
}

func classOf(a args) pieces.Class {
	for c := range pieces.Class(pieces.Classes) {
		if a.has(c.String()) {
			return c
		}
	}
	return pieces.Fill
}

func errOf(a args) *pieces.Error {
	for _, k := range pieces.Kinds() {
		if strings.ReplaceAll(k.String(), " ", "") == a.set["error"] {
			e := pieces.Errorf(k, "origin says %s", k)
			e.RetryAfter, _ = time.ParseDuration(a.set["retry"])
			return e
		}
	}
	return nil
}

func hostList(s string) (hs []pieces.HostID) {
	for h := range strings.SplitSeq(s, ",") {
		if h != "" {
			hs = append(hs, pieces.HostID(h))
		}
	}
	return hs
}
