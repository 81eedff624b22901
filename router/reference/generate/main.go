// Generate writes what is made of the config's structs: `go generate ./router/reference`.
package main

import (
	"log"
	"os"
	"path/filepath"

	"aka/router/reference"
)

func main() {
	const root = "../.."
	files, err := reference.Files(root)
	if err != nil {
		log.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
