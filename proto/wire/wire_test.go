package wire

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
)

var (
	someHost = pieces.Host{
		ID: pieces.NewHostID([16]byte{1, 2, 3}), Hostname: "h1", IP: "10.1.2.3", PeerPort: 65000, UploadPort: 65002,
		Type: pieces.SeedHost, IDC: "eu", Location: "eu|de|fra", Labels: map[string]string{"rack": "7"},
		UploadSlots: 64, Uploads: 3, SoftwareVersion: "v1",
	}
	someFacts = pieces.Facts{
		Size: 1 << 30, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"abc"`},
		Modified: time.Unix(1_700_000_000, 0).UTC(), Ranges: true,
	}
	someExtents = []pieces.Extent{{First: 3, End: 9}, {First: 0, End: 1}}
	someRun     = pieces.SumRun{First: 5, Sums: []pieces.Sum{pieces.SumOf([]byte("a")), pieces.SumOf([]byte("b"))}, Setter: someHost.ID}
)

func someTask(t testing.TB) *pieces.Task {
	task, err := pieces.NewTask("https://Example.org/a%20b?sig=secret&x=1", pieces.Options{
		Tag: "t", Application: "app", FilterQuery: []string{"sig"}, Digest: pieces.Digest("sha256:" + strings.Repeat("0f", 32)),
	}, nil)
	require.NoError(t, err)
	return task
}

func TestTaskTravelsWithoutItsSecrets(t *testing.T) {
	task := someTask(t)
	m := TaskTo(task)
	require.NotContains(t, m.String(), "secret")
	got, err := TaskFrom(m)
	require.NoError(t, err)
	want := *task
	want.URL = want.PublicURL
	require.Equal(t, &want, got)
}

func TestTaskWithAudienceTravelsWithoutItsCredential(t *testing.T) {
	task, err := pieces.NewTask("https://user:hunter2@example.org/", pieces.Options{}, []byte("key"))
	require.NoError(t, err)
	m := TaskTo(task)
	require.NotContains(t, m.String(), "hunter2")
	got, err := TaskFrom(m)
	require.NoError(t, err)
	require.False(t, got.Public())
	require.Empty(t, got.Header)
}

func TestTaskFromRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*commonpb.Task){
		"id of another":     func(m *commonpb.Task) { m.Id = strings.Repeat("0", 64) },
		"no id":             func(m *commonpb.Task) { m.Id = "" },
		"another URL":       func(m *commonpb.Task) { m.PublicUrl += "z" },
		"not canonical URL": func(m *commonpb.Task) { m.PublicUrl = "HTTPS://example.org/" },
		"another tag":       func(m *commonpb.Task) { m.Tag = "u" },
		"upper-case digest": func(m *commonpb.Task) { m.Digest = strings.ToUpper(m.Digest) },
		"odd audience":      func(m *commonpb.Task) { m.Audience = "me" },
		"long tag":          func(m *commonpb.Task) { m.Tag = strings.Repeat("x", MaxText+1) },
		"many parameters":   func(m *commonpb.Task) { m.FilterQuery = make([]string, MaxLabels+1) },
	} {
		m := TaskTo(someTask(t))
		spoil(m)
		_, err := TaskFrom(m)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
	_, err := TaskFrom(nil)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestFactsRoundTrip(t *testing.T) {
	for _, f := range []pieces.Facts{someFacts, {}, {Size: pieces.MaxSize, Validator: pieces.Validator{Kind: pieces.ContentSum, Value: "x"}}} {
		got, err := FactsFrom(FactsTo(f))
		require.NoError(t, err)
		require.Equal(t, f, got)
		require.Equal(t, f.VersionID(), got.VersionID())
	}
}

func TestFactsFromRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*commonpb.Facts){
		"negative size":     func(m *commonpb.Facts) { m.Size = -1 },
		"huge size":         func(m *commonpb.Facts) { m.Size = pieces.MaxSize + 1 },
		"unknown validator": func(m *commonpb.Facts) { m.Validator.Kind = 9 },
		"no value":          func(m *commonpb.Facts) { m.Validator.Value = "" },
		"no kind":           func(m *commonpb.Facts) { m.Validator.Kind = 0 },
		"long value":        func(m *commonpb.Facts) { m.Validator.Value = strings.Repeat("x", MaxText+1) },
		"before 1970":       func(m *commonpb.Facts) { m.Modified = -1 },
		"after 9999":        func(m *commonpb.Facts) { m.Modified = maxModified + 1 },
	} {
		m := FactsTo(someFacts)
		spoil(m)
		_, err := FactsFrom(m)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
	_, err := FactsFrom(nil)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestHostInAHeader(t *testing.T) {
	s, err := HostToHeader(someHost)
	require.NoError(t, err)
	require.NotContains(t, s, "\n")
	got, err := HostFromHeader(s)
	require.NoError(t, err)
	want := someHost
	want.Labels = nil
	require.Equal(t, want, got)
	for _, s := range []string{"", "%", "AAAA", s[:len(s)-9]} {
		_, err := HostFromHeader(s)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), s)
	}
}

func TestHostRoundTripAndRefusals(t *testing.T) {
	got, err := HostFrom(HostTo(someHost))
	require.NoError(t, err)
	require.Equal(t, someHost, got)
	for name, spoil := range map[string]func(*commonpb.Host){
		"no id":         func(m *commonpb.Host) { m.Id = "" },
		"a name as IP":  func(m *commonpb.Host) { m.Ip = "localhost" },
		"any address":   func(m *commonpb.Host) { m.Ip = "0.0.0.0" },
		"multicast":     func(m *commonpb.Host) { m.Ip = "ff02::1" },
		"port 0":        func(m *commonpb.Host) { m.PeerPort = 0 },
		"port too high": func(m *commonpb.Host) { m.UploadPort = 65536 },
		"type":          func(m *commonpb.Host) { m.Type = 2 },
		"slots":         func(m *commonpb.Host) { m.UploadSlots = 1 << 31 },
		"long name":     func(m *commonpb.Host) { m.Hostname = strings.Repeat("x", MaxText+1) },
		"long label":    func(m *commonpb.Host) { m.Labels = map[string]string{"a": strings.Repeat("x", MaxText)} },
	} {
		m := HostTo(someHost)
		spoil(m)
		_, err := HostFrom(m)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
}

func TestHostIPIsCanonical(t *testing.T) {
	m := HostTo(someHost)
	m.Ip = "::ffff:10.1.2.3"
	h, err := HostFrom(m)
	require.NoError(t, err)
	require.Equal(t, "10.1.2.3", h.IP)
}

func TestParentsAndHoldersRoundTrip(t *testing.T) {
	parents := []pieces.Parent{{Host: someHost, Complete: true}, {Host: someHost, BackToSource: true}}
	gotParents, err := ParentsFrom(ParentsTo(parents))
	require.NoError(t, err)
	require.Equal(t, parents, gotParents)

	holders := []pieces.Holder{{Host: someHost, Held: someExtents, Fetching: []pieces.Extent{{First: 20, End: 21}}}}
	gotHolders, err := HoldersFrom(HoldersTo(holders))
	require.NoError(t, err)
	require.Equal(t, holders, gotHolders)

	_, err = ParentsFrom([]*schedulerpb.Parent{nil})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	_, err = HoldersFrom(make([]*schedulerpb.Holder, MaxHosts+1))
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestExtents(t *testing.T) {
	got, err := ExtentsFrom(ExtentsTo(append(someExtents, pieces.Extent{First: 4, End: 4})))
	require.NoError(t, err)
	require.Equal(t, someExtents, got, "in order, without the empty one")

	whole := &commonpb.Extent{End: MaxPieces}
	for name, ms := range map[string][]*commonpb.Extent{
		"empty":    {{First: 1, End: 1}},
		"reversed": {{First: 2, End: 1}},
		"too far":  {{First: 0, End: MaxPieces + 1}},
		"nil":      {nil},
		"twice":    {whole, whole},
		"many":     make([]*commonpb.Extent, MaxExtents+1),
	} {
		_, err := ExtentsFrom(ms)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
	_, err = ExtentsFrom([]*commonpb.Extent{whole})
	require.NoError(t, err)
}

func TestSumRuns(t *testing.T) {
	runs := []pieces.SumRun{someRun, {First: 0, Sums: someRun.Sums[:1], Setter: someRun.Setter}}
	got, err := SumRunsFrom(SumRunsTo(append(runs, pieces.SumRun{First: 9})))
	require.NoError(t, err)
	require.Equal(t, runs, got)
	for name, spoil := range map[string]func(*commonpb.Sums){
		"no setter": func(m *commonpb.Sums) { m.Setter = "" },
		"no sums":   func(m *commonpb.Sums) { m.Sums = nil },
		"half":      func(m *commonpb.Sums) { m.Sums = m.Sums[:40] },
		"too far":   func(m *commonpb.Sums) { m.First = MaxPieces - 1 },
		"overflow":  func(m *commonpb.Sums) { m.First = 1<<32 - 1 },
		"zero":      func(m *commonpb.Sums) { clear(m.Sums[:32]) },
	} {
		m := SumRunTo(someRun)
		spoil(m)
		_, err := SumRunFrom(m)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
}

// The pairs of each enum have the same number, and nothing beyond is accepted.
func TestEnums(t *testing.T) {
	require.Equal(t, map[pieces.Class]schedulerpb.Class{
		pieces.Demand: schedulerpb.Class_DEMAND, pieces.Window: schedulerpb.Class_WINDOW,
		pieces.Order: schedulerpb.Class_ORDER, pieces.Fill: schedulerpb.Class_FILL,
	}, pairs(t, len(schedulerpb.Class_name), ClassTo, ClassFrom))
	require.Equal(t, map[pieces.FailReason]schedulerpb.Failed_Reason{
		pieces.FailUnreachable: schedulerpb.Failed_UNREACHABLE, pieces.FailTimeout: schedulerpb.Failed_TIMEOUT,
		pieces.FailNotFound: schedulerpb.Failed_NOT_FOUND, pieces.FailBadBytes: schedulerpb.Failed_BAD_BYTES,
		pieces.FailMalformed: schedulerpb.Failed_MALFORMED,
	}, pairs(t, len(schedulerpb.Failed_Reason_name), FailReasonTo, FailReasonFrom))
	require.Equal(t, map[pieces.SizeScope]schedulerpb.SizeScope{
		pieces.ScopeEmpty: schedulerpb.SizeScope_EMPTY, pieces.ScopeTiny: schedulerpb.SizeScope_TINY,
		pieces.ScopeSmall: schedulerpb.SizeScope_SMALL, pieces.ScopeNormal: schedulerpb.SizeScope_NORMAL,
	}, pairs(t, len(schedulerpb.SizeScope_name), ScopeTo, ScopeFrom))
	require.Equal(t, map[pieces.Policy]schedulerpb.Policy{
		pieces.PolicySwarm: schedulerpb.Policy_SWARM, pieces.PolicyClassic: schedulerpb.Policy_CLASSIC,
	}, pairs(t, len(schedulerpb.Policy_name), PolicyTo, PolicyFrom))
	require.EqualValues(t, pieces.ContentSum, commonpb.Validator_CONTENT_SUM)
	require.EqualValues(t, pieces.LastModified, commonpb.Validator_LAST_MODIFIED)
	require.EqualValues(t, pieces.StrongETag, commonpb.Validator_STRONG_ETAG)
	require.EqualValues(t, pieces.WeakETag, commonpb.Validator_WEAK_ETAG)
	require.Len(t, commonpb.Validator_Kind_name, int(pieces.ContentSum)+1)
	require.EqualValues(t, pieces.SeedHost, commonpb.Host_SEED)
}

func pairs[T ~uint8, M ~int32](t *testing.T, n int, to func(T) M, from func(M) (T, error)) map[T]M {
	got := map[T]M{}
	for i := range n {
		v, err := from(M(i))
		require.NoError(t, err)
		require.Equal(t, M(i), to(v))
		got[v] = M(i)
	}
	for _, m := range []M{-1, M(n), 1 << 30} {
		_, err := from(m)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
	return got
}

func TestIsTaskSeesEveryField(t *testing.T) {
	task := someTask(t)
	require.True(t, IsTask(TaskTo(task), task))
	require.False(t, IsTask(nil, task))
	for name, change := range map[string]func(*commonpb.Task){
		"id": func(m *commonpb.Task) { m.Id = "x" }, "url": func(m *commonpb.Task) { m.PublicUrl += "x" },
		"tag": func(m *commonpb.Task) { m.Tag += "x" }, "application": func(m *commonpb.Task) { m.Application += "x" },
		"digest": func(m *commonpb.Task) { m.Digest += "x" }, "audience": func(m *commonpb.Task) { m.Audience += "x" },
		"filter": func(m *commonpb.Task) { m.FilterQuery = append(slices.Clone(m.FilterQuery), "x") },
	} {
		m := TaskTo(task)
		change(m)
		require.False(t, IsTask(m, task), name)
	}
}
