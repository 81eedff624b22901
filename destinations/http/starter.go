package http

import (
	"embed"
	"io/fs"

	"aka/destinations/adapter"
)

//go:embed starter
var starterFiles embed.FS

// starter is what `aka init http` writes.
func starter() *adapter.Starter {
	section, err := starterFiles.ReadFile("starter/destination.yaml")
	if err != nil {
		panic("http: " + err.Error())
	}
	files, err := fs.Sub(starterFiles, "starter")
	if err != nil {
		panic("http: " + err.Error())
	}
	return &adapter.Starter{Destination: string(section), Files: files}
}
