package manager

import (
	"context"

	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// ListUsers answers a page of users, by name.
func (a admin) ListUsers(ctx context.Context, req *managerpb.ListUsersRequest) (*managerpb.ListUsersReply, error) {
	limit, after, err := page(req.PageSize, req.PageToken, req.Search)
	if err != nil {
		return nil, err
	}
	users, err := a.store.Users(ctx, req.Search, after, limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListUsersReply{NextPageToken: tokenOf(len(users), limit, func() string { return users[limit-1].Name })}
	for _, u := range users {
		reply.Users = append(reply.Users, userTo(u))
	}
	return reply, nil
}

func userTo(u store.User) *managerpb.User {
	return &managerpb.User{
		Name: u.Name, Role: string(u.Role), Disabled: u.Disabled, HasPassword: u.Password != "", Issuer: u.Issuer, Subject: u.Subject,
		Created: stamp(u.Created), Seen: stamp(u.Seen), Etag: etagOf(u.Revision),
	}
}

// GetUser answers one user, or NotFound.
func (a admin) GetUser(ctx context.Context, req *managerpb.GetUserRequest) (*managerpb.User, error) {
	if err := people.CheckName(req.Name); err != nil {
		return nil, err
	}
	u, err := a.store.User(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return userTo(u), nil
}

// CreateUser adds a user.
func (a admin) CreateUser(ctx context.Context, req *managerpb.CreateUserRequest) (*managerpb.User, error) {
	u, err := a.people.AddUser(ctx, req.Name, store.Role(req.Role), req.Password)
	if err != nil {
		return nil, err
	}
	return userTo(u), nil
}

// UpdateUser sets role and disabled.
func (a admin) UpdateUser(ctx context.Context, req *managerpb.UpdateUserRequest) (*managerpb.User, error) {
	m := req.User
	if m == nil {
		return nil, pieces.Errorf(pieces.Invalid, "user: nothing was sent")
	}
	rev, err := a.userRevision(ctx, m.Name, m.Etag)
	if err != nil {
		return nil, err
	}
	if err := people.CheckRole(store.Role(m.Role)); err != nil {
		return nil, err
	}
	if err := a.store.ChangeUser(ctx, store.User{Name: m.Name, Role: store.Role(m.Role), Disabled: m.Disabled, Revision: rev}); err != nil {
		return nil, err
	}
	return a.GetUser(ctx, &managerpb.GetUserRequest{Name: m.Name})
}

// userRevision is the one that an edit is for; the newest for "*".
func (a admin) userRevision(ctx context.Context, name, etag string) (uint64, error) {
	if err := people.CheckName(name); err != nil {
		return 0, err
	}
	rev, any, err := revision(ctx, etag)
	if err != nil || !any {
		return rev, err
	}
	u, err := a.store.User(ctx, name)
	return u.Revision, err
}

// DeleteUser removes a user.
func (a admin) DeleteUser(ctx context.Context, req *managerpb.DeleteUserRequest) (*managerpb.DeleteUserReply, error) {
	rev, err := a.userRevision(ctx, req.Name, req.Etag)
	if err != nil {
		return nil, err
	}
	return &managerpb.DeleteUserReply{}, a.store.RemoveUser(ctx, req.Name, rev)
}

// ResetPassword gives a user another password.
func (a admin) ResetPassword(ctx context.Context, req *managerpb.ResetPasswordRequest) (*managerpb.ResetPasswordReply, error) {
	if err := people.CheckName(req.Name); err != nil {
		return nil, err
	}
	password, err := a.people.ResetPassword(ctx, req.Name, req.Password)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ResetPasswordReply{}
	if req.Password == "" {
		reply.Password = password
	}
	return reply, nil
}

// ListAudit answers a page of the audit log, newest first.
func (a admin) ListAudit(ctx context.Context, req *managerpb.ListAuditRequest) (*managerpb.ListAuditReply, error) {
	limit, before, err := page(req.PageSize, req.PageToken, req.Search, req.User)
	if err != nil {
		return nil, err
	}
	lines, err := a.store.Audits(ctx, store.AuditFilter{User: req.User, Search: req.Search}, before, limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListAuditReply{NextPageToken: tokenOf(len(lines), limit, func() string { return lines[limit-1].ID })}
	for _, l := range lines {
		reply.Lines = append(reply.Lines, &managerpb.AuditLine{
			Id: l.ID, At: stamp(l.At), User: l.User, Via: l.Via, Address: l.Address, Method: l.Method, Object: l.Object, Result: l.Result,
		})
	}
	return reply, nil
}
