package people

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// Defaults of People.
const (
	DefaultIdle      = 12 * time.Hour
	DefaultSession   = 7 * 24 * time.Hour
	DefaultAuditKeep = 365 * 24 * time.Hour
	// Failed logins: a user may fail 20 times at once and once in 15 s after; an
	// address 10 times and once in 30 s, so that one address locks out no user.
	DefaultUserEvery    = 15 * time.Second
	DefaultUserBurst    = 20
	DefaultAddressEvery = 30 * time.Second
	DefaultAddressBurst = 10
)

// Options of People; only Store must be set.
type Options struct {
	Store *store.Store
	// Idle is after how long without a call a session ends, Session after how
	// long it ends in any case.
	Idle, Session time.Duration
	// AuditKeep is how long lines of the audit log are kept.
	AuditKeep time.Duration
	// UserEvery and UserBurst bound the failed logins of a user, AddressEvery
	// and AddressBurst those from an address; at each manager.
	UserEvery    time.Duration
	UserBurst    int
	AddressEvery time.Duration
	AddressBurst int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Login, if set, hears of each login: via is password or oidc, result one of
	// LoginResults.
	Login func(via, result string)
	// Log: nil discards.
	Log *logrus.Entry
}

func (o Options) withDefaults() Options {
	for d, v := range map[*time.Duration]time.Duration{
		&o.Idle: DefaultIdle, &o.Session: DefaultSession, &o.AuditKeep: DefaultAuditKeep,
		&o.UserEvery: DefaultUserEvery, &o.AddressEvery: DefaultAddressEvery,
	} {
		if *d <= 0 {
			*d = v
		}
	}
	if o.UserBurst <= 0 {
		o.UserBurst = DefaultUserBurst
	}
	if o.AddressBurst <= 0 {
		o.AddressBurst = DefaultAddressBurst
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Login == nil {
		o.Login = func(string, string) {}
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

// Bounds of what is remembered and kept.
const (
	maxLimited  = 8192 // users, and addresses, whose failed logins are counted
	maxSessions = 100  // of one user; the one not used for longest goes
	maxTokens   = 100
	hashers     = 2 // passwords that are hashed at once
	// usedEvery is how often the use of a credential is written.
	usedEvery = time.Minute
)

// People answers who a caller is. Its methods may be called at the same time.
type People struct {
	opts      Options
	store     *store.Store
	hasher    *hasher
	users     *limits
	addresses *limits
}

// New makes a People on an open store.
func New(o Options) *People {
	o = o.withDefaults()
	return &People{
		opts: o, store: o.Store, hasher: newHasher(defaultCost, hashers),
		users:     newLimits(o.UserEvery, o.UserBurst, maxLimited),
		addresses: newLimits(o.AddressEvery, o.AddressBurst, maxLimited),
	}
}

// FirstUser is the administrator that the first start makes.
const FirstUser = "admin"

// Bootstrap makes the first administrator if there is no user yet, and answers
// its password; empty if there are users.
func (p *People) Bootstrap(ctx context.Context) (password string, err error) {
	if some, err := p.store.Users(ctx, "", "", 1); err != nil || len(some) > 0 {
		return "", err
	}
	password = NewPassword()
	digest, err := p.hasher.hash(ctx, password)
	if err != nil {
		return "", err
	}
	added, err := p.store.AddFirstUser(ctx, store.User{Name: FirstUser, Role: store.Admin, Password: digest, Created: p.opts.Now()})
	if err != nil || !added {
		return "", err
	}
	p.audit(ctx, store.Audit{User: Local, Via: "start", Method: "CreateUser", Object: FirstUser, Result: OK})
	return password, nil
}

// Tidy removes sessions and tokens that ended and old lines of the audit log.
func (p *People) Tidy(ctx context.Context) error {
	now := p.opts.Now()
	return errors.Join(
		p.store.RemoveCredentials(ctx, now, now.Add(-p.opts.Idle)),
		p.store.RemoveAudits(ctx, now.Add(-p.opts.AuditKeep)))
}

// Authenticate answers who shows a secret, that of a session or of a token, or
// Unauthenticated.
func (p *People) Authenticate(ctx context.Context, secret string) (Identity, error) {
	kind, id, ok := parseSecret(secret)
	if !ok {
		return Identity{}, pieces.Errorf(pieces.Unauthenticated, "that is no session or token")
	}
	c, u, err := p.store.Credential(ctx, id)
	now := p.opts.Now()
	switch {
	case err != nil && pieces.KindOf(err) != pieces.NotFound:
		return Identity{}, err
	case err != nil || c.Kind != kind || !sameDigest(c.Digest, digestOf(secret)):
		return Identity{}, pieces.Errorf(pieces.Unauthenticated, "this %s is not known, or has ended", kind)
	case !c.Expires.IsZero() && !now.Before(c.Expires), kind == store.Session && now.Sub(c.Used) >= p.opts.Idle:
		return Identity{}, pieces.Errorf(pieces.Unauthenticated, "this %s has ended", kind)
	case u.Disabled:
		return Identity{}, pieces.Errorf(pieces.Unauthenticated, "user %s is disabled", u.Name)
	}
	if now.Sub(c.Used) >= min(usedEvery, p.opts.Idle/4) {
		if err := p.store.UseCredential(ctx, id, now); err != nil {
			p.opts.Log.WithError(err).Warn("the use of a session or token can't be noted")
		}
	}
	i := Identity{User: u.Name, Role: u.Role, Via: kind, ID: id, Expires: c.Expires, rights: roleRights[u.Role]}
	if kind == store.Token {
		i.Scopes, i.rights = c.Scopes, rightsOf(u.Role, c.Scopes)
	}
	return i, nil
}
