// Package rules sets the numbers of a scheduler by name, as a cluster's config
// does: a field of swarm.Options or of Limits in snake_case, such as max_peers,
// lease_silence or max_hosts. Times are written as "3s"; the policy is "swarm" or
// "classic". The manager checks them, schedulers apply them.
package rules

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// Limits bound what one scheduler keeps. What is there when a limit falls below
// it stays; nothing is added until it is less.
type Limits struct {
	// MaxTasks is of Tasks in memory, MaxHosts of hosts known, MaxTasksPerHost of
	// Tasks in which one host takes part.
	MaxTasks, MaxHosts, MaxTasksPerHost int
	// MaxInventory is in items, of all hosts: what hosts hold of Tasks in which
	// they take no part.
	MaxInventory int
	// MaxOrigins is of origins remembered because they asked to be left alone.
	MaxOrigins int
}

// DefaultLimits returns the limits of a scheduler that was given none.
func DefaultLimits() Limits {
	return Limits{MaxTasks: 200_000, MaxHosts: 100_000, MaxTasksPerHost: 20_000, MaxInventory: 1_000_000, MaxOrigins: 1024}
}

// maxTime bounds every time that config sets.
const maxTime = 365 * 24 * time.Hour

// mayBeZero are the numbers of which 0 makes sense.
var mayBeZero = map[string]bool{"disputes_per_host": true, "max_disputes": true, "max_order": true}

// Apply lays rules over o and l; names that are not known are ignored, since the
// config may be written for newer schedulers. A value out of range is an Invalid
// error that names it, and then o and l are to be thrown away.
func Apply(o *swarm.Options, l *Limits, rules map[string]json.RawMessage) error {
	_, err := apply(o, l, rules)
	return err
}

// Check returns the Invalid error of rules that make no sense; a name that is not
// known makes none.
func Check(rules map[string]json.RawMessage) error {
	o, l := swarm.Defaults(), Limits{}
	known, err := apply(&o, &l, rules)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !known[name] {
			return pieces.Errorf(pieces.Invalid, "rule %s is not known", name)
		}
	}
	return nil
}

// apply returns the names of rules that it knows.
func apply(o *swarm.Options, l *Limits, rules map[string]json.RawMessage) (known map[string]bool, err error) {
	known = map[string]bool{}
	for _, v := range []reflect.Value{reflect.ValueOf(o).Elem(), reflect.ValueOf(l).Elem()} {
		for i := range v.NumField() {
			name := snake(v.Type().Field(i).Name)
			text, ok := rules[name]
			if !ok {
				continue
			}
			if err := setRule(v.Field(i), name, text); err != nil {
				return nil, pieces.Errorf(pieces.Invalid, "rule %s: %w", name, err)
			}
			known[name] = true
		}
	}
	return known, nil
}

func setRule(f reflect.Value, name string, text json.RawMessage) error {
	switch p := f.Addr().Interface().(type) {
	case *pieces.Policy:
		return setPolicy(p, text)
	case *time.Duration:
		return setTime(p, text)
	case *float64:
		var x float64
		if err := json.Unmarshal(text, &x); err != nil {
			return err
		}
		if x <= 0 || x > 1e12 {
			return pieces.Errorf(pieces.Invalid, "%g is not in (0, 1e12]", x)
		}
		*p = x
		return nil
	case *int, *int64:
		var n int64
		if err := json.Unmarshal(text, &n); err != nil {
			return err
		}
		least := int64(1)
		if mayBeZero[name] {
			least = 0
		}
		if n < least || n > 1<<40 {
			return pieces.Errorf(pieces.Invalid, "%d is not in %d … 2^40", n, least)
		}
		f.SetInt(n)
		return nil
	}
	return pieces.Errorf(pieces.Invalid, "it has settings of its own")
}

func setPolicy(p *pieces.Policy, text json.RawMessage) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	switch s {
	case "swarm":
		*p = pieces.PolicySwarm
	case "classic":
		*p = pieces.PolicyClassic
	default:
		return pieces.Errorf(pieces.Invalid, "%q is neither swarm nor classic", s)
	}
	return nil
}

func setTime(p *time.Duration, text json.RawMessage) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	if d <= 0 || d > maxTime {
		return pieces.Errorf(pieces.Invalid, "%v is not in (0, %v]", d, maxTime)
	}
	*p = d
	return nil
}

// snake writes LeaseUnitMin as lease_unit_min, PeerTTL as peer_ttl.
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
