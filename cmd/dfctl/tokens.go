package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

func newTokenCommand(a *app) *cobra.Command {
	return group("token", "Tokens for scripts", newTokenLsCommand(a), newTokenCreateCommand(a), newTokenRmCommand(a))
}

func newTokenLsCommand(a *app) *cobra.Command {
	req, all, limit := &managerpb.ListTokensRequest{}, false, 0
	cmd := &cobra.Command{
		Use: "ls", Short: "List your tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all {
				req.User = "*"
			}
			list := &managerpb.ListTokensReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListTokensReply, error) {
					return c.ListTokens(ctx, req)
				})
				list.Tokens = append(list.Tokens, r.GetTokens()...)
				return len(list.Tokens), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(list, func(t table) {
				t.row("TOKEN", "USER", "SCOPES", "USED", "EXPIRES", "TITLE")
				for _, k := range list.Tokens {
					t.row(k.Id, k.User, strings.Join(k.Scopes, ","), ago(k.Used), ago(k.Expires), k.Title)
				}
			})
		},
	}
	cmd.Flags().StringVar(&req.User, "user", "", "those of another user, for administrators")
	cmd.Flags().BoolVar(&all, "all", false, "those of everybody, for administrators")
	cmd.MarkFlagsMutuallyExclusive("user", "all")
	limitFlag(cmd, &limit)
	return cmd
}

func newTokenCreateCommand(a *app) *cobra.Command {
	req, life := &managerpb.CreateTokenRequest{}, time.Duration(0)
	cmd := &cobra.Command{
		Use: "create TITLE", Short: "Make a token and print it, this once", Args: want(1, 1, "what the token is for"),
		Example: `  dfctl token create nightly-preheat --scope operate >token && chmod 600 token
  dfctl --token-file token job ls`,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Title = args[0]
			switch {
			case life < 0 || cmd.Flags().Changed("life") && life == 0:
				return pieces.Errorf(pieces.Invalid, "--life %s: want a time to come", life)
			case life > 0:
				req.Expires = timestamppb.New(time.Now().Add(life))
			}
			m, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.AccessToken, error) {
				return c.CreateToken(ctx, req)
			})
			if err != nil {
				return err
			}
			return a.print(m, func(t table) { t.row(m.Secret) })
		},
	}
	cmd.Flags().StringSliceVar(&req.Scopes, "scope", []string{"read"}, "what it may: read, operate, admin, account")
	cmd.Flags().DurationVar(&life, "life", 0, "how long it lasts, as 720h (default 2160h, 90 days)")
	cmd.Flags().StringVar(&req.User, "user", "", "make it another user's, for administrators")
	return cmd
}

func newTokenRmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm TOKEN", Short: "End a token", Args: want(1, 1, "the id of a token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.DeleteToken(ctx, &managerpb.DeleteTokenRequest{Id: args[0]})
				return err
			})
		},
	}
}

func newAuditCommand(a *app) *cobra.Command {
	req, limit := &managerpb.ListAuditRequest{}, 0
	cmd := &cobra.Command{
		Use: "audit [TEXT]", Short: "Who changed what, newest first; lines with TEXT", Args: want(0, 1, "at most a text to search for"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Search = strings.Join(args, "")
			all := &managerpb.ListAuditReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListAuditReply, error) {
					return c.ListAudit(ctx, req)
				})
				all.Lines = append(all.Lines, r.GetLines()...)
				return len(all.Lines), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(all, func(t table) {
				t.row("TIME", "USER", "BY", "FROM", "WHAT", "OBJECT", "RESULT")
				for _, l := range all.Lines {
					t.row(l.At.AsTime().Local().Format(time.DateTime), l.User, l.Via, l.Address, l.Method, l.Object, l.Result)
				}
			})
		},
	}
	cmd.Flags().StringVar(&req.User, "user", "", "of one user")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many (0 = all)")
	return cmd
}
