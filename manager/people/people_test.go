package people

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// town is a People on a database of its own, with a clock.
type town struct {
	*People
	store *store.Store
	now   time.Time
}

const (
	here     = "10.0.0.1:4711"
	password = "correct horse battery"
)

// newTown has a user of each role, named like it.
func newTown(t *testing.T, o Options) *town {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	w := &town{store: db, now: time.UnixMilli(1_800_000_000_000)}
	o.Store, o.Now = db, func() time.Time { return w.now }
	w.People = New(o)
	w.hasher = newHasher(cost{memory: 64, passes: 1}, 2)
	for _, r := range []store.Role{store.Admin, store.Operator, store.Viewer} {
		digest, err := w.hasher.hash(t.Context(), password)
		require.NoError(t, err)
		require.NoError(t, db.AddUser(t.Context(), store.User{Name: string(r), Role: r, Password: digest, Created: w.now}))
	}
	return w
}

func (w *town) login(t *testing.T, user string) (string, Identity) {
	t.Helper()
	secret, who, err := w.Login(t.Context(), user, password, here)
	require.NoError(t, err)
	return secret, who
}

func is(t *testing.T, kind pieces.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, pieces.KindOf(err), "%v", err)
}

func TestSessionsBeginAndEnd(t *testing.T) {
	w := newTown(t, Options{Idle: time.Hour, Session: 3 * time.Hour})
	secret, who := w.login(t, "operator")
	require.Equal(t, store.Operator, who.Role)
	got, err := w.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, who, got)
	for _, bad := range []string{"", "x", secret[:len(secret)-1], secret[:len(secret)-1] + "!", "dft_" + secret[4:], secret + "x",
		"dfs_\xff\xff\xff\xff" + secret[8:], "dfs_' OR 1=1;--_" + secret[21:]} {
		_, err = w.Authenticate(t.Context(), bad)
		is(t, pieces.Unauthenticated, err)
	}
	var kept string
	c, _, err := w.store.Credential(t.Context(), who.ID)
	require.NoError(t, err)
	kept = fmt.Sprintf("%+v", c)
	require.NotContains(t, kept, secret[strings.LastIndexByte(secret, '_'):], "only a digest is kept")

	for range 5 { // used often, it goes on to its absolute end
		w.now = w.now.Add(35 * time.Minute)
		_, err = w.Authenticate(t.Context(), secret)
		require.NoError(t, err)
	}
	w.now = w.now.Add(6 * time.Minute)
	_, err = w.Authenticate(t.Context(), secret)
	is(t, pieces.Unauthenticated, err)

	secret, _ = w.login(t, "operator")
	w.now = w.now.Add(61 * time.Minute)
	_, err = w.Authenticate(t.Context(), secret)
	is(t, pieces.Unauthenticated, err)
	require.NoError(t, w.Tidy(t.Context()))

	secret, _ = w.login(t, "operator")
	require.NoError(t, w.Logout(t.Context(), secret))
	require.NoError(t, w.Logout(t.Context(), secret))
	_, err = w.Authenticate(t.Context(), secret)
	is(t, pieces.Unauthenticated, err)
}

func TestAWrongPasswordAndAnUnknownUserLookTheSame(t *testing.T) {
	w := newTown(t, Options{AddressBurst: 100})
	require.NoError(t, w.store.AddUser(t.Context(), store.User{Name: "nopassword", Role: store.Admin, Created: w.now}))
	disabled, err := w.store.User(t.Context(), "viewer")
	require.NoError(t, err)
	disabled.Disabled = true
	secret, _ := w.login(t, "viewer")
	require.NoError(t, w.store.ChangeUser(t.Context(), disabled))
	_, err = w.Authenticate(t.Context(), secret)
	is(t, pieces.Unauthenticated, err)
	for _, c := range [][2]string{
		{"admin", "wrong"}, {"admin", ""}, {"nobody", password}, {"nopassword", ""}, {"nopassword", password}, {"viewer", password},
		{"Admin", password}, {"' OR 1=1 --", password}, {"", ""}, {"admin", strings.Repeat("x", 1<<20)},
	} {
		_, who, err := w.Login(t.Context(), c[0], c[1], here)
		is(t, pieces.Unauthenticated, err)
		require.Equal(t, errLogin.Error(), err.Error())
		require.False(t, who.Known())
	}
	lines, err := w.store.Audits(t.Context(), store.AuditFilter{}, "", 100)
	require.NoError(t, err)
	require.Len(t, lines, 11)
	for _, l := range lines {
		require.NotContains(t, fmt.Sprintf("%+v", l), password)
		require.NotContains(t, l.User, "OR 1=1")
		require.Equal(t, "10.0.0.1", l.Address)
	}
}

func TestFailedLoginsAreLimited(t *testing.T) {
	w := newTown(t, Options{UserBurst: 4, UserEvery: time.Minute, AddressBurst: 3, AddressEvery: time.Minute})
	try := func(user, password, addr string) error {
		_, _, err := w.Login(t.Context(), user, password, addr)
		return err
	}
	for range 10 { // right ones do not count
		require.NoError(t, try("viewer", password, here))
	}
	for range 3 {
		is(t, pieces.Unauthenticated, try("admin", "wrong", here))
	}
	err := try("admin", password, here)
	is(t, pieces.Throttled, err)
	require.Equal(t, time.Minute, pieces.RetryAfter(err))
	is(t, pieces.Throttled, try("viewer", password, "10.0.0.1:9"))
	require.NoError(t, try("admin", password, "10.0.0.2:1"), "one address locks out no user")
	is(t, pieces.Unauthenticated, try("admin", "wrong", "10.0.0.2:1"))
	is(t, pieces.Throttled, try("admin", password, "[2001:db8::1]:1"))
	require.NoError(t, try("viewer", password, "[2001:db8::1]:1"))
	for i := range 3 { // one customer's network
		is(t, pieces.Unauthenticated, try("nobody", "wrong", fmt.Sprintf("[2001:db8::%d]:1", i)))
	}
	is(t, pieces.Throttled, try("viewer", password, "[2001:db8::ffff]:1"))
	w.now = w.now.Add(time.Minute)
	require.NoError(t, try("admin", password, here))
}

func TestLimitsAreBounded(t *testing.T) {
	l := newLimits(time.Minute, 1, 10)
	at := time.Unix(1, 0)
	for i := range 1000 {
		at = at.Add(time.Second)
		_, wait := l.take(fmt.Sprint(i), at)
		require.Zero(t, wait)
		require.LessOrEqual(t, len(l.buckets), 10)
	}
	_, wait := l.take("999", at)
	require.NotZero(t, wait, "the newest are known")
	l.take("x", at.Add(time.Hour))
	require.Len(t, l.buckets, 1, "what is full again is forgotten")
}

func TestPasswords(t *testing.T) {
	h := newHasher(cost{memory: 64, passes: 1}, 1)
	ctx := t.Context()
	a, err := h.hash(ctx, "hällo")
	require.NoError(t, err)
	b, err := h.hash(ctx, "hällo")
	require.NoError(t, err)
	require.NotEqual(t, a, b, "salted")
	for password, want := range map[string]bool{"hällo": true, "hallo": false, "": false} {
		ok, err := h.matches(ctx, password, a)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	for _, damaged := range []string{"", "x", a[:len(a)-4], strings.Replace(a, "m=64", "m=99999999", 1), strings.Replace(a, "argon2id", "argon2i", 1)} {
		ok, err := h.matches(ctx, "hällo", damaged)
		require.NoError(t, err)
		require.False(t, ok, damaged)
	}
	h.slots <- struct{}{}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = h.matches(ended, "hällo", a)
	is(t, pieces.Canceled, err)
	require.NoError(t, CheckPassword(NewPassword()))
	for _, bad := range []string{"", "elevenchars", strings.Repeat("a", 257), "twelve chars\xff"} {
		is(t, pieces.Invalid, CheckPassword(bad))
	}
}

func TestNamesOfUsers(t *testing.T) {
	for _, good := range []string{"a", "7", "ann.b+c@example.org", strings.Repeat("a", 64)} {
		require.NoError(t, CheckName(good))
	}
	for _, bad := range []string{"", "A", "-a", "@", Local, "a b", "a'--", "<script>", "a\x00", "ä", strings.Repeat("a", 65)} {
		is(t, pieces.Invalid, CheckName(bad))
	}
}

func TestTheFirstStartMakesAnAdministrator(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	defer db.Close()
	p := New(Options{Store: db})
	password, err := p.Bootstrap(t.Context())
	require.NoError(t, err)
	require.NoError(t, CheckPassword(password))
	_, who, err := p.Login(t.Context(), FirstUser, password, here)
	require.NoError(t, err)
	require.True(t, who.May("DeleteUser"))
	again, err := p.Bootstrap(t.Context())
	require.NoError(t, err)
	require.Empty(t, again)
}

func TestRights(t *testing.T) {
	w := newTown(t, Options{})
	may := map[string][]string{
		"GetHost":                             {"viewer", "operator", "admin"},
		"/damselfly.manager.v1.Admin/GetHost": {"viewer", "operator", "admin"},
		"StartJob":                            {"operator", "admin"},
		"ListAudit":                           {"admin"},
		"ChangePassword":                      {"viewer", "operator", "admin"},
		"/damselfly.manager.v1.Admin/NobodyWroteThis": nil,
	}
	for _, user := range []string{"viewer", "operator", "admin"} {
		_, who := w.login(t, user)
		for method, users := range may {
			require.Equal(t, strings.Contains(strings.Join(users, " "), user), who.May(method), "%s %s", user, method)
		}
	}
	var nobody Identity
	for method := range may {
		is(t, pieces.Unauthenticated, nobody.Check(method))
	}
	require.NoError(t, nobody.Check("CreateSession"))
	require.True(t, LocalAdmin().May("DeleteUser"))
	require.Equal(t, []Right{Read}, rightsOf(store.Viewer, []string{"admin"}), "a token may no more than its user")
	require.Equal(t, []Right{Read, Operate}, rightsOf(store.Admin, []string{"operate"}))
	require.Empty(t, rightsOf(store.Admin, []string{"nonsense"}))
	require.True(t, From(With(t.Context(), LocalAdmin())).Known())
	require.False(t, From(t.Context()).Known())
}

// TestLoginsAreCounted: each login once, by way and result.
func TestLoginsAreCounted(t *testing.T) {
	counts := map[string]int{}
	w := newTown(t, Options{UserBurst: 20, AddressBurst: 2, AddressEvery: time.Minute, Login: func(via, result string) {
		require.Contains(t, LoginVias, via)
		require.Contains(t, LoginResults, result)
		counts[via+" "+result]++
	}})
	try := func(user, password string) { _, _, _ = w.Login(t.Context(), user, password, here) }
	try("admin", password)
	try("admin", "wrong")
	try("nobody", "wrong")
	try("admin", password)
	_, err := w.MayTry(here)
	is(t, pieces.Throttled, err)
	for _, v := range []Vouched{
		{Issuer: "https://i", Subject: "1", Name: "vera", Role: store.Viewer},
		{Issuer: "https://i", Subject: "2", Name: "admin", Role: store.Viewer}, // that name is taken
	} {
		_, _, _ = w.LoginVouched(t.Context(), v, here)
	}
	w.NotVouched(pieces.Errorf(pieces.Unavailable, "the provider is away"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = w.Login(ended, "admin", password, "10.0.0.9:1")
	require.Error(t, err)
	require.Equal(t, map[string]int{"password ok": 1, "password refused": 2, "password limited": 1, "password failed": 1,
		"oidc limited": 1, "oidc ok": 1, "oidc refused": 1, "oidc failed": 1}, counts)
}
