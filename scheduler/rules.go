package scheduler

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
	"unicode"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// A cluster's config can set every rule of package swarm by name: the field's
// name in snake_case, such as max_peers or lease_silence. Times are written as
// "3s"; the policy is "swarm" or "classic". Names we don't know are ignored.

// maxTime bounds every time that config sets.
const maxTime = 365 * 24 * time.Hour

// mayBeZero are the numbers of which 0 makes sense.
var mayBeZero = map[string]bool{"disputes_per_host": true, "max_disputes": true, "max_order": true}

// applyRules lays rules over o. A value out of range is an Invalid error that
// names it.
func applyRules(o *swarm.Options, rules map[string]json.RawMessage) error {
	v := reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		name := snake(v.Type().Field(i).Name)
		text, ok := rules[name]
		if !ok {
			continue
		}
		if err := setRule(v.Field(i), name, text); err != nil {
			return pieces.Errorf(pieces.Invalid, "cluster config: rule %s: %w", name, err)
		}
	}
	return nil
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
