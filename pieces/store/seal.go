package store

import (
	"encoding/binary"
	"hash/crc32"

	"damselfly/pieces"
)

// Every record ends in a checksum of its owner, its key and its value: a bit
// that changed anywhere in the database makes a record that is not there, never
// one that says something else. The owner of a piece record is its Version, so
// that a record which comes back from the dead can't speak for another one; all
// others have none.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sealBytes = crc32.Size

func sealOf(owner string, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(owner))
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// seal appends the checksum to value.
func seal(owner string, key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, sealOf(owner, key, value))
}

// unseal returns the value that was sealed, aliasing b, or an Integrity error.
func unseal(owner string, key, b []byte) ([]byte, error) {
	n := len(b) - sealBytes
	if n < 0 || binary.BigEndian.Uint32(b[n:]) != sealOf(owner, key, b[:n]) {
		return nil, pieces.Errorf(pieces.Integrity, "damaged record of %d bytes", len(b))
	}
	return b[:n], nil
}

// ownerOf is the owner of the piece records of a Version.
func ownerOf(key pieces.Key) string { return string(key.Task) + string(key.Version) }
