package control

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func someActivity() FileActivity {
	return FileActivity{
		ID: "ab", URL: "http://x/", Names: []string{"n"}, Size: 7, CachedBytes: 6, ResidentBytes: -1,
		Reads:   Reads{Count: Hits{1, 2, 3, 4, 5, 6}, Bytes: Hits{0, 20, 30, 40, 50, 60}, Stalls: 2, StalledMicros: 9},
		Traffic: Traffic{Origin: 1, Peers: 2, Seeds: 3, Cache: 4, Uploaded: 5}, LastRead: time.UnixMilli(1_790_000_000_123).UTC(),
	}
}

func TestActivityTravels(t *testing.T) {
	f := someActivity()
	require.Equal(t, f, activityFrom(activityTo(f)))
	w := Work{Requests: 1, OriginReads: 2, Writes: 3, Memory: 4, MemorySize: 5}
	require.Equal(t, w, workFrom(workTo(w)))

	out, err := json.Marshal(f)
	require.NoError(t, err)
	require.Contains(t, string(out), `"count":{"none":1,"inline":2,"disk":3,"peer":4,"seed":5,"origin":6}`)
	var back FileActivity
	require.NoError(t, json.Unmarshal(out, &back))
	require.Equal(t, f, back)
}

// What another user reads with a credential is not shown.
func TestActivityOfOthers(t *testing.T) {
	s := &Server{self: 5}
	mine, theirs, public := someActivity(), someActivity(), someActivity()
	mine.Private, mine.Owner.UID = true, 7
	theirs.Private, theirs.Owner.UID = true, 8
	all := []FileActivity{mine, theirs, public}
	for uid, want := range map[uint32][]FileActivity{7: {mine, public}, 9: {public}, 0: all, 5: all} {
		require.Equal(t, want, s.visible(caller{Owner: Owner{UID: uid}}, all), "uid %d", uid)
	}
	require.EqualValues(t, 21, mine.Reads.Count.Total())
	require.Equal(t, "origin", pieces.Hit(len(mine.Reads.Count)-1).String())
}
