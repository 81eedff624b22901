package config

import (
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/ingress"
	"aka/router/logging"
	"aka/router/segment"
	"aka/router/spelling"
	"aka/router/strictyaml"
)

// minMemory is what the process needs to do more than collect garbage.
const minMemory = strictyaml.AutoSize(64 * strictyaml.MiB)

// NamePattern is what the names of sources and destinations match: fit for metrics' labels and the journal's subjects.
const NamePattern = `^[a-z0-9_-]{1,63}$`

var namePattern = regexp.MustCompile(NamePattern)

// What browsers say of a page has no path and no port that goes without saying, and its name is in ASCII. Anything else, a
// wildcard too, would let no page send. Apps and extensions that are made of pages have origins of their own.
var (
	originPattern = regexp.MustCompile(`(?i)^(?:https?|capacitor|ionic|tauri|(?:chrome|moz|safari-web)-extension)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$`)
	defaultPort   = regexp.MustCompile(`(?i)^(?:http://.*:80|https://.*:443)$`)
)

func (l *loader) checkName(section, name string) {
	if !namePattern.MatchString(name) {
		l.decoder.Add(section, "a name is 1 to 63 of a-z, 0-9, _ and -")
	}
}

// checkServer checks the keys that are the process's own.
func (l *loader) checkServer() {
	c, add := l.config, l.decoder.Add
	listen, admin := l.address("listen", c.Listen), l.address("admin.listen", c.Admin.Listen)
	if listen != nil && admin != nil && listen.conflicts(admin) {
		add("admin.listen", "in conflict with listen, %s; the admin server needs a port of its own", c.Listen)
	}
	l.checkAdmin(admin)
	l.checkTLS()
	c.Limits.Check(l.below("limits"))
	c.Otel.Check(l.below("otel"))
	l.oneOf("log.level", c.Log.Level, logging.Levels...)
	l.oneOf("log.format", c.Log.Format, logging.Formats...)
	if least := strictyaml.MiB * strictyaml.Size(max(len(c.Destinations), 1)); c.BufferBytes < least {
		add("buffer_bytes", "expected at least 1MiB for each destination, %s, not %s", least, c.BufferBytes)
	}
	if c.MemoryLimit > 0 && c.MemoryLimit < minMemory {
		add("memory_limit", "expected auto, 0 for none, or at least %s, not %s", minMemory, c.MemoryLimit)
	}
	if c.ShutdownTimeout <= 0 {
		add("shutdown_timeout", "expected more than 0s")
	}
}

// checkStaticDir comes when all that is private is known: nothing of it may be in a folder that anybody may read.
func (l *loader) checkStaticDir(dir string) {
	if dir == "" {
		return
	}
	folder, err := os.Stat(dir)
	if err != nil || !folder.IsDir() {
		l.decoder.Add("static_dir", "expected a folder that is there, not %q", dir)
		return
	}
	c := l.config
	for _, private := range append([]string{l.path, c.Journal.Dir, c.TLS.KeyFile, c.Merges.KeyFile, c.Admin.TokenFile, c.Admin.ReadTokenFile}, l.secretFiles...) {
		if private != "" && isBelow(folder, private) {
			l.decoder.Add("static_dir", "expected a folder without anything private, but %q has %q in it, which everybody could read", dir, private)
			return
		}
	}
}

// isBelow reports whether a path, which need not be there yet, leads to the folder or into it.
func isBelow(folder os.FileInfo, path string) bool {
	for path = realPath(path); ; path = filepath.Dir(path) {
		if about, err := os.Stat(path); err == nil && os.SameFile(about, folder) {
			return true
		}
		if path == filepath.Dir(path) {
			return false
		}
	}
}

// realPath follows the links of as much of the path as is there.
func realPath(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(path); err == nil || path == filepath.Dir(path) {
		return real
	}
	return filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
}

// hostPattern is a name as it is in a Host header, without a port.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$`)

// checkAdmin does not ask for the tokens' files where the config is tried without its secrets: without them the server denies
// all access.
func (l *loader) checkAdmin(listen *address) {
	a := &l.config.Admin
	if listen != nil && !listen.isLoopback() && !a.AreSet() {
		l.decoder.Add("admin.listen", "%s is not a loopback address: any client that reaches it could read and replay calls; "+
			"set admin.token_file, or listen on 127.0.0.1", a.Listen)
	}
	if l.options.MissingSecret == "" {
		a.Tokens.Check(l.below("admin"))
	}
	for i, host := range a.Hosts {
		if !hostPattern.MatchString(host) {
			l.decoder.Add(item("admin.hosts", i), "expected a name without a port, such as aka.internal, not %q", host)
		}
	}
}

// checkTLS leaves the certificate out where the config is tried without its secrets, if it is not there.
func (l *loader) checkTLS() {
	t := &l.config.TLS
	switch {
	case !t.IsSet():
	case t.CertFile == "" || t.KeyFile == "":
		l.decoder.Add("tls", "expected both cert_file and key_file, or neither")
	case l.options.MissingSecret != "":
		t.Check(func(string, string, ...any) { l.config.TLS = ingress.TLS{} })
	default:
		t.Check(l.below("tls"))
	}
}

func (l *loader) checkStorage() {
	c := l.config
	c.Journal.Check(l.below("journal"))
	c.DeadLetters.Check(l.below("dead_letters"))
	c.Dropped.Check(l.below("dropped"))
	if c.Journal.NATS != nil {
		l.decoder.Add("journal.nats", "an external NATS cluster is not yet available; leave it out to use the embedded journal")
	}
}

// checkEndpoint comes after the adapter, which has seen to it that an endpoint is a URL.
func (l *loader) checkEndpoint(key, endpoint string, allowPrivate bool) {
	u, err := url.Parse(endpoint)
	if err != nil || endpoint == "" {
		return
	}
	if err := httpclient.CheckHost(u.Hostname(), allowPrivate); err != nil {
		l.decoder.Add(key, "%v", err)
	}
}

func (l *loader) oneOf(key, value string, words ...string) {
	if err := adapter.OneOf(key, value, words...); err != nil {
		l.decoder.Add(key, "%s", err.(*adapter.SettingError).Problem)
	}
}

// checkSources comes after the destinations are known, and lists them all where a source does not choose.
func (l *loader) checkSources() {
	c, add := l.config, l.decoder.Add
	if len(c.Sources) == 0 {
		add("sources", "expected at least one")
	}
	if len(c.Destinations) == 0 {
		add("destinations", "expected at least one")
	}
	owners := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		l.checkSource(name, owners)
	}
}

func (l *loader) checkSource(name string, owners map[string]string) {
	section := "sources." + name
	source := l.config.Sources[name]
	l.checkName(section, name)
	if source.WriteKey.IsSet() && source.WriteKey.Reveal() == l.options.MissingSecret {
		source.WriteKey = adapter.NewSecret(name)
	}
	l.checkWriteKey(section+".write_key", name, source.WriteKey, owners)
	l.checkOrigins(section+".allowed_origins", source.AllowedOrigins)
	if source.IP == "" {
		source.IP = segment.KeepIP
	}
	l.oneOf(section+".ip", string(source.IP), string(segment.KeepIP), string(segment.AnonymizeIP), string(segment.DropIP))
	if w := source.ReorderWindow; w != nil && (*w < 0 || *w > ingress.MaxReorderWindow || *w%time.Millisecond != 0) {
		l.decoder.Add(section+".reorder_window", "expected 0s to %s, in whole milliseconds, not %s", ingress.MaxReorderWindow, *w)
	}
	if !(source.Rate >= 0) {
		l.decoder.Add(section+".rate", "expected calls per second or 0 for unlimited, not %v", source.Rate)
	}
	source.IDs.Check(l.below(section + ".ids"))
	if source.Destinations == nil {
		source.Destinations = slices.Sorted(maps.Keys(l.config.Destinations))
	} else {
		l.checkRoutes(section+".destinations", source.Destinations)
	}
	l.config.Sources[name] = source
}

// checkWriteKey never shows a key. owners are the sources by their keys so far.
func (l *loader) checkWriteKey(key, source string, secret adapter.Secret, owners map[string]string) {
	value := secret.Reveal()
	if value == "" {
		l.decoder.Add(key, "required")
		return
	}
	// Most ways to send a key would lose it.
	if strings.HasSuffix(value, ":") {
		l.decoder.Add(key, "expected no colon at the end")
		return
	}
	// The effective config shows every key as the same mask, and is to be a config again.
	if other, taken := owners[value]; taken && value != secret.String() {
		l.decoder.Add(key, "the same as that of sources.%s", other)
		return
	}
	owners[value] = source
}

func (l *loader) checkOrigins(key string, origins []string) {
	for i, origin := range origins {
		if !originPattern.MatchString(origin) || defaultPort.MatchString(origin) {
			l.decoder.Add(item(key, i), "expected an origin as browsers say it, such as https://app.example, not %q", origin)
		}
	}
}

func (l *loader) checkRoutes(key string, names []string) {
	if len(names) == 0 {
		l.decoder.Add(key, "expected at least one; leave it out for all")
	}
	for i, name := range names {
		if l.config.Destinations[name] == nil {
			known := slices.Collect(maps.Keys(l.config.Destinations))
			l.decoder.Add(item(key, i), "no destination is named %q%s", name, spelling.Hint(name, known))
		}
	}
}

func item(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// address is where a server listens.
type address struct{ host, port string }

func (l *loader) address(key, text string) *address {
	host, port, err := net.SplitHostPort(text)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		l.decoder.Add(key, "expected host:port, such as :8080 or 127.0.0.1:8080, not %q", text)
		return nil
	}
	return &address{host, strconv.FormatUint(number, 10)}
}

// conflicts reports whether two servers cannot both listen. Port 0 is any free one, and an unspecified host is all of them.
func (a *address) conflicts(b *address) bool {
	if a.port != b.port || a.port == "0" {
		return false
	}
	return a.host == b.host || a.everywhere() || b.everywhere()
}

// isLoopback reports whether only what runs on this machine reaches the address.
func (a *address) isLoopback() bool {
	ip := net.ParseIP(a.host)
	return strings.EqualFold(a.host, "localhost") || ip != nil && ip.IsLoopback()
}

func (a *address) everywhere() bool {
	ip := net.ParseIP(a.host)
	return a.host == "" || ip != nil && ip.IsUnspecified()
}
