package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
)

func newBackupCommand() *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy a SQLite database to a new file while managers run",
		Long: `Backup writes the database as it is at one moment. To restore it, stop the
manager, put the copy where the database was, remove what stands beside it with
-wal and -shm at its name's end, and start the manager. It holds digests of
passwords and tokens: keep it as you keep those. PostgreSQL has pg_dump.`,
		Example: "  dfmanager backup /srv/backup/manager-$(date +%F).db --config /etc/damselfly/dfmanager.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return pieces.Errorf(pieces.Invalid, "want the name of a new file (see '%s --help')", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := boot.LoadConfig(cmd, &o); err != nil {
				return err
			}
			return runBackup(cmd.Context(), o, args[0])
		},
	}
	boot.ConfigFlag(cmd.Flags(), "dfmanager")
	databaseFlag(cmd, &o)
	return cmd
}

func runBackup(ctx context.Context, o options, path string) (err error) {
	db, err := openStore(ctx, o.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Backup(ctx, path)
}
