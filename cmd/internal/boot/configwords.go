package boot

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFields returns v's fields by key.
func configFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, flags, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case flags == "inline":
			for k, f := range configFields(v.Field(i)) {
				fields[k] = f
			}
		case name != "" && name != "-":
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func wanted(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[Bytes]():
		return "a size such as 50GiB"
	case v.Type() == reflect.TypeFor[Rate]():
		return "a rate such as 10MiB"
	case v.Type().PkgPath() == "time":
		return "a duration such as 30s"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.Kind() == reflect.String:
		return "text"
	case v.CanFloat():
		return "a number"
	}
	return "a whole number"
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%.60q", n.Value)
}

// suggest names the known key that key most likely means, or all of them.
func suggest(key string, fields map[string]reflect.Value) string {
	squash := strings.NewReplacer("-", "", "_", "")
	var known []string
	for k := range fields {
		if strings.EqualFold(squash.Replace(k), squash.Replace(key)) {
			return fmt.Sprintf("; did you mean %q?", k)
		}
		known = append(known, k)
	}
	slices.Sort(known)
	return "; known are: " + strings.Join(known, ", ")
}
