package reference

import (
	"bytes"
	"encoding/json"
)

// Files returns what is made of the reference, by its path below the module's folder, whose sources are read.
func Files(root string) (map[string][]byte, error) {
	r, found, err := Read(root)
	if err != nil {
		return nil, err
	}
	var comments bytes.Buffer
	encoder := json.NewEncoder(&comments)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(found); err != nil {
		return nil, err
	}
	const foot = "`aka serve --simulate` runs this file as it is, with simulated vendors and no secrets. `aka check` lists what is wrong " +
		"with a config, or shows every value that it has. This file is written by `go generate ./router/reference`."
	example, err := r.Example("docs/config.schema.json", foot)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"config.example.yaml":            example,
		"docs/configuration.md":          r.Markdown(),
		"router/reference/comments.json": comments.Bytes(),
		"docs/config.schema.json":        r.Schema(),
	}, nil
}
