package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"damselfly/pieces"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeRecord puts each path as JSON on a line of its own, after the CRC-32C of
// that: damage costs only the mounts whose lines it hits, and never makes one
// somewhere else.
func encodeRecord(paths []string) (b []byte, err error) {
	for _, p := range paths {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "%08x %s\n", crc32.Checksum(text, castagnoli), text)
	}
	return b, nil
}

// parseRecord returns the paths, and how many lines are damaged. Those that
// can't be from us count as such.
func parseRecord(b []byte) (paths []string, damaged int) {
	for line := range bytes.Lines(b) {
		sum, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{' '})
		var p string
		if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) || json.Unmarshal(text, &p) != nil ||
			!filepath.IsAbs(p) || filepath.Clean(p) != p || strings.ContainsRune(p, 0) {
			damaged++
			continue
		}
		paths = append(paths, p)
	}
	return paths, damaged
}

// record writes down where mounts are. Its callers may be several at once: the
// last one writes the latest state.
func (m *Mounts) record() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := encodeRecord(slices.Sorted(maps.Keys(m.mounts)))
	if err != nil {
		return err
	}
	return pieces.WithKind(pieces.Internal, replaceFile(m.o.Record, data), "recording the mounts")
}

// replaceFile writes a file so that it is there whole or not at all, also after
// the machine died.
func replaceFile(path string, data []byte) error {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// note is record where a disk that can't be written to is no reason to give up:
// after an unclean stop it is the old mounts that are made again.
func (m *Mounts) note() {
	if err := m.record(); err != nil {
		m.o.Log.WithError(err).Warn("the mounts are not on record")
	}
}

// readRecord returns the paths in the file and how many of its lines are
// damaged; none if there is no file.
func readRecord(path string) (paths []string, damaged int, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, pieces.WithKind(pieces.Internal, err, "reading the recorded mounts")
	}
	paths, damaged = parseRecord(data)
	return paths, damaged, nil
}
