package swarm

import (
	"fmt"
	"testing"
	"time"

	"damselfly/pieces"
)

func TestStandingsAreBounded(t *testing.T) {
	facts := pieces.Facts{Size: 64 * pieces.MinPieceSize, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"1"`}}
	task := New(Identity{ID: "t", Public: true, SeedsCanFetch: true}, 1, 1)
	o := Defaults()
	view := View{Now: time.Unix(1, 0), Hosts: (&Hosts{}).WithSeeds(nil), Options: &o}
	const peers = 10
	for i := range peers {
		id := pieces.HostID(fmt.Sprintf("h%02d", i))
		view.Hosts = view.Hosts.With(&HostState{Host: pieces.Host{ID: id, UploadSlots: 8}})
		ev := Register{Host: id, Session: uint64(i + 1), CanFetch: true, Facts: &facts, Version: facts.VersionID()}
		for k := 0; k < 64; k += 2 {
			ev.Held = append(ev.Held, pieces.Extent{First: k, End: k + 1})
		}
		task.Step(view, ev)
	}
	task.Step(view, Want{From: From{"h07", 8, facts.VersionID()}, Extents: []pieces.Extent{{First: 1, End: 2}}, Class: pieces.Fill})
	all := task.Standings(4, 10, 25)
	if len(all) != 1 || all[0].Peers != peers || len(all[0].Listed) != 4 {
		t.Fatalf("%d versions, %+v", len(all), all)
	}
	if first := all[0].Listed[0].Host; first != "h07" {
		t.Errorf("%s comes first, want the one that is busy", first)
	}
	for i, want := range []int{10, 10, 5, 0} {
		if p := all[0].Listed[i]; len(p.Extents) != want || p.Held != 32 {
			t.Errorf("peer %d: %d extents of %d pieces, want %d of 32", i, len(p.Extents), p.Held, want)
		}
	}
	if _, ok := task.Geometry("other"); ok {
		t.Error("a Version that nobody has has a geometry")
	}
}
