package rules

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

func parse(t *testing.T, text string) (m map[string]json.RawMessage) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &m), text)
	return m
}

// Each rule and each limit can be set by its name, and nothing else changes
// with it.
func TestEveryRuleHasAName(t *testing.T) {
	type numbers struct {
		Rules  swarm.Options
		Limits Limits
	}
	fields := func(n *numbers) (names []string, values []reflect.Value) {
		for _, v := range []reflect.Value{reflect.ValueOf(&n.Rules).Elem(), reflect.ValueOf(&n.Limits).Elem()} {
			for i := range v.NumField() {
				names, values = append(names, v.Type().Field(i).Name), append(values, v.Field(i))
			}
		}
		return names, values
	}
	base := numbers{swarm.Defaults(), DefaultLimits()}
	names, were := fields(&base)
	for i, name := range names {
		value := "7"
		switch were[i].Interface().(type) {
		case swarm.Weights:
			continue // has its own place
		case time.Duration:
			value = `"7s"`
		case pieces.Policy:
			value = `"classic"`
		}
		rules := parse(t, `{"`+snake(name)+`":`+value+`}`)
		require.NoError(t, Check(rules), name)
		got := numbers{swarm.Defaults(), DefaultLimits()}
		require.NoError(t, Apply(&got.Rules, &got.Limits, rules), name)
		_, are := fields(&got)
		for k := range are {
			same := reflect.DeepEqual(are[k].Interface(), were[k].Interface())
			require.Equal(t, k != i, same, "rule %s, field %s", name, names[k])
		}
	}
}

// A value that makes no sense is refused, and the error names its rule.
func TestRulesOutOfRange(t *testing.T) {
	for _, rule := range []string{
		`"max_peers":0`, `"max_peers":-1`, `"max_peers":"many"`, `"lease_silence":"0s"`, `"lease_silence":3`,
		`"policy":"fast"`, `"default_rate":-1`, `"replace_gain":0`, `"peer_ttl":"100000h"`, `"weights":1`,
		`"max_tasks":0`, `"max_hosts":-5`, `"max_tasks_per_host":"1"`, `"max_inventory":0.5`,
	} {
		o, l := swarm.Defaults(), DefaultLimits()
		rules := parse(t, `{"max_versions":3,`+rule+`}`)
		for _, err := range []error{Apply(&o, &l, rules), Check(rules)} {
			require.ErrorContains(t, err, rule[1:len("weights")], rule)
			require.Equal(t, pieces.Invalid, pieces.KindOf(err))
		}
	}
}

// Schedulers ignore rules that they don't know; who writes the config is told.
func TestRulesOfTheFuture(t *testing.T) {
	rules := parse(t, `{"max_versions":3,"rule_of_the_future":{"x":1}}`)
	o, l := swarm.Defaults(), DefaultLimits()
	require.NoError(t, Apply(&o, &l, rules))
	require.Equal(t, 3, o.MaxVersions)
	require.ErrorContains(t, Check(rules), "rule_of_the_future")
}
