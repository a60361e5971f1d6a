// Package wire translates between the messages of proto/*pb and the words of
// package pieces, and between error kinds and gRPC statuses. It is the only
// place that does either.
//
// XTo makes a message of our own value and can't fail. XFrom makes a value of
// a message that somebody else sent: it checks ids, ranges and counts, and
// answers an Invalid error that names the field; a nil message is Invalid too,
// so callers ask for presence first where a field is optional. What From let
// through still has to be checked against what only the caller knows, such as
// the geometry of the content (Geometry.Contains).
package wire

import "damselfly/pieces"

// Bounds of what one message may hold. A sender with more sends several.
const (
	// MaxPieces is the most pieces that content can have, and the most that
	// the extents of one list may name together.
	MaxPieces = pieces.MaxSize / pieces.MaxPieceSize
	// MaxExtents is the most extents of one list.
	MaxExtents = 1 << 17
	// MaxText is the longest short text: names, tags, validators, labels.
	MaxText = 4 << 10
	// MaxLabels is the most labels of a Host, and the most filtered query
	// parameters of a Task.
	MaxLabels = 64
	// MaxHosts is the most hosts in one list of parents or holders.
	MaxHosts = 4 << 10
)

func checkText(what, s string) error {
	if len(s) > MaxText {
		return pieces.Errorf(pieces.Invalid, "%s is longer than %d bytes", what, MaxText)
	}
	return nil
}

func missing(what string) error {
	return pieces.Errorf(pieces.Invalid, "%s is missing", what)
}
