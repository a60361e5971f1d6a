package boot

import (
	"math"
	"strconv"
	"strings"

	"damselfly/pieces"
)

// Bytes is a number of bytes ≥ 0, written as a number with an optional unit:
// KiB, MiB, GiB, TiB (also K, M, G, T) are powers of 1024, kB, MB, GB, TB of
// 1000. It is a flag value and a YAML value.
type Bytes int64

// Rate is a number of bytes per second ≥ 0, 0 meaning unlimited; written like
// Bytes, with an optional "/s", or in bits: kbit, Mbit, Gbit.
type Rate int64

var units = []struct {
	name  string
	bytes float64
	bits  bool
}{
	{"kib", 1 << 10, false}, {"mib", 1 << 20, false}, {"gib", 1 << 30, false}, {"tib", 1 << 40, false},
	{"kbit", 1e3 / 8, true}, {"mbit", 1e6 / 8, true}, {"gbit", 1e9 / 8, true},
	{"kb", 1e3, false}, {"mb", 1e6, false}, {"gb", 1e9, false}, {"tb", 1e12, false},
	{"k", 1 << 10, false}, {"m", 1 << 20, false}, {"g", 1 << 30, false}, {"t", 1 << 40, false},
	{"b", 1, false},
}

func parseAmount(s string, bits bool) (int64, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	factor := 1.0
	for _, u := range units {
		if strings.HasSuffix(s, u.name) && (bits || !u.bits) {
			s, factor = strings.TrimSpace(strings.TrimSuffix(s, u.name)), u.bytes
			break
		}
	}
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if v *= factor; err != nil || v >= math.MaxInt64 {
		return 0, false
	}
	return int64(v), true
}

// ParseBytes reads a Bytes.
func ParseBytes(s string) (Bytes, error) {
	n, ok := parseAmount(s, false)
	if !ok {
		return 0, pieces.Errorf(pieces.Invalid, "size %.60q: want bytes with an optional unit, such as 512MiB or 50GiB", s)
	}
	return Bytes(n), nil
}

// ParseRate reads a Rate.
func ParseRate(s string) (Rate, error) {
	n, ok := parseAmount(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), "/s"), true)
	if !ok {
		return 0, pieces.Errorf(pieces.Invalid, "rate %.60q: want bytes per second with an optional unit, such as 10MiB or 100Mbit; 0 is unlimited", s)
	}
	return Rate(n), nil
}

// FormatBytes writes n for people, with a power-of-1024 unit and at most one
// decimal.
func FormatBytes(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), -1
	for v >= 1024 && unit < 4 {
		v, unit = v/1024, unit+1
	}
	s := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0") + " " + string("KMGTP"[unit]) + "iB"
}

// String is exact: ParseBytes gives the same value back.
func (b Bytes) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := int64(1) << (40 - 10*i); b != 0 && int64(b)%size == 0 {
			return strconv.FormatInt(int64(b)/size, 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Set implements pflag.Value.
func (b *Bytes) Set(s string) (err error) { *b, err = setOr(*b, s, ParseBytes); return err }

// Type implements pflag.Value.
func (b *Bytes) Type() string { return "size" }

// UnmarshalText implements encoding.TextUnmarshaler, for YAML.
func (b *Bytes) UnmarshalText(text []byte) error { return b.Set(string(text)) }

// String is exact: ParseRate gives the same value back.
func (r Rate) String() string { return Bytes(r).String() }

// Set implements pflag.Value.
func (r *Rate) Set(s string) (err error) { *r, err = setOr(*r, s, ParseRate); return err }

// Type implements pflag.Value.
func (r *Rate) Type() string { return "rate" }

// UnmarshalText implements encoding.TextUnmarshaler, for YAML.
func (r *Rate) UnmarshalText(text []byte) error { return r.Set(string(text)) }

func setOr[T any](old T, s string, parse func(string) (T, error)) (T, error) {
	v, err := parse(s)
	if err != nil {
		return old, err
	}
	return v, nil
}
