package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/delivery"
	"aka/router/instance"
	"aka/router/mergerules"
	"aka/router/segment"
	"aka/router/spelling"
	"aka/router/strictyaml"
	"aka/router/terminal"
)

// maxConfigBytes is the largest config file.
const maxConfigBytes = 1 << 20

// LoadOptions change how a config is read. The zero value reads it for real.
type LoadOptions struct {
	// Lookup reads an environment variable. Default os.LookupEnv.
	Lookup func(name string) (value string, ok bool)
	// MissingSecret, when set, stands in for every secret whose variable or file is missing, so that a config can be tried
	// without its secrets. A source's missing write key becomes the source's name.
	MissingSecret string
	// Simulate, when set, gives each destination the endpoint to use instead of its own. The settings are the effective
	// ones, their secrets masked.
	Simulate func(name, vendorType string, settings *yaml.Node) (endpoint string, err error)
	// JournalDir, when set, is the journal's folder instead of the config's.
	JournalDir string
}

// Mistakes is the error of a config: everything that is wrong with it.
type Mistakes struct {
	// File is the path as given.
	File     string
	Problems []strictyaml.Problem
}

// Error returns one line per mistake: "config.yaml:12: destinations.vero.settings.auth_token: required". A mistake in the text of a
// value has its column too: "config.yaml:12:19: …".
func (m *Mistakes) Error() string {
	lines := make([]string, len(m.Problems))
	for i, p := range m.Problems {
		place := m.File
		if p.Line > 0 {
			place += ":" + strconv.Itoa(p.Line)
			if p.Column > 0 {
				place += ":" + strconv.Itoa(p.Column)
			}
		}
		if p.Key != "" {
			place += ": " + terminal.Plain(p.Key)
		}
		lines[i] = place + ": " + terminal.Plain(p.Message)
	}
	return strings.Join(lines, "\n")
}

// Load reads the config file and builds its destinations. The error, always *Mistakes, lists every mistake at once.
func Load(path string, options LoadOptions) (*Config, error) {
	content, err := readLimited(path)
	if err != nil {
		return nil, &Mistakes{path, []strictyaml.Problem{{Message: err.Error()}}}
	}
	document, problem := parseDocument(content)
	if problem != nil {
		return nil, &Mistakes{path, []strictyaml.Problem{*problem}}
	}
	l := newLoader(path, options)
	l.decoder.Source = content
	l.load(document)
	if problems := l.decoder.Problems(); len(problems) > 0 {
		return nil, &Mistakes{path, problems}
	}
	l.config.reload = func() (*Config, error) { return Load(path, options) }
	l.config.file, l.config.line = path, l.decoder.Lines()
	return l.config, nil
}

// parseDocument parses the file's only document. It passes over documents with nothing in them, such as one behind a --- at the end.
func parseDocument(content []byte) (*yaml.Node, *strictyaml.Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var only *yaml.Node
	for {
		document := &yaml.Node{}
		err := decoder.Decode(document)
		switch {
		case errors.Is(err, io.EOF) && (only == nil || isNull(only)):
			return nil, &strictyaml.Problem{Message: "the file is empty"}
		case errors.Is(err, io.EOF):
			return only, nil
		case err != nil:
			return nil, syntaxProblem(content, err)
		case isNull(document) && document.Content[0].Value == "":
		case only != nil:
			return nil, &strictyaml.Problem{Line: document.Line, Message: "a second document; a file holds one config"}
		default:
			only = document
		}
	}
}

// readTimeout bounds how long what is no ordinary file may take. A reload that waits would keep the process from ending.
const readTimeout = 5 * time.Second

func readLimited(path string) ([]byte, error) { return readWithin(path, readTimeout) }

// readWithin does not wait for a pipe's writer, and as long as given for what it writes.
func readWithin(path string, timeout time.Duration) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	_ = file.SetReadDeadline(time.Now().Add(timeout)) // ordinary files have none
	content, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(content) > maxConfigBytes {
		return nil, fmt.Errorf("the file is larger than %s", strictyaml.Size(maxConfigBytes))
	}
	return content, nil
}

// cause leaves out the path, which stands before the message already.
func cause(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

func isNull(document *yaml.Node) bool {
	return len(document.Content) == 1 && document.Content[0].Tag == "!!null"
}

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// countsFromZero are the messages of yaml.v3's parser, whose lines are one too low, unlike its scanner's.
	countsFromZero = regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<)`)
)

// syntaxProblem finds the line in a parser's error. Where it tells none, or hides what a person would look for, the bytes
// are searched for that.
func syntaxProblem(content []byte, err error) *strictyaml.Problem {
	parts := yamlError.FindStringSubmatch(err.Error())
	if parts == nil {
		return &strictyaml.Problem{Message: "not YAML: " + err.Error()}
	}
	line, _ := strconv.Atoi(parts[1])
	message := "not YAML: " + parts[2]
	switch {
	case countsFromZero.MatchString(parts[2]):
		line++
	case strings.Contains(parts[2], "tab character"), strings.Contains(parts[2], "cannot start any token"):
		if tabbed := firstLine(content, hasTabbedIndentation); tabbed > 0 {
			line, message = tabbed, "a tab in the indentation; YAML takes only spaces there"
		}
	case line == 0:
		line = firstLine(content, isNotText)
	}
	if hasExpression(content, line) {
		message += "; an expression that begins with = needs quotes where it has a comma, a brace, a bracket, a question mark, or a colon or # with a space"
	}
	return &strictyaml.Problem{Line: line, Message: message}
}

var expressionLeaf = regexp.MustCompile(`[:\[{,-] *=`)

// hasExpression reports whether an expression of a mapping stands on a line, or on the one before it: the parser often stops behind it.
func hasExpression(content []byte, line int) bool {
	lines := bytes.Split(content, []byte("\n"))
	for at := line - 2; at < line; at++ {
		if at >= 0 && at < len(lines) && expressionLeaf.Match(lines[at]) {
			return true
		}
	}
	return false
}

// firstLine returns the number of the first line for which found is true, or 0.
func firstLine(content []byte, found func(line []byte) bool) int {
	for i, line := range bytes.Split(content, []byte("\n")) {
		if found(line) {
			return i + 1
		}
	}
	return 0
}

func hasTabbedIndentation(line []byte) bool {
	text := bytes.TrimLeft(line, " \t")
	return len(text) > 0 && bytes.ContainsRune(line[:len(line)-len(text)], '\t')
}

func isNotText(line []byte) bool {
	isControl := func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\r' }
	return !utf8.Valid(line) || bytes.ContainsFunc(line, isControl)
}

// loader turns one document into a config and gathers what is wrong with it.
type loader struct {
	path        string
	options     LoadOptions
	decoder     *strictyaml.Decoder
	config      *Config
	secretFiles []string
	document    *yaml.Node
}

func newLoader(path string, options LoadOptions) *loader {
	if options.Lookup == nil {
		options.Lookup = os.LookupEnv
	}
	l := &loader{path: path, options: options, config: Default()}
	l.decoder = &strictyaml.Decoder{Lookup: options.Lookup, ReadFile: l.readSecret, MissingSecret: options.MissingSecret, Later: l.later}
	return l
}

// readSecret bounds what a mistaken path, such as a device, may cost.
func (l *loader) readSecret(path string) ([]byte, error) {
	l.secretFiles = append(l.secretFiles, path)
	content, err := readLimited(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

func (l *loader) load(document *yaml.Node) {
	l.document = document
	if ok := l.decoder.Decode(document, "", l.config); !ok && document.Content[0].Kind != yaml.MappingNode {
		return
	}
	l.config.Journal.DeadLetters, l.config.Journal.Dropped = l.config.DeadLetters, l.config.Dropped
	if l.options.JournalDir != "" {
		l.config.Journal.Dir = l.options.JournalDir
	}
	l.nameInstance()
	l.checkServer()
	l.checkStorage()
	l.config.Delivery.Check(l.below("delivery"))
	l.config.Merges.Check(l.below("merges"))
	l.config.IDs.Check(l.below("ids"))
	for _, name := range slices.Sorted(maps.Keys(l.config.Destinations)) {
		l.buildDestination(name)
	}
	l.checkSources()
	l.checkStaticDir(l.config.StaticDir)
}

// nameInstance finds the name of this aka. If it has none yet, a start makes one.
func (l *loader) nameInstance() {
	given := l.config.Instance
	if given == "" {
		l.config.instance, _ = instance.Read(l.config.Journal.Dir) // a start says what is wrong with it
		return
	}
	l.config.instance = given
	if mistake := (*adapter.SettingError)(nil); errors.As(adapter.CheckInstance("instance", given), &mistake) {
		l.decoder.Add(mistake.Key, "%s", mistake.Problem)
	}
}

// later says what the sections of a destination that its vendor has a part in are decoded into.
func (l *loader) later(key string) any {
	name, section, _ := strings.Cut(strings.TrimPrefix(key, "destinations."), ".")
	switch section {
	case "delivery":
		return &delivery.Options{}
	case "merges":
		return &mergerules.Options{}
	case "settings":
		vendorType := name
		if given := valueAt(l.document.Content[0], "destinations", name, "type"); given != nil && given.Value != "" {
			vendorType = given.Value
		}
		return destinations.SettingsOf(vendorType)
	}
	return nil
}

// valueAt returns what stands at a path of keys, or nil.
func valueAt(node *yaml.Node, path ...string) *yaml.Node {
	for _, name := range path {
		at := -1
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				at = i + 1
			}
		}
		if at < 0 {
			return nil
		}
		node = node.Content[at]
	}
	return node
}

// below returns the decoder's Add for keys below a section.
func (l *loader) below(section string) func(key, format string, args ...any) {
	return func(key, format string, args ...any) { l.decoder.Add(section+"."+key, format, args...) }
}

func (l *loader) buildDestination(name string) {
	section := "destinations." + name
	d := l.config.Destinations[name]
	if d == nil {
		d = &Destination{}
		l.config.Destinations[name] = d
	}
	l.checkName(section, name)
	known := l.isKnown(section, name, d)
	l.checkWasType(section, d.WasType)
	l.checkMode(section, d)
	l.overrideDelivery(section, d)
	l.overrideMerges(section, d)
	edits := d.Edits.Compile(l.decoder, section)
	if known {
		l.buildVendor(name, section, d)
	}
	if d.Destination != nil {
		d.Destination.Transform = edits
	}
	d.Overrides = strictyaml.Node(d.Delivery)
}

// isKnown reports whether there is a vendor of a destination's type, which is its name when it gives none.
func (l *loader) isKnown(section, name string, d *Destination) bool {
	problem := "unknown vendor %q; known are %s%s"
	if d.Type == "" {
		d.Type = name
		problem = "required where the name, %q, is no vendor's; known are %s%s"
	}
	_, known := destinations.Vendors[d.Type]
	if !known {
		types := destinations.Types()
		l.decoder.Add(section+".type", problem, d.Type, strings.Join(types, ", "), spelling.Hint(d.Type, types))
	}
	return known
}

// checkWasType finds a mistyped one before a start or a reload is refused for it.
func (l *loader) checkWasType(section, was string) {
	if types := destinations.Types(); was != "" && !slices.Contains(types, was) {
		l.decoder.Add(section+".was_type", "unknown vendor %q; known are %s%s", was, strings.Join(types, ", "), spelling.Hint(was, types))
	}
}

func (l *loader) checkMode(section string, d *Destination) {
	switch d.Mode {
	case "":
		d.Mode = ModeLive
	case ModeLive, ModeDry:
	default:
		l.decoder.Add(section+".mode", "unknown mode %q; known are live, dry", d.Mode)
	}
}

// overrideDelivery lays a destination's own keys over the defaults.
func (l *loader) overrideDelivery(section string, d *Destination) {
	d.Delivery = l.config.Delivery
	l.decoder.Decode(d.Overrides, section+".delivery", &d.Delivery)
	l.checkOverrides(section+".delivery.", l.config.Delivery.Check, d.Delivery.Check)
	if l.options.Simulate != nil {
		d.Delivery.AllowPrivate = true // that is where the simulated vendors are
	}
}

// overrideMerges lays a destination's own keys over the defaults.
func (l *loader) overrideMerges(section string, d *Destination) {
	d.MergeOptions = l.config.Merges.Options
	l.decoder.Decode(d.MergeOverrides, section+".merges", &d.MergeOptions)
	l.checkOverrides(section+".merges.", l.config.Merges.Check, d.MergeOptions.Check)
	d.MergeOverrides = strictyaml.Node(d.MergeOptions)
}

// check is a section's check: it reports every value that is out of its range.
type check func(report func(key, format string, args ...any))

// checkOverrides reports what is wrong with a section that overrides another, without what it has from that one.
func (l *loader) checkOverrides(section string, defaults, own check) {
	inherited := map[string]bool{}
	defaults(func(key, _ string, _ ...any) { inherited[key] = true })
	own(func(key, format string, args ...any) {
		if !inherited[key] {
			l.decoder.Add(section+key, format, args...)
		}
	})
}

func (l *loader) buildVendor(name, section string, d *Destination) {
	settings := &settings{loader: l, name: name, vendorType: d.Type, node: d.Settings, key: section + ".settings"}
	built, err := destinations.New(name, d.Type, settings)
	for _, mistake := range flatten(err) {
		if setting := (*adapter.SettingError)(nil); errors.As(mistake, &setting) {
			l.addSetting(settings.key+"."+setting.Key, setting)
		} else {
			l.decoder.Add(settings.key, "%v", mistake)
		}
	}
	if err != nil {
		return
	}
	if settings.failed != nil {
		l.decoder.Add(settings.key+".endpoint", "%v", settings.failed)
	}
	l.checkEndpoint(settings.key+".endpoint", built.Adapter.Shared().Endpoint, d.Delivery.AllowPrivate)
	if addressed, ok := built.Adapter.(adapter.Addressed); ok {
		key, address := addressed.Address()
		l.checkEndpoint(settings.key+"."+key, address, d.Delivery.AllowPrivate)
	}
	built.Names = append(built.Names, d.IntegrationNames...)
	built.Lenient = d.LenientNames
	if d.RememberMerges == nil {
		vendors := built.RememberMerges
		d.RememberMerges = &vendors
	}
	built.RememberMerges = *d.RememberMerges
	if _, ok := built.Merger(); built.RememberMerges && !ok {
		l.decoder.Add(section+".remember_merges", "the adapter of %s does not say what is merged there", d.Type)
	}
	if d.Delivery.Order == "" {
		d.Delivery.Order = built.Order
	}
	built.Order = d.Delivery.Order
	built.Masker = adapter.NewMasker(settings.secrets)
	settings.names = segment.Names{List: built.Names, Lenient: built.Lenient}
	d.Destination = built
	d.Settings = strictyaml.Node(settings.into)
}

// addSetting reports a mistake of a vendor's settings, on its own line where the vendor knows it.
func (l *loader) addSetting(key string, mistake *adapter.SettingError) {
	if mistake.Line > 0 {
		l.decoder.AddAt(mistake.Line, mistake.Column, key, mistake.Problem)
		return
	}
	l.decoder.Add(key, "%s", mistake.Problem)
}

// flatten returns the errors that were joined into one.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var all []error
	for _, inner := range joined.Unwrap() {
		all = append(all, flatten(inner)...)
	}
	return all
}

// settings is one destination's section, for its vendor to decode.
type settings struct {
	loader           *loader
	name, vendorType string
	key              string
	node             *yaml.Node

	into    any
	secrets []adapter.Secret
	failed  error
	names   segment.Names
}

// Environment is what adapter.EnvironmentOf asks for.
func (s *settings) Environment() adapter.Environment {
	return adapter.Environment{Instance: &s.loader.config.instance, Names: &s.names}
}

// Decode reports to the loader what is wrong, and returns nil, so that the vendor goes on to its own checks and all
// mistakes are known at once.
func (s *settings) Decode(into any) error {
	decoder := s.loader.decoder
	before := len(decoder.Secrets())
	ok := decoder.Decode(s.node, s.key, into)
	for _, value := range decoder.Secrets()[before:] {
		s.secrets = append(s.secrets, adapter.NewSecret(value))
	}
	s.into = into
	if ok && s.loader.options.Simulate != nil {
		s.failed = s.simulate(into)
	}
	return nil
}

// simulate overrides the endpoint, whatever the settings said.
func (s *settings) simulate(into any) error {
	endpoint, err := s.loader.options.Simulate(s.name, s.vendorType, strictyaml.Node(into))
	if err != nil {
		return err
	}
	override := strictyaml.Node(map[string]string{"endpoint": endpoint})
	s.loader.decoder.Decode(override, s.key, into)
	return nil
}
