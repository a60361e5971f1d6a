package boot

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

type testOptions struct {
	Listen   string        `yaml:"listen"`
	Managers []string      `yaml:"manager"`
	Seed     bool          `yaml:"seed-peer"`
	Slots    int           `yaml:"slots"`
	Ratio    float64       `yaml:"ratio"`
	Idle     time.Duration `yaml:"idle-timeout"`
	Cache    Bytes         `yaml:"cache-size"`
	Upload   Rate          `yaml:"upload-rate"`
	Labels   Labels        `yaml:"label"`
	Log      LogOptions    `yaml:"log"`
	Inner    struct {
		Depth int `yaml:"depth"`
	} `yaml:",inline"`
	Hidden string `yaml:"-"`
}

func TestDecodeConfig(t *testing.T) {
	o := testOptions{Listen: ":1", Ratio: 0.5}
	err := DecodeConfig("f.yaml", []byte(`
manager: [a:1, b:2]
seed-peer: true
slots: 7
idle-timeout: 1m30s
cache-size: 50GiB
upload-rate: 8Mbit
label: {rack: r1}
log:
  level: debug
depth: 3
ratio:
`), &o)
	require.NoError(t, err)
	want := testOptions{
		Listen: ":1", Managers: []string{"a:1", "b:2"}, Seed: true, Slots: 7, Ratio: 0.5,
		Idle: 90 * time.Second, Cache: 50 << 30, Upload: 1e6, Labels: Labels{"rack": "r1"},
		Log: LogOptions{Level: "debug"},
	}
	want.Inner.Depth = 3
	require.Equal(t, want, o)
}

func TestDecodeConfigListAsText(t *testing.T) {
	var o testOptions
	require.NoError(t, DecodeConfig("f", []byte("manager: a:1, b:2\ncache-size: 4096\n"), &o))
	require.Equal(t, []string{"a:1", "b:2"}, o.Managers)
	require.EqualValues(t, 4096, o.Cache)
	require.NoError(t, DecodeConfig("f", []byte("# nothing\n"), &o))
	require.NoError(t, DecodeConfig("f", nil, &o))
}

func TestDecodeConfigErrors(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown", "listen: a\nlisen: b\n", `c.yaml:2: unknown key "lisen"; known are: cache-size, depth, idle-timeout, label, listen, log, manager, ratio, seed-peer, slots, upload-rate`},
		{"unknown, near", "cache_size: 1\n", `c.yaml:1: unknown key "cache_size"; did you mean "cache-size"?`},
		{"unknown nested", "log:\n  colour: red\n", `c.yaml:2: unknown key "log.colour"; known are: format, level`},
		{"field name is no key", "Hidden: x\n", `c.yaml:1: unknown key "Hidden"; known are: cache-size, depth, idle-timeout, label, listen, log, manager, ratio, seed-peer, slots, upload-rate`},
		{"twice", "slots: 1\nslots: 2\n", `c.yaml:2: key "slots" is there twice`},
		{"int", "slots: many\n", `c.yaml:1: slots: want a whole number, not "many"`},
		{"fraction", "slots: 1.5\n", `c.yaml:1: slots: want a whole number, not "1.5"`},
		{"bool", "seed-peer: 1\n", `c.yaml:1: seed-peer: want true or false, not "1"`},
		{"text", "listen: 8002\n", `c.yaml:1: listen: want text, not "8002"; put it in quotes`},
		{"text from list", "listen: [a]\n", `c.yaml:1: listen: want text, not a list`},
		{"list", "manager: 5\n", `c.yaml:1: manager: want a list of texts, not "5"`},
		{"list of lists", "manager:\n- a\n- [b]\n", `c.yaml:3: manager: want a list of texts, not a list in it`},
		{"duration", "idle-timeout: soon\n", `c.yaml:1: idle-timeout: want a duration such as 30s, not "soon"`},
		{"duration without unit", "idle-timeout: 30\n", `c.yaml:1: idle-timeout: want a duration such as 30s, not "30"`},
		{"size", "cache-size: big\n", `c.yaml:1: cache-size: size "big": want bytes with an optional unit, such as 512MiB or 50GiB`},
		{"size from list", "cache-size: []\n", `c.yaml:1: cache-size: want a size such as 50GiB, not a list`},
		{"negative rate", "upload-rate: -1\n", `c.yaml:1: upload-rate: rate "-1": want bytes per second with an optional unit, such as 10MiB or 100Mbit; 0 is unlimited`},
		{"mapping", "log: debug\n", `c.yaml:1: log: want keys with values, not "debug"`},
		{"pairs", "label: [a]\n", `c.yaml:1: label: want keys with values, not a list`},
		{"top", "- a\n", `c.yaml:1: want keys with values, not a list`},
		{"two documents", "slots: 1\n---\nslots: 2\n", `c.yaml: holds more than one YAML document`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o testOptions
			err := DecodeConfig("c.yaml", []byte(c.yaml), &o)
			require.EqualError(t, err, c.want)
			require.Equal(t, pieces.Invalid, pieces.KindOf(err))
		})
	}
}

func TestDecodeConfigNotYAML(t *testing.T) {
	var o testOptions
	err := DecodeConfig("c.yaml", []byte("slots: 1\n\tlisten: a\n"), &o)
	require.ErrorContains(t, err, "c.yaml:2: not YAML: ")
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add("slots: 1\nlog: {level: debug}\n")
	f.Add("a: &a [*a]\n")
	f.Add("log: &x\n  level: *x\n")
	f.Fuzz(func(t *testing.T, s string) {
		var o testOptions
		if err := DecodeConfig("f", []byte(s), &o); err != nil && pieces.KindOf(err) != pieces.Invalid {
			t.Fatalf("%v is %v", err, pieces.KindOf(err))
		}
	})
}
