package store

import (
	"errors"
	"io/fs"
	"os"

	"damselfly/pieces"
)

// openFile opens the content file if there is one. A file that is missing or
// has another size is damaged: it vouches for nothing.
func (v *version) openFile() (damaged bool, err error) {
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	if !v.created || v.file.Load() != nil {
		return false, nil
	}
	f, err := v.s.disk.Open(v.s.dir.contentFile(v.ord.Load()), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, pieces.WithKind(pieces.Internal, err, "open content of "+v.key.String())
	}
	st, err := f.Stat()
	if err != nil || st.Size() != v.geo.Size || !st.Mode().IsRegular() {
		f.Close()
		return true, nil
	}
	v.file.Store(f)
	return false, nil
}

// makeFile makes the content file unless it exists; call with writing.
func (v *version) makeFile() (*os.File, error) {
	if f := v.file.Load(); f != nil {
		return f, nil
	}
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	if f := v.file.Load(); f != nil {
		return f, nil
	}
	if v.created || v.s.hasEnded() {
		return nil, errClosed
	}
	f, err := v.s.disk.Open(v.s.dir.contentFile(v.ord.Load()), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(v.geo.Size); err != nil {
		f.Close()
		return nil, errors.Join(err, v.s.disk.Remove(f.Name()))
	}
	v.created = true
	v.dirty.Store(true)
	v.restamp(f)
	v.file.Store(f)
	return f, nil
}

func (v *version) closeFile() {
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	if f := v.file.Swap(nil); f != nil {
		f.Close()
	}
}
