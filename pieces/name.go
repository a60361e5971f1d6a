package pieces

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name under by-name/, in bytes, as in file systems.
const MaxName = 255

// CheckName returns an Invalid error unless s can be a file name under by-name/
// and can't be taken for a task id or a URL.
func CheckName(s string) error {
	bad := func(why string) error { return Errorf(Invalid, "name %.80q %s", s, why) }
	switch {
	case s == "":
		return bad("is empty")
	case len(s) > MaxName:
		return bad("is longer than 255 bytes")
	case s == "." || s == "..":
		return bad("means a directory")
	case strings.Contains(s, "/"):
		return bad("holds a '/'")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return bad("holds bytes that are not printable UTF-8")
	case isLowerHex(s, 64):
		return bad("looks like a task id")
	}
	return nil
}
