package store

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"damselfly/pieces"
)

func TestUsers(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		kind := func(want pieces.Kind, err error) {
			t.Helper()
			require.Equal(t, want, pieces.KindOf(err), "%v", err)
		}
		var added atomic.Int32
		var all errgroup.Group
		for range 4 { // managers that start at once
			all.Go(func() error {
				ok, err := s.AddFirstUser(context.WithoutCancel(ctx), User{Name: "admin", Role: Admin, Password: "x", Created: now})
				if ok {
					added.Add(1)
				}
				return err
			})
		}
		require.NoError(t, all.Wait())
		require.EqualValues(t, 1, added.Load())

		require.NoError(t, s.AddUser(ctx, User{Name: "b", Role: Viewer, Created: now}))
		kind(pieces.Exists, s.AddUser(ctx, User{Name: "b", Role: Viewer, Created: now}))
		require.NoError(t, s.AddUser(ctx, User{Name: "c", Role: Viewer, Issuer: "https://i", Subject: "1", Created: now}))
		kind(pieces.Exists, s.AddUser(ctx, User{Name: "d", Role: Viewer, Issuer: "https://i", Subject: "1", Created: now}))
		c, err := s.UserOf(ctx, "https://i", "1")
		require.NoError(t, err)
		require.Equal(t, User{Name: "c", Role: Viewer, Issuer: "https://i", Subject: "1", Created: now, Revision: 1}, c)
		_, err = s.UserOf(ctx, "", "")
		kind(pieces.NotFound, err)
		_, err = s.User(ctx, "d")
		kind(pieces.NotFound, err)
		list, err := s.Users(ctx, "", "admin", 1)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "b", list[0].Name)
		list, err = s.Users(ctx, "%", "", 10)
		require.NoError(t, err)
		require.Empty(t, list, "a percent sign stands for itself")

		kind(pieces.Denied, s.ChangeUser(ctx, User{Name: "admin", Role: Viewer, Revision: 1}))
		kind(pieces.Denied, s.ChangeUser(ctx, User{Name: "admin", Role: Admin, Disabled: true, Revision: 1}))
		kind(pieces.Denied, s.RemoveUser(ctx, "admin", 1))
		kind(pieces.Changed, s.ChangeUser(ctx, User{Name: "b", Role: Admin, Revision: 9}))
		kind(pieces.NotFound, s.ChangeUser(ctx, User{Name: "x", Role: Admin, Revision: 1}))
		require.NoError(t, s.ChangeUser(ctx, User{Name: "b", Role: Admin, Revision: 1}))
		kind(pieces.Changed, s.RemoveUser(ctx, "admin", 7))
		require.NoError(t, s.RemoveUser(ctx, "admin", 1))
		kind(pieces.Denied, s.RemoveUser(ctx, "b", 2))

		for role, want := range map[Role]bool{Operator: true, Viewer: false} {
			changed, err := s.SetRole(ctx, map[Role]string{Operator: "c", Viewer: "b"}[role], role)
			require.NoError(t, err)
			require.Equal(t, want, changed, "b is the last administrator")
		}
		require.NoError(t, s.NoteLogin(ctx, "c", now.Add(time.Second)))
		c, err = s.User(ctx, "c")
		require.NoError(t, err)
		require.Equal(t, User{Name: "c", Role: Operator, Issuer: "https://i", Subject: "1", Created: now, Seen: now.Add(time.Second), Revision: 2}, c)
	})
}

func TestCredentials(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		for _, name := range []string{"a", "b"} {
			require.NoError(t, s.AddUser(ctx, User{Name: name, Role: Viewer, Created: now}))
		}
		add := func(c Credential) error {
			c.Created, c.Digest = now, "d"+c.ID
			return s.AddCredential(ctx, c, 2)
		}
		require.NoError(t, add(Credential{ID: "1", Kind: Session, User: "a", Address: "10.0.0.1", Expires: now.Add(time.Hour)}))
		require.NoError(t, add(Credential{ID: "2", Kind: Session, User: "a", Expires: now.Add(time.Hour)}))
		require.Equal(t, pieces.Full, pieces.KindOf(add(Credential{ID: "3", Kind: Session, User: "a"})))
		require.NoError(t, s.KeepCredentials(ctx, Session, "a", 2))
		require.NoError(t, add(Credential{ID: "4", Kind: Token, User: "a", Title: "ci", Scopes: []string{"read"}}))
		require.NoError(t, add(Credential{ID: "5", Kind: Token, User: "b", Expires: now.Add(time.Minute)}))
		require.Equal(t, pieces.NotFound, pieces.KindOf(add(Credential{ID: "6", Kind: Token, User: "x"})))

		c, u, err := s.Credential(ctx, "4")
		require.NoError(t, err)
		require.Equal(t, Credential{ID: "4", Kind: Token, User: "a", Digest: "d4", Title: "ci", Scopes: []string{"read"}, Created: now, Used: now}, c)
		require.Equal(t, User{Name: "a", Role: Viewer, Created: now, Revision: 1}, u)
		_, _, err = s.Credential(ctx, "9")
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))

		ids := func(kind CredentialKind, user string, at time.Time) (ids []string) {
			t.Helper()
			list, err := s.Credentials(ctx, kind, user, "", 10, at)
			require.NoError(t, err)
			for _, c := range list {
				ids = append(ids, c.ID)
			}
			return ids
		}
		require.Equal(t, []string{"4", "5"}, ids(Token, "", now))
		require.Equal(t, []string{"4"}, ids(Token, "", now.Add(time.Hour)))
		require.Equal(t, []string{"5"}, ids(Token, "b", now))

		require.Equal(t, pieces.NotFound, pieces.KindOf(s.RemoveCredential(ctx, Token, "b", "4")), "somebody else's")
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.RemoveCredential(ctx, Session, "", "4")), "another kind")
		require.NoError(t, s.SetPassword(ctx, "a", "new", "2"))
		require.Equal(t, []string{"2"}, ids(Session, "a", now), "the one that is kept")
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.SetPassword(ctx, "x", "new", "")))
		require.NoError(t, s.UseCredential(ctx, "4", now.Add(time.Minute)))
		require.NoError(t, add(Credential{ID: "7", Kind: Token, User: "a"}))
		require.NoError(t, s.KeepCredentials(ctx, Token, "a", 1))
		require.Equal(t, []string{"4"}, ids(Token, "a", now), "the one used last")
		require.NoError(t, s.RemoveCredentials(ctx, now.Add(time.Minute), now.Add(time.Millisecond)))
		require.Equal(t, []string{"4"}, ids(Token, "", now))
		require.Empty(t, ids(Session, "", now), "idle")

		require.NoError(t, s.AddUser(ctx, User{Name: "root", Role: Admin, Created: now}))
		require.NoError(t, s.RemoveUser(ctx, "a", 2))
		require.Empty(t, ids(Token, "", now), "they go with their user")
	})
}

func TestAudit(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		first := Audit{ID: "1", At: now, User: "a", Via: "session", Address: "10.0.0.1", Method: "AddTask", Object: "x", Result: "ok"}
		second := Audit{ID: "2", At: now.Add(time.Hour), User: "b", Via: "token t", Method: "DeleteTask", Object: "'; DROP TABLE audit; --", Result: "denied"}
		require.NoError(t, s.AddAudit(ctx, first))
		require.NoError(t, s.AddAudit(ctx, second))
		is := func(f AuditFilter, before string, want ...Audit) {
			t.Helper()
			got, err := s.Audits(ctx, f, before, 10)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		is(AuditFilter{}, "", second, first)
		is(AuditFilter{}, "2", first)
		is(AuditFilter{User: "a"}, "", first)
		is(AuditFilter{Search: "drop table"}, "", second)
		require.NoError(t, s.RemoveAudits(ctx, now.Add(time.Minute)))
		is(AuditFilter{}, "", second)
	})
}
