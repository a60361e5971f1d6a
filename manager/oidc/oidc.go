package oidc

import (
	"context"
	"crypto/subtle"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"damselfly/manager/people"
	"damselfly/pieces"
)

// Provider logs people in; it is an http.Handler for Prefix. It may be used by
// many goroutines.
type Provider struct {
	opts   Options
	secure bool

	mu   sync.Mutex
	peer *oidc.Provider // nil until it could be asked
}

// New makes a Provider without asking it anything.
func New(o Options) (*Provider, error) {
	o = o.withDefaults()
	if err := o.Check(); err != nil {
		return nil, err
	}
	return &Provider{opts: o, secure: strings.HasPrefix(o.URL, "https:")}, nil
}

// discovered is what the provider says of itself, asked once.
func (p *Provider) discovered(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	known := p.peer
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	// Its keys are fetched later by the client in this context, without its end.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.opts.Client), p.opts.Issuer)
	if err != nil {
		return nil, pieces.WithKind(pieces.Unavailable, err, "asking the identity provider")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peer = found
	return found, nil
}

func (p *Provider) config(peer *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.opts.ClientID, ClientSecret: p.opts.ClientSecret, Endpoint: peer.Endpoint(),
		RedirectURL: strings.TrimSuffix(p.opts.URL, "/") + callbackPath, Scopes: p.opts.Scopes,
	}
}

// begin is where a browser goes to prove who it is.
func (p *Provider) begin(ctx context.Context, f flight) (string, error) {
	peer, err := p.discovered(ctx)
	if err != nil {
		return "", err
	}
	return p.config(peer).AuthCodeURL(f.state, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)), nil
}

// finish turns the code that a browser brought back into a person.
func (p *Provider) finish(ctx context.Context, f flight, code string) (people.Vouched, error) {
	var v people.Vouched
	peer, err := p.discovered(ctx)
	if err != nil {
		return v, err
	}
	ctx = oidc.ClientContext(ctx, p.opts.Client)
	token, err := p.config(peer).Exchange(ctx, code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return v, pieces.WithKind(pieces.Unauthenticated, err, "the identity provider gave no token")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := peer.Verifier(&oidc.Config{ClientID: p.opts.ClientID}).Verify(ctx, raw)
	if err != nil {
		return v, pieces.WithKind(pieces.Unauthenticated, err, "the identity provider's token")
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) != 1 {
		return v, pieces.Errorf(pieces.Unauthenticated, "the identity provider's token is of another login")
	}
	c := claims{}
	if err := id.Claims(&c); err != nil {
		return v, pieces.WithKind(pieces.Unauthenticated, err, "the identity provider's token")
	}
	if err := p.complete(ctx, peer, token, id.Subject, c); err != nil {
		return v, err
	}
	v = people.Vouched{Issuer: id.Issuer, Subject: id.Subject, Name: c.text(p.opts.NameClaim), Role: p.opts.role(c)}
	if v.Role == "" {
		return v, pieces.Errorf(pieces.Denied, "%.100q has no role here: ask an administrator", v.Name)
	}
	return v, nil
}

// complete asks the provider for the claims that are not in the token: many
// put there only who somebody is.
func (p *Provider) complete(ctx context.Context, peer *oidc.Provider, token *oauth2.Token, subject string, c claims) error {
	_, named := c.find(p.opts.NameClaim)
	_, ranked := c.find(p.opts.RoleClaim)
	if named && ranked || peer.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := peer.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return pieces.WithKind(pieces.Unavailable, err, "asking the identity provider about the user")
	}
	if info.Subject != subject {
		return pieces.Errorf(pieces.Unauthenticated, "the identity provider answered about somebody else")
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return pieces.WithKind(pieces.Unauthenticated, err, "what the identity provider says of the user")
	}
	for name, v := range more {
		if _, signed := c[name]; !signed {
			c[name] = v
		}
	}
	return nil
}
