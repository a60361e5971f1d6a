package console

import (
	"net/url"
	"strings"

	"damselfly/pieces"
)

// form is what somebody filled in, and what is wrong with it.
type form struct {
	Values url.Values
	// Errors stand beside their field, Error above all.
	Errors map[string]string
	Error  string
}

func newForm(values url.Values) *form { return &form{Values: values, Errors: map[string]string{}} }

// Get is the value of a field, for templates.
func (f *form) Get(name string) string { return f.Values.Get(name) }

// Wrong is what is wrong with a field, or "".
func (f *form) Wrong(name string) string { return f.Errors[name] }

// wrong says what is wrong with a field; the first word stands.
func (f *form) wrong(name, format string, args ...any) {
	if f.Errors[name] == "" {
		f.Errors[name] = pieces.Errorf(pieces.Invalid, format, args...).Error()
	}
}

func (f *form) failed() bool { return len(f.Errors) > 0 || f.Error != "" }

// blame puts an error of the service beside the first field whose word it
// names, or above the form. words are pairs of a word and its field.
func (f *form) blame(err error, words ...string) {
	text := err.Error()
	for i := 0; i+1 < len(words); i += 2 {
		if strings.Contains(text, words[i]) {
			f.wrong(words[i+1], "%s", text)
			return
		}
	}
	f.Error = text
}

// correctable reports whether whoever filled in a form can do something about
// the error.
func correctable(err error) bool {
	switch pieces.KindOf(err) {
	case pieces.Invalid, pieces.Exists, pieces.Changed, pieces.Full, pieces.NotFound, pieces.Throttled:
		return true
	}
	return false
}
