package config

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/router/admin"
	"aka/router/spelling"
	"aka/router/strictyaml"
)

// AdminSection is what a config file says of the operator's server, for commands that ask a running aka. It is read from the file
// as it was when it was loaded: mistakes elsewhere in it, as while somebody edits it, and secrets that are not here do not matter.
type AdminSection struct {
	file     string
	read     Admin
	problems []strictyaml.Problem
}

// ReadAdmin reads the section from a file, which need not be a config, nor YAML as a whole. lookup reads an environment
// variable; nil is os.LookupEnv. The error is *Mistakes.
func ReadAdmin(path string, lookup func(name string) (value string, ok bool)) (*AdminSection, error) {
	content, err := readLimited(path)
	if err != nil {
		return nil, &Mistakes{path, []strictyaml.Problem{{Message: err.Error()}}}
	}
	if lookup == nil {
		lookup = os.LookupEnv
	}
	return parseAdmin(path, content, lookup)
}

func parseAdmin(path string, content []byte, lookup func(name string) (value string, ok bool)) (*AdminSection, error) {
	section, problem := findAdmin(content)
	if problem != nil {
		return nil, &Mistakes{path, []strictyaml.Problem{*problem}}
	}
	decoder := &strictyaml.Decoder{Lookup: lookup, ReadFile: os.ReadFile}
	var into struct {
		Admin Admin `yaml:"admin"`
	}
	decoder.Decode(section, "", &into)
	return &AdminSection{path, into.Admin, decoder.Problems()}, nil
}

// Listen returns admin.listen, or its default. The error is *Mistakes.
func (s *AdminSection) Listen() (string, error) {
	if err := s.mistakes(s.read.Listen != "", "admin.listen"); err != nil {
		return "", err
	}
	if s.read.Listen == "" {
		return Default().Admin.Listen, nil
	}
	return s.read.Listen, nil
}

// Tokens returns the files of the tokens. The error is *Mistakes.
func (s *AdminSection) Tokens() (admin.Tokens, error) {
	return s.read.Tokens, s.mistakes(s.read.Tokens.AreSet(), "admin.token_file", "admin.read_token_file")
}

// mistakes are those that matter to some keys: theirs, and where none of them is given those of keys that may be theirs, mistyped.
func (s *AdminSection) mistakes(given bool, keys ...string) error {
	others := slices.DeleteFunc([]string{"admin.listen", "admin.token_file", "admin.read_token_file", "admin.hosts"}, func(key string) bool {
		return slices.Contains(keys, key)
	})
	var found []strictyaml.Problem
	for _, p := range s.problems {
		key, _, _ := strings.Cut(p.Key, "[")
		if slices.Contains(keys, key) || !given && !slices.Contains(others, key) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &Mistakes{s.file, found}
}

// findAdmin returns a mapping that has no other key than admin, or what may be that, mistyped.
func findAdmin(content []byte) (*yaml.Node, *strictyaml.Problem) {
	document, problem := parseDocument(content)
	if problem == nil {
		return onlyAdmin(document)
	}
	rest, found := cutOutAdmin(content)
	if !found {
		if len(bytes.TrimSpace(content)) == 0 || anyAdmin.Match(content) {
			return nil, problem
		}
		return &yaml.Node{}, nil
	}
	if document, problem = parseDocument(rest); problem != nil {
		return nil, problem
	}
	return onlyAdmin(document)
}

func onlyAdmin(document *yaml.Node) (*yaml.Node, *strictyaml.Problem) {
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return document, &strictyaml.Problem{Line: root.Line, Message: "expected a section of keys, as a config has"}
	}
	only := *root
	only.Content = nil
	hasAdmin := valueAt(root, "admin") != nil
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := root.Content[i].Value; key == "admin" || !hasAdmin && isLikeAdmin(key) {
			only.Content = append(only.Content, root.Content[i:i+2]...)
		}
	}
	return &only, nil
}

func isLikeAdmin(key string) bool { return spelling.Nearest(key, []string{"admin"}) != "" }

var (
	// topKey is a key at the beginning of a line, and not in a section.
	topKey = regexp.MustCompile(`^["']?([A-Za-z_]+)["']?[ \t]*:(?:[ \t\r]|$)`)
	// goesOn is a line that belongs to the section above it.
	goesOn = regexp.MustCompile(`^(?:[ \t\r#\]}]|$)`)
	// anyAdmin is the key anywhere.
	anyAdmin = regexp.MustCompile(`(?m)^[^#\n]*\badmin["']?[ \t]*:`)
)

// cutOutAdmin blanks every line of a text that is not YAML but those of the section admin, or of what may be that, mistyped.
func cutOutAdmin(content []byte) (cut []byte, found bool) {
	lines := bytes.Split(bytes.TrimPrefix(content, []byte("\ufeff")), []byte("\n"))
	inside := false
	for i, line := range lines {
		if !goesOn.Match(line) {
			key := topKey.FindSubmatch(line)
			inside = key != nil && isLikeAdmin(string(key[1]))
		}
		if !inside {
			lines[i] = nil
		}
		found = found || inside
	}
	return bytes.Join(lines, []byte("\n")), found
}
