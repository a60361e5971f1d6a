package swarm

import (
	"time"

	"damselfly/pieces"
)

// traits are what a parent's score is made of, each in [0,1].
type traits struct {
	FinishedPiece    float64 // share of the pieces it holds
	UploadSuccess    float64 // (ok+1) / (ok+failed+1), of late
	FreeUpload       float64 // share of its upload slots that are free
	HostType         float64 // a seed 1 while the Task is first downloaded, else 0; others ½
	IDCAffinity      float64 // same data centre
	LocationAffinity float64 // leading location elements in common / 5
}

// total is the weighted sum, the design's score.
func (w Weights) total(t traits) float64 {
	return w.FinishedPiece*t.FinishedPiece + w.UploadSuccess*t.UploadSuccess + w.FreeUpload*t.FreeUpload +
		w.HostType*t.HostType + w.IDCAffinity*t.IDCAffinity + w.LocationAffinity*t.LocationAffinity
}

// score says how good parent is for child.
func (v *version) score(parent, child *peer) float64 {
	ph, ch := v.host(parent), v.host(child)
	if ph == nil || ch == nil {
		return 0
	}
	t := traits{
		FinishedPiece: float64(parent.held.Count()) / float64(max(v.n, 1)),
		UploadSuccess: float64(ph.UploadOK+1) / float64(ph.UploadOK+ph.UploadFailed+1),
		FreeUpload:    freeShare(max(len(parent.children), ph.Uploads), ph.UploadSlots),
		HostType:      0.5,
	}
	if parent.seed {
		t.HostType = 0
		if !v.firstDone {
			t.HostType = 1
		}
	}
	if ph.IDC != "" && ph.IDC == ch.IDC {
		t.IDCAffinity = 1
	}
	t.LocationAffinity = min(1, float64(pieces.CommonLocation(ph.Location, ch.Location))/5)
	return v.t.opts().Weights.total(t)
}

// host returns p's host as it is now, or nil.
func (v *version) host(p *peer) *HostState { return p.host.in(v.t.view.Hosts, p.id) }

func freeShare(used, slots int) float64 {
	if slots <= 0 || used >= slots {
		return 0
	}
	return 1 - float64(used)/float64(slots)
}

func scale(d time.Duration, f float64) time.Duration { return time.Duration(float64(d) * f) }

var zeroTime time.Time
