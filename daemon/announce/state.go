package announce

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"damselfly/proto/rpc"
)

// state is what is kept on disk between runs: the manager's last answers.
type state struct {
	Schedulers    []string `json:"schedulers"`
	Cluster       string   `json:"cluster,omitempty"`
	ConfigVersion uint64   `json:"config_version,omitempty"`
	Config        string   `json:"config,omitempty"`
}

// readState returns the state kept in file; one that is missing or damaged is
// as good as none.
func readState(file string, log *logrus.Entry) state {
	if file == "" {
		return state{}
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}
	}
	var s state
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	for _, addr := range s.Schedulers {
		if err == nil {
			err = rpc.CheckAddress(addr)
		}
	}
	if err != nil {
		log.WithError(err).WithField("file", file).Warn("last scheduler list can't be read; going on without")
		return state{}
	}
	return s
}

// writeState replaces the file as a whole; readers see the old or the new one.
func writeState(file string, s state) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it was renamed
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
