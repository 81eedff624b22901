package docs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// step is a block of commands on a page, and what comes out of it where the page shows that.
var step = regexp.MustCompile("(?s)(<!-- not run -->\n)?```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?")

// With -update the pages show what came out.
func TestTheCommandsOfThePagesDoWhatThePagesSay(t *testing.T) {
	for _, name := range []string{"docs/getting-started.md", "docs/in-front.md", "docs/your-vendor.md", "docs/preflight.md"} {
		t.Run(name, func(t *testing.T) { followPage(t, page{name, read(t, name)}) })
	}
}

func followPage(t *testing.T, p page) {
	r := newReader(t, p.text)
	expect(t, p, step.ReplaceAllStringFunc(p.text, func(block string) string {
		m := step.FindStringSubmatch(block)
		before, want, shows := strings.Cut(block, "```text\n")
		if m[1] != "" {
			return block
		}
		got := r.follow(m[2], strings.TrimSuffix(want, "```\n"), shows)
		if !shows {
			return block
		}
		return before + "```text\n" + got + "```\n"
	}))
}

var shortConfig = regexp.MustCompile("(?s)This is the file:\n\n```yaml\n(.*?)```\n")

func TestTheShortConfigOfGettingStartedIsWhatInitWrites(t *testing.T) {
	m := shortConfig.FindStringSubmatch(read(t, "docs/getting-started.md"))
	if m == nil {
		t.Fatal("the page has no such config")
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if out, code := aka("", "init", "vero", "--output", path); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if written, err := os.ReadFile(path); err != nil || string(written) != m[1] {
		t.Errorf("init writes another one (%v):\n%s", err, written)
	}
}

// reader is somebody who follows the page in a folder of their own.
type reader struct {
	t     *testing.T
	dir   string
	shell *shell
	serve *exec.Cmd // the aka of the other terminal
	page  string
	// real are the addresses here, by what the page has in their place.
	real map[string]string
}

func newReader(t *testing.T, text string) *reader {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the page's commands want curl: ", err)
	}
	dir := t.TempDir()
	if err := harness.Build(filepath.Join(dir, "bin", "aka")); err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, dir: dir, page: text, real: map[string]string{":8080": freePort(t), ":9090": freePort(t)}}
	r.shell = newShell(t, dir)
	t.Cleanup(r.stop)
	return r
}

// freePort returns one, as :PORT.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprintf(":%d", l.Addr().(*net.TCPAddr).Port)
}

// patience is how long what was sent may take to arrive. Where the page is written anew, what to wait for is unknown.
func patience() time.Duration {
	if *update {
		return time.Second
	}
	return 5 * time.Minute
}

// follow runs a block, and returns what the page should show of it. What only reads is run again until it shows that.
func (r *reader) follow(commands, want string, shows bool) string {
	r.t.Helper()
	if strings.HasPrefix(commands, "aka serve") {
		r.start(strings.Fields(commands))
		return ""
	}
	switch {
	case commands == "aka reload\n":
		r.edit()
	case strings.Contains(commands, "--probe"):
		r.openAccounts()
	}
	onlyReads := regexp.MustCompile(`^(aka (dead (list|show)|destination status)|CONTROL=)`).MatchString(commands)
	for deadline := time.Now().Add(patience()); ; {
		got := r.asOnPage(r.shell.run(r.asHere(commands)))
		r.moveConfig()
		if !shows || !onlyReads || got == want || time.Now().After(deadline) {
			return got
		}
	}
}

func (r *reader) asHere(text string) string {
	for page, here := range r.real {
		text = strings.ReplaceAll(text, page, here)
	}
	return text
}

var (
	moments = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	ages    = regexp.MustCompile(`(\d+(ms|[hms]))+ ago`)
	runs    = regexp.MustCompile(`\b(aka-verify-|run )[a-f][0-9a-f]{7}\b`)
	records = regexp.MustCompile(`Verified on \S+ (.*), endpoint [0-9.:]+\)`)
)

// asOnPage puts the page's addresses and times in place of those here.
func (r *reader) asOnPage(text string) string {
	for page, here := range r.real {
		text = strings.ReplaceAll(text, here, page)
	}
	text = moments.ReplaceAllString(text, "2026-11-22T11:39:07Z")
	text = runs.ReplaceAllString(text, "${1}a1b2c3d4")
	text = records.ReplaceAllString(text, "Verified on 2026-11-22 $1)")
	return ages.ReplaceAllString(text, "1s ago")
}

// more is the piece of config that the page adds.
var more = regexp.MustCompile("(?s)\n```yaml\ndestinations:\n(.*?)```\n")

// edit adds the page's piece to the config, as a reader does.
func (r *reader) edit() {
	r.change(func(text string) string {
		return strings.Replace(text, "\ndestinations:\n", "\ndestinations:\n"+more.FindStringSubmatch(r.page)[1], 1)
	})
}

// moveConfig has the config listen at free addresses. The page's lines keep their numbers: what is added stands below.
func (r *reader) moveConfig() {
	if _, err := os.Stat(filepath.Join(r.dir, "config.yaml")); err != nil {
		return // there is none yet
	}
	r.change(func(text string) string {
		if strings.Contains(text, "\nlisten: ") {
			return text
		}
		return fmt.Sprintf("%slisten: 127.0.0.1%s\nadmin: { listen: 127.0.0.1%s }\n", text, r.real[":8080"], r.real[":9090"])
	})
}

// change writes the config anew.
func (r *reader) change(by func(string) string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "config.yaml")
	text, err := os.ReadFile(path)
	r.check(err)
	r.check(os.WriteFile(path, []byte(by(string(text))), 0o600))
}

// start runs aka in the other terminal, once it has stopped the one there, and returns when it takes calls.
func (r *reader) start(words []string) {
	r.t.Helper()
	r.stop()
	r.serve = exec.Command(filepath.Join(r.dir, "bin", words[0]), words[1:]...)
	r.serve.Dir = r.dir
	r.serve.Env = strings.Split(strings.TrimSpace(r.shell.run("env")), "\n")
	log, err := r.serve.StderrPipe()
	r.check(err)
	r.check(r.serve.Start())
	control := regexp.MustCompile(`"control":"http://([^/]*)/`)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if m := control.FindStringSubmatch(lines.Text()); m != nil {
			r.real["127.0.0.1:43643"] = m[1]
		}
		if strings.Contains(lines.Text(), `"msg":"ready"`) {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return
		}
	}
	r.t.Fatalf("%v: not ready", words)
}

// stop is the reader's Ctrl-C.
func (r *reader) stop() {
	if r.serve == nil {
		return
	}
	_ = r.serve.Process.Signal(syscall.SIGINT)
	if err := r.serve.Wait(); err != nil {
		r.t.Errorf("aka serve: %v", err)
	}
	r.serve = nil
}

// openAccounts has the config send to simulated vendors that know the page's tokens.
func (r *reader) openAccounts() {
	sim, err := simulator.Start("127.0.0.1:0")
	r.check(err)
	r.t.Cleanup(func() { _ = sim.Close() })
	endpoint := func(name, idMerge, token, vendors string) string {
		here, err := sim.Add(name, name, simulator.Options{IDMerge: idMerge, Token: token})
		r.check(err)
		r.real[vendors] = here
		return here
	}
	vero := endpoint("vero", "", "your-token", "https://api.getvero.com/api/v2")
	mixpanel := endpoint("mixpanel", "simplified", "your-project-token", "https://api.mixpanel.com")
	toThem := strings.NewReplacer(
		`auth_token: "${VERO_AUTH_TOKEN}"`, `auth_token: "${VERO_AUTH_TOKEN}"`+"\n      endpoint: "+vero,
		`token: "${MIXPANEL_TOKEN}"`, `token: "${MIXPANEL_TOKEN}", endpoint: "`+mixpanel+`"`,
	)
	r.change(func(text string) string { return toThem.Replace(text) + "delivery: { allow_private: true }\n" })
}

func (r *reader) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// shell is one bash that all blocks are typed into.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

// mark ends what one block prints.
const mark = "-- that was the block --"

func newShell(t *testing.T, dir string) *shell {
	t.Helper()
	bash := exec.Command("bash")
	bash.Dir = dir
	bash.Env = []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
	in, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := bash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stderr = bash.Stdout
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = bash.Wait()
	})
	return &shell{t, in, bufio.NewReader(out)}
}

// run types commands and returns what they print, each from the beginning of a line.
func (s *shell) run(commands string) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.in, "curl() { command curl --silent --show-error \"$@\" | awk 1; }\n%s\necho '%s'\n", commands, mark); err != nil {
		s.t.Fatal(err)
	}
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%s: the shell has ended: %v\n%s", commands, err, all.String())
		}
		if line == mark+"\n" {
			return all.String()
		}
		all.WriteString(line)
	}
}
