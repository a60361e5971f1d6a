package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"damselfly/pieces"
)

// record writes down where mounts are. Its callers may be several at once: the
// last one writes the latest state.
func (m *Mounts) record() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	paths := []string{}
	for dir := range m.mounts {
		paths = append(paths, dir)
	}
	data, err := json.Marshal(paths)
	if err != nil {
		return err
	}
	fresh := m.o.Record + ".new"
	if err = os.WriteFile(fresh, append(data, '\n'), 0o600); err == nil {
		err = os.Rename(fresh, m.o.Record)
	}
	return pieces.WithKind(pieces.Internal, err, "recording the mounts")
}

// note is record where a disk that can't be written to is no reason to give up:
// after an unclean stop it is the old mounts that are made again.
func (m *Mounts) note() {
	if err := m.record(); err != nil {
		m.o.Log.WithError(err).Warn("the mounts are not on record")
	}
}

// readRecord returns the paths in the file, without those that can't be from
// us; none if there is no file, or one that nobody can read.
func readRecord(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "reading the recorded mounts")
	}
	var paths []string
	if json.Unmarshal(data, &paths) != nil {
		return nil, nil
	}
	return slices.DeleteFunc(paths, func(p string) bool {
		return !filepath.IsAbs(p) || filepath.Clean(p) != p || strings.ContainsRune(p, 0)
	}), nil
}
