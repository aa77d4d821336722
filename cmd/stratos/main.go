// Command stratos is what people use: it runs a development network, keeps accounts, moves files, deploys databases and
// code, and runs the processes of the meta and the resource layer. Here are only flags and wiring; what a command does
// lies in the packages below. The value layer's node is another program, stchaind.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(runMain()) }

func runMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), name: os.Args[0]}
	return e.run(ctx, os.Args[1:])
}
