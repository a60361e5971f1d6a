package boot

import (
	"maps"
	"slices"
	"strings"

	"damselfly/pieces"
)

// Labels are key=value pairs: a flag that may be given several times, and a
// mapping in YAML. Flags replace those of the file altogether.
type Labels map[string]string

// Set implements pflag.Value: it adds one or, split by commas, more pairs.
func (l *Labels) Set(s string) error {
	next := l.clone()
	for pair := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || k == "" {
			return pieces.Errorf(pieces.Invalid, "label %.100q: want KEY=VALUE", pair)
		}
		next[k] = v
	}
	*l = next
	return nil
}

// String lists the pairs by key.
func (l Labels) String() string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		pairs = append(pairs, k+"="+l[k])
	}
	return strings.Join(pairs, ",")
}

// Type implements pflag.Value.
func (l *Labels) Type() string { return "key=value" }

func (l Labels) clone() Labels {
	if l == nil {
		return Labels{}
	}
	return maps.Clone(l)
}
