package docs

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// A dialect is a word that this project once had for something that has another name in its field, and what to write instead. In
// a name it is words in lower case, as they follow each other: "turn away" finds turnAway.
type dialect struct {
	word, use string
}

// namesOfOld are not to come back in names of Go, metrics, fields of JSON and keys.
var namesOfOld = []dialect{
	{"grave", "dead letter"}, {"graves", "dead letters"}, {"bury", "store dead letters"}, {"buried", "stored"}, {"burial", "storing"},
	{"letter", "dead letter"}, {"letters", "dead letters"},
	{"chore", "storage job"}, {"chores", "storage jobs"},
	{"standing", "state"}, {"restamp", "write the manifest"},
	{"keeper", "orphan"},
	{"held letters", "blocking dead letters"},
	{"aside", "parked"},
	{"flyer", "worker"}, {"flyers", "workers"}, {"landed", "published"},
	{"recollection", "snapshot"},
	{"peeker", "liveness"},
	{"discreet", "redact"},
	{"steer", "control"}, {"steers", "controls"}, {"steering", "control"}, {"steered", "controlled"},
	{"saw", "observe"}, {"linger", "idle timeout"}, {"began look", "on start"},
	{"witness", "log observer"}, {"testimony", "observations"},
	{"crowd", "workload"}, {"tally", "order checker"}, {"guest", "fixture"}, {"tenure", "fixture"},
	{"trouble", "last error"}, {"guesser", "client"}, {"guessers", "clients"}, {"guesses", "login limiter"},
	{"turn away", "reject"}, {"patient", "retrying"},
	{"suspect", "possibly delivered"}, {"in doubt", "possibly delivered"}, {"doubt", "possibly delivered"}, {"ambiguous", "possibly delivered"},
	{"epoch", "success count"},
	{"book", "account state"}, {"gate", "count of users, permit, breaker"}, {"quiet", "idle, or discard of a log"},

	{"most known", "max found"}, {"known merge", "lookup"},
	{"mend", "repair"}, {"nobody", "none, or who it is"}, {"whoever", "who it is"}, {"whom", "who it is"}, {"for ever", "always"},
}

// riddleWords are not to come back in comments, messages, help and docs: many readers have English as a second language.
var riddleWords = []dialect{
	{`nobody`, "no, none, or say who"},
	{`whoever`, "say who"},
	{`whom`, "a sentence without it"},
	{`for ever`, "always, or without a limit"},
	{`stands? for`, "is, means, represents"},
	{`mend(?:s|ed)?`, "repair, correct"},
	{`goes by`, "uses, follows"},
	{`lets? go`, "drops, releases"},
	{`(?:is|are|was|were|be) told`, "say what is reported, and to what"},
	{`tells? whether`, "reports whether"},
	{`no more[.,;:)]`, "no longer, none left"}, // "no more calls" and "no more than" are plain
	// Old names that mean nothing else in this project.
	{`graves?`, "dead letter"},
	{`bury|bur(?:ies|ied|ials?)`, "store a dead letter"},
	{`chores?`, "storage job"},
	{`keepers?`, "orphan"},
	{`flyers?`, "worker"},
	{`recollections?`, "snapshot"},
	{`peekers?`, "liveness check"},
	{`discreet`, "redact"},
	{`steer(?:s|ed|ing)?`, "control"},
	{`witness(?:es)?|testimony`, "log observer"},
	{`guessers?`, "client"},
	{`ambiguous|in doubt|doubts?`, "possibly delivered"},
}

// maxMessage is how many words a log message may have. Advice goes into the field hint.
const maxMessage = 8

// An exception is a place where a word is right.
type exception struct {
	file string // or a folder, which ends in a slash
	word string // as in the tables
	why  string
}

var exceptions = []exception{
	{"router/cli/man.go", "epoch", "SOURCE_DATE_EPOCH is the name of a standard"},
	{"destinations/adapter/placeholder.go", "guest", "a word that sites put before ids"},
	{"destinations/adapter/placeholder.go", "book", "in the address of a page about Swift"},
}

// finding is a word in a place.
type finding struct {
	file string
	line int
	dialect
	text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %q: write %s: %s", f.file, f.line, f.word, f.use, f.text)
}

func TestTheDialectDoesNotComeBack(t *testing.T) {
	used := make([]bool, len(exceptions))
	for _, f := range findings(t) {
		i := slices.IndexFunc(exceptions, func(e exception) bool {
			return (e.file == f.file || strings.HasSuffix(e.file, "/") && strings.HasPrefix(f.file, e.file)) && (e.word == f.word || e.word == "")
		})
		if i < 0 {
			t.Error(f)
		} else {
			used[i] = true
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			t.Errorf("the exception for %q in %s (%s) is not needed", e.word, e.file, e.why)
		}
	}
}

func TestTheTablesFindWhatTheyAreFor(t *testing.T) {
	source := `package p

// Whom it goes by is told. Its chores are no more.
type heldLetters struct{ deadLetters, turnAwayAll int }

func f(log interface{ Warn(string) }) { log.Warn("a message that has more than eight words, so that it is found") }
`
	var found []string
	for _, f := range inGo(t, "p.go", source) {
		found = append(found, fmt.Sprint(f.line, " ", f.word))
	}
	want := []string{"3 whom", "3 goes by", "3 (?:is|are|was|were|be) told", "3 chores?", "3 no more[.,;:)]", "4 letters", "4 held letters", "4 turn away", "6 more than 8 words"}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if f := inText("p.md", "a\nFor ever: `aka_held_letters`.\n"); len(f) != 3 || f[0].line != 2 {
		t.Errorf("found %v", f)
	}
}

func findings(t *testing.T) (all []finding) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if slices.Contains([]string{".git", ".ci", "node_modules", "testdata"}, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if name == "CHANGELOG.md" { // it has the old names
			return nil
		}
		switch filepath.Ext(name) {
		case ".go":
			all = append(all, inGo(t, name, read(t, name))...)
		case ".md", ".yml", ".yaml", ".js", ".html", ".service":
			all = append(all, inText(name, read(t, name))...)
		case ".json":
			if strings.HasPrefix(name, "deploy/") {
				all = append(all, inText(name, read(t, name))...)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// inGo finds the words in names that are declared, in comments and in strings, and log messages that are too long. Strings of
// tests are left out: they are what is said to a program, and what it says.
func inGo(t *testing.T, name, source string) (found []finding) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	line := func(at token.Pos) int { return files.Position(at).Line }
	for _, group := range file.Comments {
		for _, c := range group.List {
			found = append(found, riddlesIn(name, line(c.Pos()), c.Text)...)
		}
	}
	isTest := strings.HasSuffix(name, "_test.go")
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && !isTest {
				found = append(found, inString(name, line(n.Pos()), text)...)
			}
		case *ast.CallExpr:
			if text, ok := logMessage(n); ok && len(strings.Fields(text)) > maxMessage && !isTest || ok && name == "p.go" {
				found = append(found, finding{name, line(n.Pos()), dialect{fmt.Sprintf("more than %d words", maxMessage), "the advice into a hint"}, text})
			}
		}
		return true
	})
	for _, id := range declared(file) {
		found = append(found, oldNamesIn(name, line(id.Pos()), id.Name)...)
	}
	return found
}

// inString finds riddleWords in prose, and old names in the names of metrics, fields and keys.
func inString(name string, line int, text string) []finding {
	if strings.Contains(text, " ") {
		var found []finding
		for i, part := range strings.Split(text, "\n") {
			found = append(found, riddlesIn(name, line+i, part)...)
		}
		return found
	}
	return oldNamesIn(name, line, text)
}

// logMessage returns the message of a call of the log, where it is constant.
func logMessage(call *ast.CallExpr) (string, bool) {
	called, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, called.Sel.Name) {
		return "", false
	}
	if on, ok := called.X.(*ast.Ident); ok && on.Name == "t" { // a test's
		return "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

// declared returns the names that a file declares.
func declared(file *ast.File) (names []*ast.Ident) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			names = append(names, n.Name)
		case *ast.TypeSpec:
			names = append(names, n.Name)
		case *ast.Field:
			names = append(names, n.Names...)
		case *ast.ValueSpec:
			names = append(names, n.Names...)
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if id, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
					names = append(names, id)
				}
			}
		case *ast.RangeStmt:
			for _, left := range []ast.Expr{n.Key, n.Value} {
				if id, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
					names = append(names, id)
				}
			}
		}
		return true
	})
	return names
}

// metricName is a metric's, or a field's, in a text.
var metricName = regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)+\b`)

func inText(name, text string) (found []finding) {
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for number := 1; lines.Scan(); number++ {
		found = append(found, riddlesIn(name, number, lines.Text())...)
		for _, metric := range metricName.FindAllString(lines.Text(), -1) {
			found = append(found, oldNamesIn(name, number, metric)...)
		}
	}
	return found
}

// wordPattern is how a word is found. A text without its beginning does not have it: a look for that takes less than the pattern.
type wordPattern struct {
	begins  string
	pattern *regexp.Regexp
}

var wordPatterns = func() (all []wordPattern) {
	for _, r := range riddleWords {
		begins, _ := regexp.MustCompile(r.word).LiteralPrefix()
		end := `\b`
		if strings.HasSuffix(r.word, "]") { // it has its own
			end = ""
		}
		all = append(all, wordPattern{strings.ToLower(begins), regexp.MustCompile(`(?i)\b(?:` + r.word + `)` + end)})
	}
	return all
}()

func riddlesIn(name string, line int, text string) (found []finding) {
	lower := strings.ToLower(text)
	for i, r := range wordPatterns {
		if strings.Contains(lower, r.begins) && r.pattern.MatchString(text) {
			found = append(found, finding{name, line, riddleWords[i], strings.TrimSpace(text)})
		}
	}
	return found
}

// noOldNames are the names in which none was found: most are used again and again.
var noOldNames = map[string]bool{}

// oldNamesIn finds old words in a name. A dead letter is no letter.
func oldNamesIn(file string, line int, name string) (found []finding) {
	if noOldNames[name] {
		return nil
	}
	split := " " + strings.Join(wordsOf(name), " ") + " "
	split = strings.NewReplacer(" dead letters ", " ", " dead letter ", " ").Replace(split)
	for _, old := range namesOfOld {
		if strings.Contains(split, " "+old.word+" ") {
			found = append(found, finding{file, line, old, name})
		}
	}
	noOldNames[name] = len(found) == 0
	return found
}

// wordsOf splits a name at its capitals and underscores.
func wordsOf(name string) (words []string) {
	runes := []rune(name)
	start := 0
	cut := func(end int) {
		if word := strings.Trim(strings.ToLower(string(runes[start:end])), "_-./"); word != "" {
			words = append(words, word)
		}
		start = end
	}
	for i := 1; i < len(runes); i++ {
		next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
		switch {
		case strings.ContainsRune("_-./", runes[i]), unicode.IsUpper(runes[i]) && (unicode.IsLower(runes[i-1]) || next):
			cut(i)
		}
	}
	cut(len(runes))
	return words
}

func TestWordsOf(t *testing.T) {
	for name, want := range map[string]string{
		"turnAway": "turn away", "HTTPServer": "http server", "aka_held_letters": "aka held letters", "ids": "ids", "userID": "user id",
	} {
		if got := strings.Join(wordsOf(name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
