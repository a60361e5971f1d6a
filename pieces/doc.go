// Package pieces is the vocabulary of Damselfly: the identity of a Task, the
// geometry of its content, digests, sets of pieces, and the kinds of error
// that every layer speaks.
//
// It is pure: no I/O, no clock, no randomness, no logging. It imports nothing
// of ours and every other package may import it.
//
// # Words
//
// A Task is one URL with its download options; a Version is one state of that
// URL's content (size and validator). Bytes are kept, served and scheduled per
// (Task, Version), here called a Key, and are never mixed between Versions.
// Content is cut into pieces of one size per Version (Geometry); a run of
// adjacent pieces is an Extent; a set of pieces is a Set.
package pieces
