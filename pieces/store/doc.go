// Package store keeps pieces on disk: Badger for every record and for the
// bytes of small content, one sparse content file per Version for the rest.
//
// # Layout of the data directory
//
//	lock            held with flock by the one process that has the store open
//	format          the number of the on-disk format
//	run             boot id of the last run, and whether it ended cleanly
//	db/             Badger
//	content/<n>     bytes of the Version with ordinal n (16 hex digits), sparse
//	aside/          a former store that this program could not use
//
// Other files of the directory are not touched.
//
// # Records
//
//	v<ord>          a Version: key, facts, flags, last access
//	p<ord><index>   a held piece: digest, setter, length
//	i<ord>          the only piece of an inline Version, and its bytes
//	h<number>       a HostID that set digests
//	c<task>         a catalogue entry      n<name>   a name of one
//	f<task>         the facts of a Task as last learnt
//
// Content of one piece (≤ 256 KiB) is inline: in the LSM tree, so that
// compaction gives its space back.
//
// # Order
//
// A write is bytes, then record; a removal is record, then bytes. Records are
// committed in groups by one goroutine and are not synced: the death of the
// process loses nothing that was committed. The death of the machine may lose
// bytes whose record survived, so after an unclean stop in another boot every
// Version is suspect: a piece is hashed again before it is first served, all of
// them before passthrough. Pieces that fail are dropped and told to
// Options.BeforeEvict.
//
// # Room
//
// Above HighWater of the cache size, or with less free space than the reserve,
// a janitor goroutine evicts down to LowWater: idle Versions as a whole, those
// that were replaced first, then by last access; the last one only by as many
// of its cold pieces as needed (hole punching). A Version with an open handle
// is never touched, and the file of one that was ever opened for passthrough is
// only ever unlinked. When there is no room, Put returns a Full error and the
// caller serves from memory.
//
// # Concurrency
//
// Everything is safe for concurrent use. Close handles before the Store.
package store
