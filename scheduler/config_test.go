package scheduler

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// TestEveryRuleIsConfig: each field of swarm.Options can be set by a cluster's
// config, and nothing else changes with it.
func TestEveryRuleIsConfig(t *testing.T) {
	base := swarm.Defaults()
	for i := range reflect.TypeOf(base).NumField() {
		f := reflect.TypeOf(base).Field(i)
		value := "7"
		switch reflect.New(f.Type).Elem().Interface().(type) {
		case swarm.Weights:
			continue // has its own place
		case time.Duration:
			value = `"7s"`
		case pieces.Policy:
			value = `"classic"`
		}
		c, err := parseConfig(&base, 1, `{"scheduler":{"rules":{"`+snake(f.Name)+`":`+value+`}}}`)
		require.NoError(t, err, f.Name)
		got := reflect.ValueOf(*c.swarm)
		for k := range got.NumField() {
			same := reflect.DeepEqual(got.Field(k).Interface(), reflect.ValueOf(base).Field(k).Interface())
			require.Equal(t, k != i, same, "rule %s, field %s", f.Name, got.Type().Field(k).Name)
		}
	}
	require.Equal(t, swarm.Defaults(), base, "the rules given at start stay as they are")
}

// TestRulesOutOfRange: a config with one value that makes no sense is refused as
// a whole, and the error names the value.
func TestRulesOutOfRange(t *testing.T) {
	base := swarm.Defaults()
	for _, rule := range []string{
		`"max_peers":0`, `"max_peers":-1`, `"max_peers":"many"`, `"lease_silence":"0s"`, `"lease_silence":3`,
		`"policy":"fast"`, `"default_rate":-1`, `"replace_gain":0`, `"peer_ttl":"100000h"`, `"weights":1`,
	} {
		_, err := parseConfig(&base, 1, `{"scheduler":{"rules":{"max_versions":3,`+rule+`}}}`)
		require.ErrorContains(t, err, rule[1:len("weights")], rule)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
	_, err := parseConfig(&base, 1, `{"scheduler":{"rules":{"rule_of_the_future":{"x":1}}}}`)
	require.NoError(t, err, "rules we don't know are ignored")
}
