package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
)

// Environment variables for what every call needs.
const (
	managerEnv = "DAMSELFLY_MANAGER"
	tokenEnv   = "DAMSELFLY_TOKEN"
)

// callTimeout bounds one call.
const callTimeout = 30 * time.Second

// app is what all sub-commands share.
type app struct {
	managers  []string
	tokenFile string
	anonymous bool // sends nothing that proves who calls
	json      bool
	out       io.Writer
}

func newCommand() *cobra.Command {
	a := &app{managers: []string{"127.0.0.1:65003"}}
	if env := os.Getenv(managerEnv); env != "" {
		a.managers = strings.Split(env, ",")
	}
	root := &cobra.Command{
		Use:   "dfctl",
		Short: "Clusters, hosts, catalogue, jobs and users of a Damselfly manager",
		Long: `Dfctl speaks with a manager: --manager, or $DAMSELFLY_MANAGER, or the one on this
machine. Of several, the first that answers is asked.

It knows you by the session that 'dfctl login' began, or scripts by a token: the
first line of --token-file, or $DAMSELFLY_TOKEN.

Exit codes: 1 other failures, 2 usage, 3 access denied, 4 not found or changed
meanwhile, 6 timeout.`,
		Example: `  dfctl login ann
  dfctl task add https://example.org/model.bin --name model
  dfctl preheat https://example.org/model.bin --to all --wait
  dfctl swarm https://example.org/model.bin --watch
  dfctl job ls
  dfctl config get default
  dfctl host ls --json | jq -r '.hosts[].hostname'`,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.out = cmd.OutOrStdout()
			return boot.CheckPeerAddrs("manager", a.managers)
		},
	}
	fs := root.PersistentFlags()
	fs.StringSliceVar(&a.managers, "manager", a.managers, "managers, HOST:65003,…; the first that answers is asked")
	fs.StringVar(&a.tokenFile, "token-file", "", "send the token in the first line of a file")
	fs.BoolVar(&a.json, "json", false, "print JSON for scripts")
	root.AddCommand(newOverviewCommand(a), newClusterCommand(a), newConfigCommand(a), newSchedulerCommand(a), newHostCommand(a),
		newTaskCommand(a), newSwarmCommand(a), newTrafficCommand(a), newJobCommand(a), newPreheatCommand(a), newDeleteCommand(a), newHoldersCommand(a), newCollectCommand(a),
		newLoginCommand(a), newLogoutCommand(a), newWhoamiCommand(a), newPasswdCommand(a), newUserCommand(a), newTokenCommand(a), newAuditCommand(a))
	return root
}

// call asks one manager after the other until one answers. What was asked of
// one that died meanwhile is asked again of the next.
func (a *app) call(ctx context.Context, f func(ctx context.Context, c managerpb.AdminClient) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, addr := range a.managers {
		if err = a.callOne(ctx, addr, f); !rpc.IsTransport(err) {
			return err
		}
	}
	return err
}

func (a *app) callOne(ctx context.Context, addr string, f func(ctx context.Context, c managerpb.AdminClient) error) error {
	if !a.anonymous {
		secret, err := a.secretFor(addr)
		if err != nil {
			return err
		}
		if secret != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
		}
	}
	conn, err := rpc.Dial(addr, rpc.DialOptions{CallTimeout: callTimeout})
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, managerpb.NewAdminClient(conn))
}

// ask makes one call whose reply is m.
func ask[M any](ctx context.Context, a *app, f func(ctx context.Context, c managerpb.AdminClient) (M, error)) (m M, err error) {
	err = a.call(ctx, func(ctx context.Context, c managerpb.AdminClient) (err error) {
		m, err = f(ctx, c)
		return err
	})
	return m, err
}

// print writes m as JSON, or what text prints.
func (a *app) print(m proto.Message, text func(t table)) error {
	if a.json {
		b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
		if err == nil {
			_, err = a.out.Write(append(b, '\n'))
		}
		return pieces.WithKind(pieces.Internal, err, "printing")
	}
	t := newTable(a.out)
	text(t)
	return t.flush()
}

// group makes a command that only has sub-commands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return pieces.Errorf(pieces.Invalid, "want one of its commands (see '%s --help')", cmd.CommandPath())
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}

// want is cobra.ExactArgs or so with a message that says what is missing; most
// -1 is any number.
func want(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return pieces.Errorf(pieces.Invalid, "want %s (see '%s --help')", what, cmd.CommandPath())
		}
		return nil
	}
}

// etagFlag binds --etag of an edit; without it whatever is there is changed.
func etagFlag(cmd *cobra.Command, etag *string) {
	cmd.Flags().StringVar(etag, "etag", "*", "change only what has this etag, as it was read (default: whatever is there)")
}
