// Package store keeps pieces on disk: Badger for every record and for the
// bytes of small content, one sparse content file per Version for the rest.
//
// # Layout of the data directory
//
//	lock            held with flock by the one process that has the store open
//	format          the number of the on-disk format
//	run             what is known of the last run: boot id, whether it ended
//	                cleanly, how the files of the database looked then
//	db/             Badger
//	content/<n>     bytes of the Version with ordinal n (16 hex digits), sparse
//	catalogue       the journal of the catalogue: a second copy of it
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
// Content of up to 4 KiB is inline: in the LSM tree, so that compaction gives its
// space back. Larger content has a file of its own.
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
// # Damage
//
// Every record carries a checksum over its owner, key and value (seal.go): a
// damaged one is one that is not there. Inline bytes are checked at every read.
// A content file is trusted while its inode, size and times are those after our
// last write (stamp.go), which the Version's record keeps together with a hash
// of the set of pieces held: whoever else writes to the file, online or offline,
// causes its pieces to be hashed again before they are served. What this can't
// see: a medium that changes bits by itself in bytes that were verified, a write
// in the same tick of the clock as ours, and what the kernel reads by a
// passthrough descriptor that is already open.
//
// Badger can panic or exit in goroutines of its own, so a child process opens
// the database first (probe.go) after anything but a clean stop in this boot;
// if the child does not survive that, or two runs in a row have died before
// they settled, the store is moved aside and starts empty (start.go, mark.go).
//
// Every change of the catalogue is also appended to a journal, in lines that each
// carry a checksum (journal.go). A store that starts empty, or whose database has
// lost entries, is refilled from it (salvage.go): what people have added and named
// outlives the cache. Credentials are in neither.
//
// Where the machine is at fault, Open succeeds with a store without a disk: the
// catalogue lives in memory, and every Put is Full (see Usage.Uncached). It tries
// to open the directory again, every Options.Reopen at first and then less often,
// and gets its disk back under open handles (reopen.go). Badger
// writes through maps, which a full disk makes fatal: nothing is recorded below
// a floor of free space (floor.go), and at the start content files make room
// for the database. Who fills the disk faster than the janitor looks (Interval)
// may still end the process by SIGBUS.
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
