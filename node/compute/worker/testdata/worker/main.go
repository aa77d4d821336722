// Command worker is a worker for tests: what `stratos worker` is, without the rest.
package main

import (
	"fmt"
	"os"

	"github.com/stratosmesh/stratos/node/compute/worker"
)

func main() {
	if err := worker.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
