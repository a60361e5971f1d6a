// Package people knows who calls the manager and what they may do: users with
// roles, sessions of those who log in, tokens of scripts, and the audit log.
//
// A caller shows a secret: that of a session or of a token. Secrets are made
// here from 256 random bits, given out once, and kept as SHA-256; passwords are
// kept as argon2id. What a method needs stands in one table (rights.go), and
// what is not in it is refused.
//
// All state is in the database, so any manager knows what another one let in;
// only the rate limits of logins are each manager's own.
//
//	p := people.New(people.Options{Store: db})
//	secret, who, err := p.Login(ctx, "admin", password, "10.0.0.1:4711")
//	who, err = p.Authenticate(ctx, secret)
//	if err := who.Check("ListHosts"); err != nil { … }
//
// Errors: Unauthenticated for who is not known, Denied for what a known caller
// may not do, Throttled for too many logins.
package people
