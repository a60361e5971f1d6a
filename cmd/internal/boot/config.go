package boot

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"damselfly/pieces"
)

// maxConfig is the longest config file we read, in bytes.
const maxConfig = 1 << 20

// ReadConfig is DecodeConfig of a file. One that is not there is an error only
// if must is set.
func ReadConfig(path string, must bool, o any) error {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !must:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return pieces.Errorf(pieces.Invalid, "--config %s: no such file", path)
	case err != nil:
		return pieces.WithKind(pieces.Invalid, err, "--config")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return pieces.WithKind(pieces.Invalid, err, "--config "+path)
	}
	if len(data) > maxConfig {
		return pieces.Errorf(pieces.Invalid, "--config %s: longer than 1 MiB", path)
	}
	return DecodeConfig(path, data, o)
}

// DecodeConfig fills the struct that o points to from YAML. Keys are the yaml
// tags of its fields (untagged and "-" fields have none; embedded structs with
// ",inline" lend theirs); nested structs are nested mappings; a list of
// strings may also be one string split by commas. Keys that are not there keep
// their value. Unknown and repeated keys and values of a wrong type are Invalid
// errors of the form "file:line: key: …".
func DecodeConfig(file string, data []byte, o any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return syntaxError(file, err)
	}
	d := configDecoder{file: file}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			return syntaxError(file, err)
		}
		return pieces.Errorf(pieces.Invalid, "%s: holds more than one YAML document", file)
	}
	return d.value(doc.Content[0], "", reflect.ValueOf(o).Elem())
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func syntaxError(file string, err error) error {
	msg, line := err.Error(), "1"
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg = msg[len(m[0]):]
		if m[1] != "" {
			line = m[1]
		}
	}
	return pieces.Errorf(pieces.Invalid, "%s:%s: not YAML: %s", file, line, msg)
}

type configDecoder struct{ file string }

func (d configDecoder) errorf(n *yaml.Node, key, format string, args ...any) error {
	at := fmt.Sprintf("%s:%d: ", d.file, n.Line)
	if key != "" {
		at += key + ": "
	}
	return pieces.Errorf(pieces.Invalid, "%s%s", at, fmt.Sprintf(format, args...))
}

// value stores node n, found under key, in v.
func (d configDecoder) value(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil
	}
	_, scalar := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case scalar:
		return d.scalar(n, key, v)
	case v.Kind() == reflect.Struct:
		return d.mapping(n, key, v)
	case v.Type().ConvertibleTo(reflect.TypeFor[[]string]()):
		return d.list(n, key, v)
	case v.Kind() == reflect.Map:
		return d.pairs(n, key, v)
	}
	return d.scalar(n, key, v)
}

func (d configDecoder) mapping(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, key, "want keys with values, not %s", describe(n))
	}
	fields := configFields(v)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		path := strings.TrimPrefix(key+"."+k.Value, ".")
		field, ok := fields[k.Value]
		switch {
		case !ok:
			return d.errorf(k, "", "unknown key %q%s", path, suggest(k.Value, fields))
		case seen[k.Value]:
			return d.errorf(k, "", "key %q is there twice", path)
		}
		seen[k.Value] = true
		if err := d.value(val, path, field); err != nil {
			return err
		}
	}
	return nil
}

func (d configDecoder) list(n *yaml.Node, key string, v reflect.Value) error {
	items := []string{}
	switch {
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
				return d.errorf(item, key, "want a list of texts, not %s in it", describe(item))
			}
			items = append(items, item.Value)
		}
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		for item := range strings.SplitSeq(n.Value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	default:
		return d.errorf(n, key, "want a list of texts, not %s", describe(n))
	}
	v.Set(reflect.ValueOf(items).Convert(v.Type()))
	return nil
}

func (d configDecoder) pairs(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, key, "want keys with values, not %s", describe(n))
	}
	m := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		val := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(n.Content[i+1], key+"."+n.Content[i].Value, val); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(n.Content[i].Value), val)
	}
	v.Set(m)
	return nil
}

func (d configDecoder) scalar(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind != yaml.ScalarNode {
		return d.errorf(n, key, "want %s, not %s", wanted(v), describe(n))
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(n.Value)); err != nil {
			return d.errorf(n, key, "%v", err)
		}
		return nil
	}
	if v.Kind() == reflect.String && n.Tag != "!!str" {
		return d.errorf(n, key, "want text, not %s; put it in quotes", describe(n))
	}
	fraction := v.CanInt() && n.Tag == "!!float" // which Decode would cut off
	if err := n.Decode(v.Addr().Interface()); err != nil || fraction {
		return d.errorf(n, key, "want %s, not %s", wanted(v), describe(n))
	}
	return nil
}
