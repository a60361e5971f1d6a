package oidc

import (
	"strings"

	"damselfly/manager/store"
)

// claims are what the provider says of a person.
type claims map[string]any

// find follows a name; a dot goes into an object, unless there is a claim of
// the whole name.
func (c claims) find(name string) (any, bool) {
	if v, ok := c[name]; ok {
		return v, true
	}
	head, rest, dotted := strings.Cut(name, ".")
	inner, ok := c[head].(map[string]any)
	if !dotted || !ok {
		return nil, false
	}
	return claims(inner).find(rest)
}

// texts are a claim that is a text or a list of texts.
func (c claims) texts(name string) (texts []string) {
	switch v, _ := c.find(name); v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				texts = append(texts, s)
			}
		}
	}
	return texts
}

// text is the claim if it is one text.
func (c claims) text(name string) string {
	v, _ := c.find(name)
	s, _ := v.(string)
	return s
}

// rank orders the roles.
var rank = map[store.Role]int{store.Viewer: 1, store.Operator: 2, store.Admin: 3}

// role is the highest that the claims come to; empty for none.
func (o Options) role(c claims) store.Role {
	role := o.DefaultRole
	for _, text := range c.texts(o.RoleClaim) {
		if r, ok := o.Roles[text]; ok && rank[r] > rank[role] {
			role = r
		}
	}
	return role
}
