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

// mountLine is a mount as the record has it.
type mountLine struct {
	Path    string
	Options []string
}

// encodeRecord puts each mount on a line of its own, a JSON array of its path
// and options after the CRC-32C of that: damage costs only the mounts whose
// lines it hits, and never makes one somewhere else.
func encodeRecord(list []mountLine) (b []byte, err error) {
	for _, r := range list {
		text, err := json.Marshal(append([]string{r.Path}, r.Options...))
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "%08x %s\n", crc32.Checksum(text, castagnoli), text)
	}
	return b, nil
}

// parseRecord returns the mounts, and how many lines are damaged. Those that
// can't be from us count as such. A bare JSON string is a path without options,
// as earlier daemons wrote it.
func parseRecord(b []byte) (list []mountLine, damaged int) {
	for line := range bytes.Lines(b) {
		sum, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{' '})
		r, ok := parseMount(text)
		if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) || !ok {
			damaged++
			continue
		}
		list = append(list, r)
	}
	return list, damaged
}

func parseMount(text []byte) (r mountLine, ok bool) {
	var words []string
	if json.Unmarshal(text, &r.Path) != nil {
		if json.Unmarshal(text, &words) != nil || len(words) == 0 {
			return r, false
		}
		r = mountLine{Path: words[0], Options: words[1:]}
	}
	return r, filepath.IsAbs(r.Path) && filepath.Clean(r.Path) == r.Path && !strings.ContainsRune(r.Path, 0)
}

// record writes down where mounts are. Its callers may be several at once: the
// last one writes the latest state.
func (m *Mounts) record() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []mountLine
	for _, path := range slices.Sorted(maps.Keys(m.mounts)) {
		list = append(list, mountLine{path, m.mounts[path].options})
	}
	data, err := encodeRecord(list)
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

// readRecord returns the mounts in the file and how many of its lines are
// damaged; none if there is no file.
func readRecord(path string) (list []mountLine, damaged int, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, pieces.WithKind(pieces.Internal, err, "reading the mountLine mounts")
	}
	list, damaged = parseRecord(data)
	return list, damaged, nil
}
