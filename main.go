// Aka receives calls as Segment's SDKs send them, keeps each on disk, and tells every configured vendor in its own words.
package main

import (
	"os"

	"aka/router/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
