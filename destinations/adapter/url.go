package adapter

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// URL is a whole URL from the config. A user and a password in it are secrets, and so are the values of its query, such as a token:
// however it is printed, logged or marshalled, they show as ***. A user and a password are no part of Address.
type URL struct {
	address string
	user    *url.Userinfo
	query   url.Values
}

// UnmarshalText reads a URL. Its error shows nothing of it.
func (u *URL) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = URL{}
		return nil
	}
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Hostname() == "" || (parsed.Scheme != "https" && parsed.Scheme != "http") || strings.Contains(string(text), "#") {
		return errors.New("expected an absolute http(s) URL such as https://hooks.example.com/aka")
	}
	u.user, parsed.User = parsed.User, nil
	u.address, u.query = parsed.String(), parsed.Query()
	return nil
}

// IsSet reports whether there is a URL.
func (u URL) IsSet() bool { return u.address != "" }

// Address is the URL without its user and password.
func (u URL) Address() string { return u.address }

// IsSecure reports whether the URL is an https one.
func (u URL) IsSecure() bool { return strings.HasPrefix(u.address, "https:") }

// Authorization is the header of that name that the user and password become, or "" where there are none.
func (u URL) Authorization() string {
	if u.user == nil {
		return ""
	}
	return "Basic " + u.credentials()
}

// shortestToken is the least length of a value of a query that may be a token.
const shortestToken = 8

func (u URL) credentials() string {
	password, _ := u.user.Password()
	return base64.StdEncoding.EncodeToString([]byte(u.user.Username() + ":" + password))
}

// Secrets are the texts that must not be shown: the password, or the user where there is none, what both become, and the values of the
// query.
func (u URL) Secrets() (secrets []string) {
	if u.user != nil {
		secret, _ := u.user.Password()
		secrets = append(secrets, cmp.Or(secret, u.user.Username()), u.credentials())
	}
	for _, name := range slices.Sorted(maps.Keys(u.query)) {
		for _, value := range u.query[name] {
			if len(value) >= shortestToken {
				secrets = append(secrets, value)
			}
		}
	}
	return secrets
}

// String returns the URL, with *** for its user and password, and for its query.
func (u URL) String() string {
	text := u.address
	if u.user != nil {
		text = strings.Replace(text, "://", "://***@", 1)
	}
	if before, _, hasQuery := strings.Cut(text, "?"); hasQuery {
		text = before + "?***"
	}
	return text
}

// Format prints String whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.String())) }

// MarshalText gives String to JSON, YAML and every other encoder.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
