package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"aka/router/admin"
	"aka/router/config"
	"aka/router/terminal"
)

// maxAnswer bounds what is read of an answer: a page of a list, or one call.
const maxAnswer = 64 << 20

// adminClient asks a running aka at its admin address.
type adminClient struct {
	base string // the address as a URL
	// token finds what lets in; "" is none. It is asked for no sooner than needed: health needs none.
	token func() (string, error)
}

// tokenVariable is the environment variable that may hold the admin token.
const tokenVariable = "AKA_ADMIN_TOKEN"

var errOddVariable = errors.New("$" + tokenVariable + ": expected a token of letters, digits and signs in ASCII, without a space or a line break")

// adminFlags say where the running aka is to be asked, and what lets in there.
type adminFlags struct{ config, admin, tokenFile string }

func (f *adminFlags) addTo(command *cobra.Command) {
	addConfigFlag(command, &f.config)
	command.Flags().StringVar(&f.admin, "admin", "", "admin address of the running aka (default: the config's admin.listen)")
	command.Flags().StringVar(&f.tokenFile, "token-file", "", "file of the admin token (default: $"+tokenVariable+", or the config's)")
}

// client finds the address. Of the config's file no more than that is needed, and no more need be right.
func (f *adminFlags) client() (*adminClient, error) {
	if f.admin != "" {
		base, err := adminURL(f.admin)
		if err != nil {
			return nil, wrongUse("--admin: %w", err)
		}
		return &adminClient{base, func() (string, error) { return f.token() }}, nil
	}
	path, err := configPath(f.config)
	if err != nil {
		return nil, fmt.Errorf("no --admin, and %w", err)
	}
	section, err := config.ReadAdmin(path, os.LookupEnv)
	var listen string
	if err == nil {
		listen, err = section.Listen()
	}
	if err != nil {
		return nil, fmt.Errorf("no --admin, and no address in the config: %w; name the address with --admin", err)
	}
	base, err := adminURL(listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w; name the address with --admin", err)
	}
	return &adminClient{base, func() (string, error) { return f.configToken(section) }}, nil
}

// configToken returns the token that is given, else the config's, which is for the config's own address only.
func (f *adminFlags) configToken(section *config.AdminSection) (string, error) {
	own, err := section.Tokens()
	if err == nil || f.tokenFile != "" || os.Getenv(tokenVariable) != "" {
		return f.token(own.TokenFile, own.ReadTokenFile)
	}
	return "", fmt.Errorf("no token in the config: %w; give it with --token-file or $%s", err, tokenVariable)
}

// token returns the first token that is given, else that of the first file that can be read: who may not read the first of
// them may still read the second.
func (f *adminFlags) token(files ...string) (string, error) {
	if f.tokenFile != "" {
		token, err := admin.ReadToken(f.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file %s: %w", f.tokenFile, err)
		}
		return token, nil
	}
	if token := os.Getenv(tokenVariable); token != "" {
		if !admin.IsPlain(token) {
			return "", errOddVariable
		}
		return token, nil
	}
	var problem error
	for _, path := range files {
		if path == "" {
			continue
		}
		token, err := admin.ReadToken(path)
		if err == nil {
			return token, nil
		}
		problem = errors.Join(problem, fmt.Errorf("the config's admin token, %s: %w", path, err))
	}
	return "", problem
}

// adminURL makes a URL of an address to listen at, or takes the URL that it is.
func adminURL(address string) (string, error) {
	if strings.Contains(address, "://") {
		parsed, err := url.Parse(address)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return "", fmt.Errorf("expected host:port or a URL, not %q", address)
		}
		return strings.TrimRight(address, "/"), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("expected host:port or a URL, not %q", address)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return "", fmt.Errorf("expected a port that can be asked, not %q", port)
	}
	return "http://" + net.JoinHostPort(reachable(host), port), nil
}

// reachable returns the host at which a server can be asked that listens at all of them.
func reachable(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip == netip.IPv4Unspecified():
		return "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		return "::1"
	}
	return host
}

// list reads as many pages as the limit needs, 0 being all, and returns the id before those that are left, or 0.
func (c *adminClient) list(ctx context.Context, kind keptKind, query url.Values, limit int, show func(admin.DeadLetters) error) (next uint64, err error) {
	for listed := 0; ; {
		size := admin.MaxList
		if limit > 0 {
			size = min(size, limit-listed)
		}
		query.Set("limit", strconv.Itoa(size))
		page, err := c.page(ctx, kind, query)
		if err != nil {
			return 0, err
		}
		if err := show(page); err != nil {
			return 0, err
		}
		listed += len(page.DeadLetters)
		if page.Next == 0 || limit > 0 && listed >= limit {
			return page.Next, nil
		}
		query.Set("after", strconv.FormatUint(page.Next, 10))
	}
}

func (c *adminClient) show(ctx context.Context, kind keptKind, id string) (deadLetter admin.DeadLetter, err error) {
	if err := c.do(ctx, http.MethodGet, kind.path+"/"+id, nil, &deadLetter); err != nil {
		return deadLetter, kind.failed(id, err)
	}
	return deadLetter, nil
}

// do sends one request and decodes the answer. A refusal is a *refusal.
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, into any) error {
	return c.send(ctx, method, path, query, nil, into)
}

// send is do with a body.
func (c *adminClient) send(ctx context.Context, method, path string, query url.Values, body io.Reader, into any) error {
	response, err := c.ask(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return c.decode(response, into)
}

// ask sends one request and returns the answer, whose body is to be closed.
func (c *adminClient) ask(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	if err := c.prove(request); err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return response, nil
}

// decode reads an answer.
func (c *adminClient) decode(response *http.Response, into any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	if response.StatusCode == http.StatusOK && json.Unmarshal(body, into) == nil {
		return nil
	}
	refused := &refusal{}
	if response.StatusCode == http.StatusOK || json.Unmarshal(body, refused) != nil || refused.Message == "" {
		return fmt.Errorf("%s answers (%s), but not as aka's admin server does: is it another program's address?", c.base, terminal.Plain(response.Status))
	}
	return refused
}

// prove adds the token, and that no web page sends the request.
func (c *adminClient) prove(request *http.Request) error {
	token, err := c.token()
	if err != nil {
		return err
	}
	request.Header.Set(admin.ProofHeader, "1")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}

func (c *adminClient) unreachable(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing listens at %s: aka must be running, and this be its admin address (admin.listen in its config, or --admin)", c.base)
	}
	if asking := (*url.Error)(nil); errors.As(err, &asking) {
		err = asking.Err
	}
	return fmt.Errorf("ask %s: %w", c.base, err)
}

// refusal is an answer that says no.
type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Count is how many dead letters it came to before.
	Count int `json:"count"`
}

// Error returns the message, and how to give a token where one is missing.
func (r *refusal) Error() string {
	text := terminal.PlainLines(r.Message) // the mistakes in a config, a line for each
	if r.Code == "token_required" {
		text += "; give it with --token-file or $" + tokenVariable
	}
	return text
}

// asRefusal returns nil for any other error.
func asRefusal(err error) (refused *refusal) {
	errors.As(err, &refused)
	return refused
}
