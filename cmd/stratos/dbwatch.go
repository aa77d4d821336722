package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// watchPause is how long is waited before a database is opened again whose cell did not answer.
const watchPause = time.Second

func newDatabaseWatchCommand(e *env) *cobra.Command {
	var from string
	var channels []string
	cmd := &cobra.Command{
		Use:   "watch NAME [PUBLICATION]",
		Short: "Follow what happens to a publication's tables, or what NOTIFY says",
		Long: `Prints each change of a row in the tables of a publication (CREATE PUBLICATION ... FOR TABLE ...), in order and without gaps, or what
NOTIFY says to channels, until it is interrupted. Each comes with its position; --from goes on behind one. The database keeps what it
has told for an hour, and 64 MiB of it. With --json an object a line.`,
		Example: `  stratos db watch shop orders
  stratos db watch shop orders --from 812.3 --json
  stratos db watch shop --channel jobs`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := database.ParsePosition(from)
			if err != nil {
				return err
			}
			if (len(args) == 2) == (len(channels) > 0) {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "either a publication or --channel says what to follow"), "see: stratos db watch --help")
			}
			f := database.Feed{Channels: channels}
			what := ""
			if len(args) == 2 {
				f.Publication, what = args[1], " "+args[1]
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				for {
					err := e.watch(cmd.Context(), c, args[0], f, &at)
					if at != database.Now {
						e.interrupted = fmt.Sprintf("go on: stratos db watch %s%s --from %s", args[0], what, at)
					}
					if mesh.KindOf(err) != mesh.Unavailable || cmd.Context().Err() != nil {
						return err
					}
					e.say("waiting: %v", err)
					select {
					case <-time.After(watchPause):
					case <-cmd.Context().Done():
						return cmd.Context().Err()
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "now", "the position behind which to begin: HEIGHT.PLACE, a height, now, or oldest for all that is kept")
	cmd.Flags().StringArrayVar(&channels, "channel", nil, "a channel of NOTIFY to listen to; more than one may be named")
	return cmd
}

// watch prints what comes behind a position, which goes along, until an error.
func (e *env) watch(ctx context.Context, c *client.Client, name string, f database.Feed, at *database.Position) error {
	db, err := c.OpenDatabase(ctx, name, database.Options{})
	if err != nil {
		return err
	}
	for b, err := range db.Follow(ctx, f, *at) {
		if err != nil {
			return err
		}
		for i := range b.Changes {
			if err := e.printChange(&b.Changes[i]); err != nil {
				return err
			}
		}
		for i := range b.Notifications {
			if err := e.printNotification(&b.Notifications[i]); err != nil {
				return err
			}
		}
		*at = b.Position
	}
	return ctx.Err()
}

func (e *env) printChange(c *database.Change) error {
	if e.json {
		return e.printLine(struct {
			Position string `json:"position"`
			*database.Change
		}{c.Position.String(), c})
	}
	row := c.New
	if row == nil {
		row = c.Old
	}
	_, err := fmt.Fprintln(e.stdout, visible(fmt.Sprintf("%s  %-8s  %s.%s  %s", c.Position, c.Kind, c.Schema, c.Table, row)))
	return err
}

func (e *env) printNotification(n *database.Notification) error {
	if e.json {
		return e.printLine(struct {
			Position string `json:"position"`
			*database.Notification
		}{n.Position.String(), n})
	}
	_, err := fmt.Fprintln(e.stdout, visible(fmt.Sprintf("%s  %s  %s", n.Position, n.Channel, n.Payload)))
	return err
}
