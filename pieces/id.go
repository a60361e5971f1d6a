package pieces

import (
	"encoding/hex"
	"fmt"
)

// TaskID names a Task: the SHA-256 of its identifying fields in 64 lower-case
// hex digits. It is the file name seen in the mount.
type TaskID string

// VersionID names one state of a Task's content: 32 lower-case hex digits
// derived from size and validator (see Facts.VersionID).
type VersionID string

// HostID names a machine that runs the daemon: 32 lower-case hex digits, drawn
// at random once and kept in the data dir.
type HostID string

// Key is what bytes are stored, served and scheduled under.
type Key struct {
	Task    TaskID
	Version VersionID
}

func (k Key) String() string { return short(string(k.Task)) + "@" + short(string(k.Version)) }

// Fields are k as fields of a log line: task and version, short.
func (k Key) Fields() map[string]any {
	return map[string]any{"task": k.Task.Short(), "version": short(string(k.Version))}
}

// Short returns the first 12 digits, enough for logs and tables.
func (t TaskID) Short() string { return short(string(t)) }

// Short returns the first 12 digits, enough for logs and tables.
func (h HostID) Short() string { return short(string(h)) }

func short(s string) string {
	if len(s) > 12 {
		return s[:12]
	}
	return s
}

// ParseTaskID accepts exactly 64 lower-case hex digits; anything else is an
// Invalid error that says so.
func ParseTaskID(s string) (TaskID, error) {
	if !isLowerHex(s, 64) {
		return "", Errorf(Invalid, "task id %.80q is not 64 lower-case hex digits", s)
	}
	return TaskID(s), nil
}

// ParseVersionID accepts exactly 32 lower-case hex digits.
func ParseVersionID(s string) (VersionID, error) {
	if !isLowerHex(s, 32) {
		return "", Errorf(Invalid, "version id %.80q is not 32 lower-case hex digits", s)
	}
	return VersionID(s), nil
}

// ParseHostID accepts exactly 32 lower-case hex digits.
func ParseHostID(s string) (HostID, error) {
	if !isLowerHex(s, 32) {
		return "", Errorf(Invalid, "host id %.80q is not 32 lower-case hex digits", s)
	}
	return HostID(s), nil
}

// NewHostID makes a HostID of 16 bytes of randomness.
func NewHostID(random [16]byte) HostID { return HostID(hex.EncodeToString(random[:])) }

func isLowerHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ParseKey parses the two parts of a Key.
func ParseKey(task, version string) (Key, error) {
	t, err := ParseTaskID(task)
	if err != nil {
		return Key{}, err
	}
	v, err := ParseVersionID(version)
	if err != nil {
		return Key{}, fmt.Errorf("task %s: %w", t.Short(), err)
	}
	return Key{Task: t, Version: v}, nil
}
