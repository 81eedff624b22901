package http

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/destinations/adapter/golden"
	"aka/router/strictyaml"
)

const veroCases = "../vero/testdata"

// beyondTheMapping are the golden cases of the Go adapter that the mapping does not do, and why. One that starts to pass must be
// taken out of the list.
var beyondTheMapping = map[string]string{
	"verify":                "a mapping does not say how to read back what arrived",
	"settings_all_mistakes": "the settings are other ones: a mapping has its own, and says their mistakes",
}

// leastShare is how many of the golden cases must pass, in percent.
const leastShare = 92

// veroSettings are the settings of the Go adapter, which the cases have.
type veroSettings struct {
	adapter.Common `yaml:",inline"`
	AuthToken      adapter.Secret     `yaml:"auth_token"`
	PageEvents     adapter.PageEvents `yaml:"page_events"`
}

// mapped is Vero by the mapping, with the settings of a case.
var mapped = adapter.Vendor{Names: []string{"Vero"}, New: func(settings adapter.Settings) (adapter.Adapter, error) {
	own := veroSettings{PageEvents: adapter.PagesAll}
	if err := settings.Decode(&own); err != nil {
		return nil, err
	}
	section := section{file: "testdata/vero/settings.yaml", variables: map[string]string{"VERO_AUTH_TOKEN": own.AuthToken.Reveal()}}
	section.edit = func(c *Config) {
		if own.Endpoint != "" {
			c.Endpoint = own.Endpoint
		}
		c.BlockedIDs = own.BlockedIDs
		node := &yaml.Node{}
		if err := yaml.Unmarshal([]byte("page_events: "+string(own.PageEvents)), node); err == nil {
			c.Constants = adapter.NewTree(node.Content[0])
		}
	}
	return New(&section)
}}

// section is a settings section in a file.
type section struct {
	file      string
	text      []byte
	variables map[string]string
	edit      func(*Config)
	decoder   strictyaml.Decoder
}

// Decode implements adapter.Settings.
func (s *section) Decode(into any) error {
	content := s.text
	if s.file != "" {
		var err error
		if content, err = os.ReadFile(s.file); err != nil {
			return err
		}
	}
	node := &yaml.Node{}
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(node); err != nil {
		return err
	}
	s.decoder.Lookup = func(name string) (string, bool) { value, ok := s.variables[name]; return value, ok }
	s.decoder.ReadFile = os.ReadFile
	s.decoder.Decode(node, "", into)
	if problems := s.decoder.Problems(); len(problems) > 0 {
		return problems[0]
	}
	if s.edit != nil {
		s.edit(into.(*Config))
	}
	return nil
}

func TestVeroAsAMappingDoesWhatTheAdapterDoes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(veroCases, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	left := maps.Clone(beyondTheMapping)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		failures := golden.Record(func(t golden.T) { golden.Check(t, mapped, file) })
		_, isKnown := left[name]
		delete(left, name)
		switch {
		case len(failures) == 0 && isKnown:
			t.Errorf("%s passes: take it out of the list", name)
		case len(failures) > 0 && !isKnown:
			t.Errorf("%s:\n%s", name, strings.Join(failures, "\n"))
		}
	}
	if len(left) > 0 {
		t.Errorf("no such cases: %v", slices.Sorted(maps.Keys(left)))
	}
	if share := 100 * (len(files) - len(beyondTheMapping)) / len(files); share < leastShare {
		t.Errorf("%d%% of the cases pass, and %d%% must", share, leastShare)
	}
}
