package adapter

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"aka/router/spelling"
)

// SettingError is one mistake in a destination's settings. The config shows it with the key's whole path and its line.
type SettingError struct {
	// Key is the path below `settings`, such as "token" or "service_account.secret".
	Key string
	// Problem says what is expected, such as "required".
	Problem string
}

// Error returns "key: problem".
func (e *SettingError) Error() string { return e.Key + ": " + e.Problem }

// IsRequired reports whether the mistake is that a key is missing: its problem begins with "required".
func (e *SettingError) IsRequired() bool { return strings.HasPrefix(e.Problem, "required") }

// Required returns the mistake of a missing key.
func Required(key string) error { return &SettingError{key, "required"} }

// Invalid returns the mistake of a key whose value is not what is expected.
func Invalid(key, format string, args ...any) error {
	return &SettingError{key, fmt.Sprintf(format, args...)}
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
