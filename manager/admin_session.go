package manager

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// CreateSession logs in.
func (a admin) CreateSession(ctx context.Context, req *managerpb.CreateSessionRequest) (*managerpb.Session, error) {
	secret, who, err := a.people.Login(ctx, req.User, req.Password, callerAddr(ctx))
	if err != nil {
		return nil, err
	}
	m := sessionTo(who)
	m.Secret = secret
	return m, nil
}

func sessionTo(who people.Identity) *managerpb.Session {
	return &managerpb.Session{User: who.User, Role: string(who.Role), Via: string(who.Via), Scopes: who.Scopes, Expires: stamp(who.Expires)}
}

// GetSession answers who the caller is.
func (a admin) GetSession(ctx context.Context, _ *managerpb.GetSessionRequest) (*managerpb.Session, error) {
	return sessionTo(people.From(ctx)), nil
}

// DeleteSession ends the session that the caller shows.
func (a admin) DeleteSession(ctx context.Context, _ *managerpb.DeleteSessionRequest) (*managerpb.DeleteSessionReply, error) {
	return &managerpb.DeleteSessionReply{}, a.people.End(ctx, people.From(ctx))
}

// ChangePassword changes the caller's own.
func (a admin) ChangePassword(ctx context.Context, req *managerpb.ChangePasswordRequest) (*managerpb.ChangePasswordReply, error) {
	err := a.people.ChangePassword(ctx, people.From(ctx), req.OldPassword, req.NewPassword, callerAddr(ctx))
	return &managerpb.ChangePasswordReply{}, err
}

// ListTokens answers a page of tokens, by id.
func (a admin) ListTokens(ctx context.Context, req *managerpb.ListTokensRequest) (*managerpb.ListTokensReply, error) {
	limit, after, err := page(req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	if req.User != "" && req.User != "*" && req.User != people.Local {
		if err := people.CheckName(req.User); err != nil {
			return nil, err
		}
	}
	tokens, err := a.people.Tokens(ctx, people.From(ctx), req.User, after, limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListTokensReply{NextPageToken: tokenOf(len(tokens), limit, func() string { return tokens[limit-1].ID })}
	for _, t := range tokens {
		reply.Tokens = append(reply.Tokens, tokenTo(t))
	}
	return reply, nil
}

func tokenTo(c store.Credential) *managerpb.AccessToken {
	m := &managerpb.AccessToken{Id: c.ID, User: c.User, Title: c.Title, Scopes: c.Scopes, Created: stamp(c.Created), Expires: stamp(c.Expires)}
	if c.Used.After(c.Created) {
		m.Used = stamp(c.Used)
	}
	return m
}

// CreateToken makes a token.
func (a admin) CreateToken(ctx context.Context, req *managerpb.CreateTokenRequest) (*managerpb.AccessToken, error) {
	if req.User != "" {
		if err := people.CheckName(req.User); err != nil {
			return nil, err
		}
	}
	expires, err := timeFrom("expires", req.Expires)
	if err != nil {
		return nil, err
	}
	secret, c, err := a.people.NewToken(ctx, people.From(ctx), req.User, req.Title, req.Scopes, expires)
	if err != nil {
		return nil, err
	}
	m := tokenTo(c)
	m.Secret = secret
	return m, nil
}

// DeleteToken ends a token.
func (a admin) DeleteToken(ctx context.Context, req *managerpb.DeleteTokenRequest) (*managerpb.DeleteTokenReply, error) {
	if err := people.CheckID(req.Id); err != nil {
		return nil, err
	}
	return &managerpb.DeleteTokenReply{}, a.people.RemoveToken(ctx, people.From(ctx), req.Id)
}

// timeFrom is zero for an absent one.
func timeFrom(what string, m *timestamppb.Timestamp) (time.Time, error) {
	if m == nil {
		return time.Time{}, nil
	}
	if err := m.CheckValid(); err != nil {
		return time.Time{}, pieces.Errorf(pieces.Invalid, "%s: not a time", what)
	}
	return m.AsTime(), nil
}
