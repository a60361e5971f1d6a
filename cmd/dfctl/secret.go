package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"damselfly/pieces"
)

// maxSecret bounds what is read as a password or a token, in bytes.
const maxSecret = 4 << 10

// sessions are the secrets of 'dfctl login' by the address of the manager that
// gave them: no other one gets to see them.
type sessions map[string]string

// sessionFile is where they are kept, for their owner only; empty if the
// environment names no home.
func sessionFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "damselfly", "dfctl-sessions.json")
}

func readSessions(file string) (sessions, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return sessions{}, nil
	}
	s := sessions{}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, pieces.WithKind(pieces.Invalid, err, "reading "+file+" (remove it to log in anew)")
}

func (s sessions) write(file string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return pieces.WithKind(pieces.KindOf(err), err, "keeping the session")
}

// secretFor is what a manager gets to see: the token of --token-file, else the
// one of $DAMSELFLY_TOKEN, else the session of 'dfctl login'.
func (a *app) secretFor(addr string) (string, error) {
	if a.tokenFile != "" {
		return readSecret(a.tokenFile)
	}
	if token := os.Getenv(tokenEnv); token != "" {
		return token, nil
	}
	s, err := readSessions(sessionFile())
	return s[addr], err
}

// readSecret reads the first line of a file.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", pieces.WithKind(pieces.Invalid, err, "reading a secret")
	}
	defer f.Close()
	return firstLine(f, file)
}

// firstLine reads no further if r is a bufio.Reader.
func firstLine(r io.Reader, from string) (string, error) {
	lines, ok := r.(*bufio.Reader)
	if !ok {
		lines = bufio.NewReader(io.LimitReader(r, maxSecret))
	}
	line, err := lines.ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", pieces.Errorf(pieces.Invalid, "%s: its first line is empty", from)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", pieces.WithKind(pieces.Invalid, err, "reading "+from)
	}
	return line, nil
}

// askPassword reads a password: the first line of file, else from the terminal
// without showing it, else a line of stdin.
func askPassword(cmd *cobra.Command, file, prompt string) (string, error) {
	if file != "" {
		return readSecret(file)
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return firstLine(cmd.InOrStdin(), "stdin")
	}
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	b, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr())
	return string(b), pieces.WithKind(pieces.Invalid, err, "reading the password")
}
