package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/meta"
	"github.com/stratosmesh/stratos/node"
)

// A service is a long-lived process of the network.
type service interface {
	Run(context.Context) error
	Close() error
}

// serve runs a service until the command is interrupted, which is how it is meant to end.
func serve(ctx context.Context, s service) error {
	err := s.Run(ctx)
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (e *env) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func newMetaCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "meta", Short: "Run an authority of the meta layer", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newMetaInitCommand(e), newMetaRegisterCommand(e), newMetaListCommand(e), newMetaVoteCommand(e), newMetaLeaveCommand(e), newMetaStatusCommand(e))
	cmd.AddCommand(&cobra.Command{
		Use:   "run",
		Short: "Run the authority whose folder --home names, until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			poster, err := e.poster(cmd.Context(), e.cfg.Get(config.Home))
			if err != nil {
				return err
			}
			a, err := meta.New(e.cfg.Get(config.Home), poster, e.logger())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), a)
		},
	})
	return cmd
}

func newNodeCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "Run a resource node", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newNodeInitCommand(e), newNodeRegisterCommand(e), newNodeLeaveCommand(e), newNodeStatusCommand(e))
	cmd.AddCommand(&cobra.Command{
		Use:   "run",
		Short: "Run the node whose folder --home names, until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := node.New(e.cfg.Get(config.Home), e.logger())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), n)
		},
	})
	return cmd
}
