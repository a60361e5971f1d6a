// Package oidc logs people in by OpenID Connect: another service proves who they
// are, and a claim of theirs says what they may.
//
// It is the authorization code flow with PKCE, state and nonce (OpenID Connect
// Core 1.0, RFC 7636). What belongs to one login is in a cookie of the browser,
// so that any manager can finish what another one began. The provider is asked
// for its keys and endpoints when the first person comes, not at start: a
// manager starts without it.
package oidc
