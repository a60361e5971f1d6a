package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/manager/people"
	"damselfly/pieces"
)

func newUsersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "users", Short: "Users, for who can open the database (dfctl does it for everybody else)",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return pieces.Errorf(pieces.Invalid, "want one of its commands (see '%s --help')", cmd.CommandPath())
		},
	}
	cmd.AddCommand(newResetPasswordCommand())
	return cmd
}

func newResetPasswordCommand() *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use: "reset-password [NAME]", Short: "Give a user (default: admin) a random password, and let it in again",
		Long: `Reset-password opens the database itself, whether a manager runs or not. The user
admin is made if it is not there, and made administrator. Its sessions end.`,
		Example: "  sudo dfmanager users reset-password --config /etc/damselfly/dfmanager.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := boot.LoadConfig(cmd, &o); err != nil {
				return err
			}
			name := people.FirstUser
			if len(args) == 1 {
				name = args[0]
			}
			return runResetPassword(cmd.Context(), o, name, cmd.OutOrStdout())
		},
	}
	boot.ConfigFlag(cmd.Flags(), "dfmanager")
	databaseFlag(cmd, &o)
	return cmd
}

func runResetPassword(ctx context.Context, o options, name string, out io.Writer) (err error) {
	db, err := openStore(ctx, o.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	password, err := people.New(people.Options{Store: db}).Rescue(ctx, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "user      %s\npassword  %s\n", name, password)
	return pieces.WithKind(pieces.Internal, err, "showing the password")
}
