package people

import (
	"testing"

	"damselfly/manager/store"
)

// What callers show and what a database holds is read without a panic, and
// within bounds.
func FuzzSecretsAndDigests(f *testing.F) {
	_, secret, _ := newSecret(store.Token)
	f.Add(secret)
	f.Add("dfs__")
	f.Add(newHasher(cost{memory: 64, passes: 1}, 1).decoy)
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AA$AA")
	f.Fuzz(func(t *testing.T, s string) {
		if kind, id, ok := parseSecret(s); ok && (CheckID(id) != nil || prefixes[kind] == "") {
			t.Fatalf("%q was read as %s %q", s, kind, id)
		}
		if c, salt, key, ok := parseDigest(s); ok && (c.memory > maxMemory || c.passes > maxPasses || len(key) != keyBytes || len(salt) == 0) {
			t.Fatalf("%q was read as %v", s, c)
		}
	})
}
