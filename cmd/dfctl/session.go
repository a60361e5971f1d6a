package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

func newLoginCommand(a *app) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use: "login [USER]", Short: "Log in (default: as admin); the session is kept for later commands",
		Args: want(0, 1, "at most the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := "admin"
			if len(args) == 1 {
				user = args[0]
			}
			password, err := askPassword(cmd, file, "password of "+user+": ")
			if err != nil {
				return err
			}
			return a.login(cmd.Context(), user, password)
		},
	}
	cmd.Flags().StringVar(&file, "password-file", "", "read the password from the first line of a file instead of the terminal")
	return cmd
}

func (a *app) login(ctx context.Context, user, password string) error {
	file := sessionFile()
	if file == "" {
		return pieces.Errorf(pieces.Invalid, "there is no home to keep the session in: set HOME, or use a token")
	}
	kept, err := readSessions(file)
	if err != nil {
		return err
	}
	a.anonymous = true
	m, err := ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Session, error) {
		return c.CreateSession(ctx, &managerpb.CreateSessionRequest{User: user, Password: password})
	})
	if err != nil {
		return err
	}
	for _, addr := range a.managers {
		kept[addr] = m.Secret
	}
	m.Secret = ""
	if err := kept.write(file); err != nil {
		return err
	}
	return a.printSession(m)
}

func (a *app) printSession(m *managerpb.Session) error {
	return a.print(m, func(t table) {
		t.row("user", m.User)
		t.row("role", m.Role)
		t.row("by", m.Via)
		t.row("scopes", strings.Join(m.Scopes, " "))
		t.row("ends", ago(m.Expires))
	})
}

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "End the session", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kept, err := readSessions(sessionFile())
			if err != nil {
				return err
			}
			err = a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.DeleteSession(ctx, &managerpb.DeleteSessionRequest{})
				return err
			})
			if err != nil && pieces.KindOf(err) != pieces.Unauthenticated { // it has ended
				return err
			}
			for _, addr := range a.managers {
				delete(kept, addr)
			}
			return kept.write(sessionFile())
		},
	}
}

func newWhoamiCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show as whom the manager knows you", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Session, error) {
				return c.GetSession(ctx, &managerpb.GetSessionRequest{})
			})
			if err != nil {
				return err
			}
			return a.printSession(m)
		},
	}
}

func newPasswdCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "passwd", Short: "Change your own password; your other sessions end",
		Long: "Passwd asks for the old and the new password. Where stdin is no terminal, both are read from it, a line each.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
				cmd.SetIn(bufio.NewReader(io.LimitReader(cmd.InOrStdin(), maxSecret)))
			}
			old, err := askPassword(cmd, "", "old password: ")
			if err != nil {
				return err
			}
			next, err := askPassword(cmd, "", "new password: ")
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.ChangePassword(ctx, &managerpb.ChangePasswordRequest{OldPassword: old, NewPassword: next})
				return err
			})
		},
	}
}
