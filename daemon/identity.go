package daemon

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"damselfly/pieces"
	"damselfly/pieces/store"
)

// identity is what makes a data dir this host's: drawn at random once.
type identity struct {
	host pieces.HostID
	// secret keys the audiences of this host's private Tasks.
	secret []byte
}

// loadIdentity reads the identity of dir, making what is missing. A damaged
// file is replaced: the host then is a new one to others. What can't be kept is
// this run's alone, and said in unkept; the rest is for people to put right.
func loadIdentity(dir string) (id identity, unkept, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil && !store.MachineFault(err) {
		return identity{}, nil, pieces.WithKind(pieces.KindOf(err), err, "making the data dir")
	}
	host, err1 := randomFile(filepath.Join(dir, "host-id"), 16)
	secret, err2 := randomFile(filepath.Join(dir, "secret"), 32)
	unkept = errors.Join(err1, err2)
	if errors.Is(unkept, fs.ErrPermission) {
		return identity{}, nil, pieces.WithKind(pieces.Denied, unkept, "the host's identity")
	}
	return identity{pieces.NewHostID([16]byte(host)), secret}, unkept, nil
}

// HostID returns the id of the host whose data dir that is, drawing it if there
// is none. On a disk that takes nothing it is not the one that the daemon draws.
func HostID(dataDir string) (pieces.HostID, error) {
	id, _, err := loadIdentity(dataDir)
	return id.host, err
}

// randomFile returns the n random bytes kept in hex in path, drawing them if
// the file can't be read or is not n bytes in hex. An error says that they are
// not kept there.
func randomFile(path string, n int) ([]byte, error) {
	text, rerr := os.ReadFile(path)
	if b, err := hex.DecodeString(strings.TrimSpace(string(text))); rerr == nil && err == nil && len(b) == n {
		return b, nil
	}
	b := make([]byte, n)
	rand.Read(b) // never fails
	if rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		return b, rerr
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return b, err
	}
	_, err = f.WriteString(hex.EncodeToString(b) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	return b, err
}
