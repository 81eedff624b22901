package adapter

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/router/spelling"
)

// SettingError is one mistake in a destination's settings. The config shows it with the key's whole path and its line.
type SettingError struct {
	// Key is the path below `settings`, such as "token" or "service_account.secret".
	Key string
	// Problem says what is expected, such as "required".
	Problem string
	// Line and Column are where it is in the file, where an adapter knows that of a Tree; 0 leaves it to the key.
	Line, Column int
}

// Error returns "key: problem".
func (e *SettingError) Error() string { return e.Key + ": " + e.Problem }

// IsRequired reports whether the mistake is that a key is missing: its problem begins with "required".
func (e *SettingError) IsRequired() bool { return strings.HasPrefix(e.Problem, "required") }

// Tree is a part of the settings that an adapter reads itself: sections, lists and values as they stand in the file, with the variables
// of the environment replaced. Its nodes know their line and column. It is no place for secrets.
type Tree struct{ node *yaml.Node }

// NewTree wraps a node.
func NewTree(node *yaml.Node) Tree { return Tree{node} }

// SetTree is how the config decoder fills it in.
func (t *Tree) SetTree(node *yaml.Node) { t.node = node }

// Node returns what stands in the file, without aliases; nil where nothing does.
func (t *Tree) Node() *yaml.Node { return t.node }

// MarshalYAML returns what stands in the file.
func (t Tree) MarshalYAML() (any, error) { return t.node, nil }

// IsSet reports whether something stands there.
func (t *Tree) IsSet() bool { return t.node != nil && t.node.Tag != "!!null" }

// Required returns the mistake of a missing key.
func Required(key string) error { return &SettingError{Key: key, Problem: "required"} }

// Invalid returns the mistake of a key whose value is not what is expected.
func Invalid(key, format string, args ...any) error {
	return &SettingError{Key: key, Problem: fmt.Sprintf(format, args...)}
}

// OneOf returns a mistake unless value is one of the allowed words. It suggests the nearest of them.
func OneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return Invalid(key, "%q is not one of %s%s", value, strings.Join(allowed, ", "), spelling.Hint(value, allowed))
}

// BaseURL returns the endpoint to call: the setting without its trailing slashes, or the vendor's own when it is empty. The
// error is a mistake of the key `endpoint`.
func (c Common) BaseURL(vendors string) (string, error) {
	if c.Endpoint == "" {
		return vendors, nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.ContainsAny(c.Endpoint, "?#") || u.User != nil {
		return "", Invalid("endpoint", "not an absolute http(s) URL without credentials and query, such as %s", vendors)
	}
	return strings.TrimRight(c.Endpoint, "/"), nil
}
