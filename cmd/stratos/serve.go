package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
	"github.com/stratosmesh/stratos/node"
	"github.com/stratosmesh/stratos/node/compute/worker"
	"github.com/stratosmesh/stratos/node/database"
	"github.com/stratosmesh/stratos/protocol/sign"
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
	cmd.AddCommand(newMetaInitCommand(e), newMetaRegisterCommand(e), newMetaListCommand(e), newMetaVoteCommand(e), newMetaLeaveCommand(e), newMetaStatusCommand(e), newMetaExplainCommand(e))
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
			program, err := os.Executable()
			if err != nil {
				return mesh.Errorf(mesh.Internal, "find the running program: %w", err)
			}
			home := e.cfg.Get(config.Home)
			c, err := node.ReadConfig(home)
			if err != nil {
				return err
			}
			n, err := node.New(home, node.Options{Replica: []string{program, "replica", "--home"}, Worker: []string{program, "worker", "--home", home},
				Tasks: newTaskStorage(sign.Domain{Network: c.Network, Group: c.Group}, c.Authorities)}, e.logger())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), n)
		},
	})
	return cmd
}

// newReplicaCommand is what a node starts for each of its replicas of databases.
func newReplicaCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "replica",
		Short:  "Run the replica of databases whose folder --home names, until interrupted or standard input, a pipe, ends",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parent, err := e.parent()
			if err != nil {
				return err
			}
			return database.RunReplica(cmd.Context(), e.cfg.Get(config.Home), parent, e.logger())
		},
	}
}

// newWorkerCommand is what a node starts to run modules of strangers.
func newWorkerCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Run WebAssembly modules, as a node tells by frames on standard input and output",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return worker.Serve(e.stdin, e.stdout) },
	}
}

// parent is standard input, if that is a pipe: it ends with the process that started this one.
func (e *env) parent() (io.ReadCloser, error) {
	f, ok := e.stdin.(*os.File)
	if !ok {
		return nil, nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return nil, err
	}
	if err := syscall.SetNonblock(int(f.Fd()), true); err != nil { // so that closing it ends a read
		return nil, mesh.Errorf(mesh.Internal, "standard input: %w", err)
	}
	return os.NewFile(f.Fd(), f.Name()), nil
}
