package swarm

import (
	"fmt"
	"strings"

	"damselfly/pieces"
)

// say puts actions into words, one line each. Counts are left out but for the
// one that must stay rare.
func (w *world) say(as []Action) (out []string) {
	for _, a := range as {
		switch a := a.(type) {
		case Count:
			if a.What == RepeatBytes || a.What == Conflicts || a.What == RereadBytes || a.What == Quarantines {
				out = append(out, fmt.Sprintf("count %s %d", a.What, a.N))
			}
		case Joined, Left, Uploads:
		case OriginRests:
			out = append(out, "all tasks of the origin: "+errWords(a.Err))
		case OriginAnswers:
			out = append(out, "all tasks of the origin: it answers")
		case StatReply:
			out = append(out, w.askers[a.Call]+" <- "+w.statWords(a))
		case RegisterReply:
			out = append(out, "reply: "+w.registerWords(a))
		case Wake:
			what := "for facts"
			if a.Version != "" {
				what = "version " + w.versionName(a.Version)
			}
			out = append(out, "wake "+a.Seed+" "+what)
		case Send:
			s := fmt.Sprintf("%s <- %s", a.Host, w.messageWords(a.Msg))
			if a.Version != w.versionID("") {
				s += " (version " + w.versionName(a.Version) + ")"
			}
			out = append(out, s)
		}
	}
	return out
}

func (w *world) versionName(id pieces.VersionID) string {
	for name, f := range w.versions {
		if f.VersionID() == id {
			return name
		}
	}
	return "?" + string(id)
}

func (w *world) statWords(a StatReply) string {
	var s []string
	if a.Err != nil {
		s = append(s, errWords(a.Err))
	}
	if a.Facts != nil {
		s = append(s, "facts "+w.versionName(a.Facts.VersionID()))
	}
	if a.Lease != 0 {
		s = append(s, fmt.Sprint("facts lease ", a.Lease))
	}
	if a.Wait > 0 {
		s = append(s, fmt.Sprint("ask again after ", a.Wait))
	}
	return strings.Join(s, ", ")
}

func errWords(e *pieces.Error) string {
	s := "error " + e.Kind.String()
	if e.RetryAfter > 0 {
		s += fmt.Sprint(", retry after ", e.RetryAfter)
	}
	return s
}

var scopeNames = [...]string{"EMPTY", "TINY", "SMALL", "NORMAL"}

func (w *world) registerWords(a RegisterReply) string {
	if a.Err != nil {
		return errWords(a.Err)
	}
	s := fmt.Sprintf("%s version %s", scopeNames[a.Scope], w.versionName(a.Version))
	if len(a.Parents) > 0 {
		s += ", parents " + parentWords(a.Parents)
	}
	if len(a.Order) > 0 {
		s += ", order " + extentWords(a.Order)
	}
	if len(a.Tiny) > 0 {
		s += fmt.Sprintf(", content %q", a.Tiny)
	}
	if a.Sums != nil {
		s += ", digest by " + string(a.Sums.Setter)
	}
	return s
}

func parentWords(ps []pieces.Parent) string {
	var out []string
	for _, p := range ps {
		s := string(p.Host.ID)
		if p.Complete {
			s += " (complete)"
		}
		if p.BackToSource {
			s += " (back to source)"
		}
		out = append(out, s)
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// extentWords writes [0,4) as 0-3.
func extentWords(es []pieces.Extent) string {
	var out []string
	for _, e := range es {
		if e.Len() == 1 {
			out = append(out, fmt.Sprint(e.First))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", e.First, e.End-1))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) messageWords(m Message) string {
	switch m := m.(type) {
	case Parents:
		return "parents " + parentWords(m.Parents)
	case Holders:
		var out []string
		for _, h := range m.Holders {
			s := string(h.Host.ID)
			if len(h.Held) > 0 {
				s += " holds " + extentWords(h.Held)
			}
			if len(h.Fetching) > 0 {
				s += " fetches " + extentWords(h.Fetching)
			}
			out = append(out, s)
		}
		return strings.Join(out, "; ")
	case Digests:
		var out []string
		for _, r := range m.Sums {
			out = append(out, extentWords([]pieces.Extent{r.Extent()})+" by "+string(r.Setter))
		}
		if m.Corrected {
			return "corrected digests " + strings.Join(out, ", ")
		}
		return "digests " + strings.Join(out, ", ")
	case Lease:
		s := fmt.Sprintf("lease %d: %s %s", m.ID, extentWords([]pieces.Extent{m.Extent}), m.Class)
		if m.Reread {
			s += ", reread"
		}
		return s
	case LeaseEnd:
		return fmt.Sprintf("end of lease %d: %s", m.ID, m.Reason)
	case AccessOrder:
		return "order " + extentWords(m.Order)
	case NewFacts:
		return "new facts " + w.versionName(m.Facts.VersionID())
	case OriginError:
		return fmt.Sprintf("%s for %s", errWords(m.Err), extentWords(m.Extents))
	case Rejected:
		if m.Retry > 0 {
			return "register again: " + m.Reason
		}
		return "put out: " + m.Reason
	}
	return fmt.Sprintf("?%T", m)
}

// state says how much the machine remembers.
func (w *world) state() string {
	leases := 0
	for _, v := range w.task.versions {
		leases += len(v.leases)
	}
	s := fmt.Sprintf("versions %d, peers %d, leases %d", len(w.task.versions), w.task.Peers(), leases)
	if w.task.Forgettable(w.now, &w.opts) {
		s += ", forgettable"
	}
	return s
}
