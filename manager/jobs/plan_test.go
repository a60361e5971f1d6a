package jobs

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store"
	"damselfly/pieces"
)

func TestPlan(t *testing.T) {
	var hosts []store.Host
	for i := range 4 {
		hosts = append(hosts, store.Host{Host: pieces.Host{ID: pieces.NewHostID([16]byte{byte(i)}), Hostname: fmt.Sprintf("h%d", i), IP: "10.0.0.1", PeerPort: 1000 + i}})
	}
	tasks := []pieces.TaskID{"a", "b", "c"}
	items, err := plan(Preheat, Spec{Tasks: tasks, Target: everywhere}, hosts)
	require.NoError(t, err)
	require.Len(t, items, 12)
	require.Equal(t, store.JobItem{Number: 6, Task: "b", Host: hosts[1].Host.ID, Hostname: "h1"}, items[5])

	items, err = plan(Preheat, Spec{Tasks: tasks, Target: Target{Who: Seed}}, hosts)
	require.NoError(t, err)
	require.Len(t, items, 3, "one seed per task")
	again, err := plan(Preheat, Spec{Tasks: tasks, Target: Target{Who: Seed}}, hosts)
	require.NoError(t, err)
	require.Equal(t, items, again)

	items, err = plan(Collect, Spec{Target: everywhere}, hosts)
	require.NoError(t, err)
	require.Len(t, items, 4)
	require.Empty(t, items[0].Task)

	_, err = plan(Preheat, Spec{Tasks: make([]pieces.TaskID, MaxTasks), Target: everywhere}, append(hosts, make([]store.Host, 10)...))
	require.Equal(t, pieces.Full, pieces.KindOf(err))
}

func TestTargetsFit(t *testing.T) {
	h := pieces.Host{ID: pieces.NewHostID([16]byte{1}), Labels: map[string]string{"gpu": "h100", "rack": "7"}}
	for _, c := range []struct {
		t    Target
		want bool
	}{
		{everywhere, true}, {Target{Who: Seed}, true},
		{Target{Who: OneHost, Host: h.ID}, true}, {Target{Who: OneHost, Host: "x"}, false},
		{Target{Who: Labelled, Labels: map[string]string{"gpu": "h100"}}, true},
		{Target{Who: Labelled, Labels: map[string]string{"gpu": "h100", "rack": "8"}}, false},
		{Target{Who: Labelled, Labels: map[string]string{"none": ""}}, false},
	} {
		require.Equal(t, c.want, c.t.fits(h), c.t)
	}
}

func TestSpecsAreChecked(t *testing.T) {
	task := []pieces.TaskID{"x"}
	for _, c := range []struct {
		kind Kind
		s    Spec
		ok   bool
		who  Who
	}{
		{Preheat, Spec{Tasks: task}, true, Seed}, {Delete, Spec{Tasks: task}, true, AllHosts}, {Collect, Spec{}, true, AllHosts},
		{Preheat, Spec{}, false, ""}, {Collect, Spec{Tasks: task}, false, ""}, {"wash", Spec{Tasks: task}, false, ""},
		{Preheat, Spec{Tasks: task, Target: Target{Who: "moon"}}, false, ""},
		{Preheat, Spec{Tasks: task, Target: Target{Who: OneHost, Host: "x"}}, false, ""},
		{Preheat, Spec{Tasks: task, Target: Target{Who: Labelled}}, false, ""},
		{Collect, Spec{Target: Target{Who: Seed}}, false, ""},
		{Preheat, Spec{Tasks: make([]pieces.TaskID, MaxTasks+1)}, false, ""},
	} {
		err := c.s.Check(c.kind)
		if !c.ok {
			require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%+v", c)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.who, c.s.Target.Who)
		text, err := c.s.Encode()
		require.NoError(t, err)
		back, err := DecodeSpec(text)
		require.NoError(t, err)
		require.Equal(t, c.s, back)
	}
}
