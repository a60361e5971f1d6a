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
)

// identity is what makes a data dir this host's: drawn at random once.
type identity struct {
	host pieces.HostID
	// secret keys the audiences of this host's private Tasks.
	secret []byte
}

// loadIdentity reads the identity of dir, making what is missing. A damaged
// file is replaced: the host then is a new one to others.
func loadIdentity(dir string) (identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, pieces.WithKind(pieces.KindOf(err), err, "making the data dir")
	}
	host, err := randomFile(filepath.Join(dir, "host-id"), 16)
	if err != nil {
		return identity{}, err
	}
	secret, err := randomFile(filepath.Join(dir, "secret"), 32)
	return identity{pieces.NewHostID([16]byte(host)), secret}, err
}

// randomFile returns the n random bytes kept in hex in path, drawing them if
// the file is missing or is not n bytes in hex.
func randomFile(path string, n int) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		if b, err := hex.DecodeString(strings.TrimSpace(string(text))); err == nil && len(b) == n {
			return b, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, pieces.WithKind(pieces.KindOf(err), err, "reading the host's identity")
	}
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
		return nil, pieces.WithKind(pieces.KindOf(err), err, "keeping the host's identity")
	}
	return b, os.Rename(tmp, path)
}
