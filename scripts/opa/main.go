// The policy engine that edict tests with, built from a pinned release of
// github.com/open-policy-agent/opa: go.mod and go.sum fix every byte of it.
package main

import (
	"errors"
	"os"

	"github.com/open-policy-agent/opa/cmd"
)

func main() {
	os.Exit(exitCode(cmd.RootCommand.Execute()))
}

// exitCode keeps the difference between "a test failed" (2) and "could not
// run" (1), which the commands carry in their error.
func exitCode(err error) int {
	var exit *cmd.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Exit
	default:
		return 1
	}
}
