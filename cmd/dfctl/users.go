package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/proto/managerpb"
)

func newUserCommand(a *app) *cobra.Command {
	return group("user", "Users and what they may do", newUserLsCommand(a), newUserShowCommand(a), newUserAddCommand(a),
		newUserSetCommand(a), newUserPasswordCommand(a), newUserRmCommand(a))
}

func newUserLsCommand(a *app) *cobra.Command {
	req, limit := &managerpb.ListUsersRequest{}, 0
	cmd := &cobra.Command{
		Use: "ls [TEXT]", Short: "List users by name, those with TEXT in it", Args: want(0, 1, "at most a text to search for"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Search = strings.Join(args, "")
			all := &managerpb.ListUsersReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListUsersReply, error) {
					return c.ListUsers(ctx, req)
				})
				all.Users = append(all.Users, r.GetUsers()...)
				return len(all.Users), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(all, func(t table) {
				t.row("USER", "ROLE", "STATE", "LOGIN BY", "SEEN")
				for _, u := range all.Users {
					t.row(u.Name, u.Role, yesNo(u.Disabled, "disabled", "enabled"), loginBy(u), ago(u.Seen))
				}
			})
		},
	}
	limitFlag(cmd, &limit)
	return cmd
}

// loginBy says how a user may log in.
func loginBy(u *managerpb.User) string {
	var ways []string
	if u.HasPassword {
		ways = append(ways, "password")
	}
	if u.Issuer != "" {
		ways = append(ways, u.Issuer)
	}
	if len(ways) == 0 {
		return "tokens only"
	}
	return strings.Join(ways, ", ")
}

func (a *app) printUser(u *managerpb.User) error {
	return a.print(u, func(t table) {
		t.row("user", u.Name)
		t.row("role", u.Role)
		t.row("state", yesNo(u.Disabled, "disabled", "enabled"))
		t.row("login by", loginBy(u))
		t.row("created", ago(u.Created))
		t.row("seen", ago(u.Seen))
		t.row("etag", u.Etag)
	})
}

func newUserShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one user", Args: want(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := a.user(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printUser(u)
		},
	}
}

func (a *app) user(ctx context.Context, name string) (*managerpb.User, error) {
	return ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.User, error) {
		return c.GetUser(ctx, &managerpb.GetUserRequest{Name: name})
	})
}

func newUserAddCommand(a *app) *cobra.Command {
	req, file, without := &managerpb.CreateUserRequest{}, "", false
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a user with a random password, which is printed", Args: want(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			req.Name = args[0]
			if file != "" {
				if req.Password, err = readSecret(file); err != nil {
					return err
				}
			}
			u, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.User, error) {
				return c.CreateUser(ctx, req)
			})
			if err != nil {
				return err
			}
			if file != "" || without {
				return a.printUser(u)
			}
			return a.resetPassword(cmd.Context(), &managerpb.ResetPasswordRequest{Name: req.Name})
		},
	}
	cmd.Flags().StringVar(&req.Role, "role", "viewer", "admin, operator or viewer")
	cmd.Flags().StringVar(&file, "password-file", "", "take the first line of a file for the password")
	cmd.Flags().BoolVar(&without, "no-password", false, "no login by password: for tokens only")
	cmd.MarkFlagsMutuallyExclusive("password-file", "no-password")
	return cmd
}

func newUserSetCommand(a *app) *cobra.Command {
	role, disabled, etag := "", false, ""
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a user's role, disable or enable it", Args: want(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := a.user(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("role") {
				u.Role = role
			}
			if cmd.Flags().Changed("disabled") {
				u.Disabled = disabled
			}
			if etag != "*" {
				u.Etag = etag
			}
			now, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.User, error) {
				return c.UpdateUser(ctx, &managerpb.UpdateUserRequest{User: u})
			})
			if err != nil {
				return err
			}
			return a.printUser(now)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "admin, operator or viewer")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "may do nothing any more; --disabled=false enables")
	etagFlag(cmd, &etag)
	return cmd
}

func newUserPasswordCommand(a *app) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use: "reset-password NAME", Short: "Give a user a random password, which is printed; its sessions end", Args: want(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			req := &managerpb.ResetPasswordRequest{Name: args[0]}
			if file != "" {
				if req.Password, err = readSecret(file); err != nil {
					return err
				}
			}
			return a.resetPassword(cmd.Context(), req)
		},
	}
	cmd.Flags().StringVar(&file, "password-file", "", "take the first line of a file for the password")
	return cmd
}

func (a *app) resetPassword(ctx context.Context, req *managerpb.ResetPasswordRequest) error {
	r, err := ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ResetPasswordReply, error) {
		return c.ResetPassword(ctx, req)
	})
	if err != nil {
		return err
	}
	return a.print(r, func(t table) {
		t.row("user", req.Name)
		if r.Password != "" {
			t.row("password", r.Password)
		}
	})
}

func newUserRmCommand(a *app) *cobra.Command {
	etag := ""
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Remove a user with all its tokens", Args: want(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.DeleteUser(ctx, &managerpb.DeleteUserRequest{Name: args[0], Etag: etag})
				return err
			})
		},
	}
	etagFlag(cmd, &etag)
	return cmd
}
