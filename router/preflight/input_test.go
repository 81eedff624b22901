package preflight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"aka/router/config"
	"aka/router/config/configtest"
	"aka/router/journal"
)

const twoSources = `
sources:
  app: { write_key: write-key-of-the-app }
  website: { write_key: write-key-of-the-website }
destinations:
  kissmetrics: { settings: { api_key: k } }
`

// taken are the calls that are read, in the order in which they run: "source messageId userId time".
func taken(t *testing.T, c *config.Config, o Options, inputs ...Input) (calls []string, found InputReport) {
	t.Helper()
	r := newPreflight(c, o)
	defer r.disk.remove()
	sorted, err := r.read(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	err = sorted.each(func(_ place, e *journal.Entry) error {
		calls = append(calls, fmt.Sprintf("%s %s %s %s", e.Source, e.MessageID, e.UserID, e.ReceivedAt.UTC().Format("15:04:05")))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return calls, r.report.Input
}

func zipped(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return out.String()
}

func zstandard(text string) string {
	var out bytes.Buffer
	w, _ := zstd.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return out.String()
}

const oneCall = `{"type":"track","event":"E","messageId":"m1","userId":"u1","receivedAt":"2026-01-01T10:00:00Z"}`

func TestEveryFormOfAnExportIsRead(t *testing.T) {
	c := loadText(t, threeVendors)
	want := []string{"website m1 u1 10:00:00"}
	for name, text := range map[string]string{
		"a line":                oneCall,
		"with a byte order":     "\xef\xbb\xbf" + oneCall + "\r\n\r\n",
		"gzip":                  zipped(oneCall + "\n"),
		"two members of gzip":   zipped("\n") + zipped(oneCall),
		"zstd":                  zstandard(oneCall),
		"a batch":               `{"batch":[` + oneCall + `],"sentAt":"2026-01-01T10:00:00Z"}`,
		"an array":              "[" + oneCall + "]",
		"a batch over lines":    "{\n \"batch\": [\n" + oneCall + "\n]\n}\n",
		"a batch with a time":   `{"receivedAt":"2026-01-01T10:00:00Z","batch":[{"type":"track","event":"E","messageId":"m1","userId":"u1"}]}`,
		"a dump of RudderStack": `{"userId":"x","payload":{"batch":[{"type":"track","event":"E","messageId":"m1","userId":"u1"}],"receivedAt":"2026-01-01T10:00:00Z","requestIP":"::1"},"createdAt":"2026-01-01T11:00:00Z","messageId":"j"}`,
		"one call of a dump":    `{"userId":"x","payload":{"type":"track","event":"E","messageId":"m1","userId":"u1"},"createdAt":"2026-01-01T10:00:00Z","messageId":"j"}`,
		"by its timestamp":      `{"type":"track","event":"E","messageId":"m1","userId":"u1","timestamp":"2026-01-01T10:00:00Z","sentAt":"2026-02-01T10:00:00Z"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, found := taken(t, c, Options{}, textInput("f", text))
			if !slices.Equal(got, want) || found.Unreadable > 0 || len(found.Damaged) > 0 {
				t.Errorf("got %q, %+v", got, found)
			}
		})
	}
}

func timedCall(id string, receivedAt string) string {
	return fmt.Sprintf(`{"type":"track","event":"E","messageId":%q,"userId":"u"%s}`, id, receivedAt)
}

func TestCallsOfAllFilesAreSortedByTime(t *testing.T) {
	at := func(text string) string { return `,"receivedAt":"2026-01-01T` + text + `Z"` }
	first := textInput("first", strings.Join([]string{
		timedCall("c", at("10:00:02")), timedCall("c2", ""), timedCall("a", at("10:00:00")), timedCall("d", at("10:00:03")),
	}, "\n"))
	second := textInput("second", timedCall("b", at("10:00:01"))+"\n"+timedCall("d2", at("10:00:03")))
	ids := func(o Options) (ids string) {
		calls, _ := taken(t, loadText(t, threeVendors), o, first, second)
		for _, call := range calls {
			ids += " " + strings.Fields(call)[1]
		}
		return ids
	}
	if got := ids(Options{}); got != " a b c c2 d d2" {
		t.Errorf("sorted: %s", got)
	}
	if got := ids(Options{AsIs: true}); got != " c c2 a d b d2" {
		t.Errorf("as is: %s", got)
	}
}

// Of what does not fit into memory the order is the same.
func TestALargeExportIsSortedOnDisk(t *testing.T) {
	c := loadText(t, threeVendors)
	folder := ""
	o := Options{Folder: func() (string, error) {
		folder = filepath.Join(t.TempDir(), "spill")
		return folder, os.Mkdir(folder, 0o700)
	}}
	r := newPreflight(c, o.withDefaults())
	r.disk.free = 100 << 10
	sorted := newSorter(r.disk, false)
	const calls = 20_000
	for i := range calls {
		at := time.Date(2026, 1, 1, 0, 0, i*7919%calls, 0, time.UTC)
		e := &journal.Entry{Source: "website"}
		e.Type, e.MessageID, e.UserID, e.ReceivedAt, e.JSON = 3, fmt.Sprint("m", i), "u", at, []byte(fmt.Sprintf(`{"n":%d,"x":"%x"}`, i, i*i*i))
		if err := sorted.add(at.UnixNano(), placeOf(0, i), e); err != nil {
			t.Fatal(err)
		}
		if i%3000 == 0 {
			if err := sorted.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := sorted.end(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(folder); len(files) == 0 {
		t.Fatal("nothing is on disk")
	}
	last, n := time.Time{}, 0
	err := sorted.each(func(at place, e *journal.Entry) error {
		if e.ReceivedAt.Before(last) || e.MessageID != fmt.Sprint("m", at.line()) {
			t.Fatalf("%s of line %d comes after %s", e.MessageID, at.line(), last)
		}
		last = e.ReceivedAt
		n++
		return nil
	})
	if err != nil || n != calls {
		t.Errorf("%d calls, %v", n, err)
	}
	r.disk.remove()
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

func TestACallIsOfTheSourceOfItsWriteKey(t *testing.T) {
	c := loadText(t, twoSources)
	keyed := `{"type":"track","event":"E","messageId":"m1","userId":"u1","writeKey":"write-key-of-the-app","receivedAt":"2026-01-01T10:00:00Z"}`
	got, found := taken(t, c, Options{}, textInput("f", keyed+"\n"+oneCall))
	if !slices.Equal(got, []string{"app m1 u1 10:00:00"}) || len(found.First) != 1 || found.First[0].Code != "unknown_source" || found.First[0].Line != 2 {
		t.Errorf("%q, %+v", got, found)
	}
	if got, _ := taken(t, c, Options{Source: "website"}, textInput("f", oneCall)); !slices.Equal(got, []string{"website m1 u1 10:00:00"}) {
		t.Errorf("%q", got)
	}
}

func TestWhatCannotBeReadIsCountedAndTheFirstThreeAreShown(t *testing.T) {
	c := loadText(t, threeVendors)
	lines := []string{oneCall, `{"type":"track"`, `{"type":"sing","userId":"u"}`, "\x00\x01\x02", `7`, `{"batch":[{"type":"page"},` + oneCall + `]}`}
	got, found := taken(t, c, Options{}, textInput("f", strings.Join(lines, "\n")))
	codes := ""
	for _, u := range found.First {
		codes += fmt.Sprintf(" %d:%s", u.Line, u.Code)
	}
	if len(got) != 2 || found.Unreadable != 5 || codes != " 2:invalid_json 3:invalid_type 4:invalid_json" {
		t.Errorf("%q, %d unreadable, %s", got, found.Unreadable, codes)
	}
}

// endless is a file that would not fit anywhere.
type endless struct {
	text string
	left int64
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.text[e.at:])
		n, e.at = n+m, (e.at+m)%len(e.text)
	}
	e.left -= int64(n)
	return n, nil
}

// bomb compresses what would not fit anywhere.
func bomb(t *testing.T, size int64, compressed func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var out bytes.Buffer
	w := compressed(&out)
	if _, err := io.Copy(w, &endless{text: strings.Repeat("0", 1<<16), left: size}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Hostile files end with an error that says what is wrong, and take little memory.
func TestHostileFilesEndWithAClearError(t *testing.T) {
	const size = 1 << 30
	small := strings.Replace(threeVendors, "sources", "limits: { call_bytes: 64KiB, wire_bytes: 256KiB, decompressed_bytes: 1MiB }\nsources", 1)
	c := loadText(t, small)
	opened := func(r io.Reader) Input {
		return Input{Name: "hostile", Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
	}
	gz := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	zst := func(w io.Writer) io.WriteCloser {
		encoder, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		return encoder
	}
	whole := zipped(strings.Repeat(oneCall+"\n", 100))
	for name, hostile := range map[string]struct {
		file io.Reader
		want string
	}{
		"a line of a gigabyte":  {&endless{text: strings.Repeat("x", 1<<16), left: size}, "a file is damaged, so that calls are missing: hostile: damaged_file: a line has no end: expected NDJSON, or the body of a batch"},
		"a bomb in gzip":        {bytes.NewReader(bomb(t, size/4, gz)), "a line has no end"},
		"a bomb in zstd":        {bytes.NewReader(bomb(t, size/4, zst)), "a line has no end"},
		"many long lines":       {&endless{text: strings.Repeat("x", 2<<20) + "\n", left: size / 8}, "more than 1 % cannot be read: hostile:1: too_long: the line is longer than limits.decompressed_bytes, which is 1048576 bytes"},
		"binary":                {strings.NewReader(strings.Repeat("\x00\xff\x1b[2J\n", 20_000)), "more than 1 % cannot be read: hostile:1: invalid_json"},
		"half lines":            {strings.NewReader(strings.Repeat(oneCall[:40]+"\n", 100)), "more than 1 % cannot be read: hostile:1: invalid_json"},
		"half of a gzip":        {strings.NewReader(whole[:len(whole)/2]), "a file is damaged"},
		"a gzip with a bad end": {strings.NewReader(whole[:len(whole)-4] + "oops"), "a file is damaged"},
		"a header of zstd":      {strings.NewReader("\x28\xb5\x2f\xfdoops"), "a file is damaged"},
		"nothing":               {strings.NewReader(""), "there are no calls"},
	} {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			peak := watchHeap(t)
			report, err := Run(t.Context(), c, []Input{opened(hostile.file)}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !report.Unusable() || !strings.Contains(report.Problem(), hostile.want) || strings.Contains(report.Problem(), "\x1b") {
				t.Errorf("%q", report.Problem())
			}
			if most := peak(); most > 100<<20 {
				t.Errorf("it takes %d MiB", most>>20)
			}
		})
	}
}

// watchHeap returns the most that the heap has grown by until it is asked.
func watchHeap(t *testing.T) func() uint64 {
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithCancel(t.Context())
	most := make(chan uint64)
	go func() {
		high := uint64(0)
		for ctx.Err() == nil {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			high = max(high, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			runtime.Gosched()
		}
		most <- high
	}()
	return func() uint64 { cancel(); return <-most }
}

func FuzzLinesAreReadOrCounted(f *testing.F) {
	f.Add([]byte(oneCall + "\n{\n"))
	f.Add([]byte(zipped(oneCall)))
	f.Add([]byte(zstandard(oneCall)))
	f.Add([]byte("{\n\"batch\":[\n" + oneCall + "]}"))
	f.Add([]byte(`{"payload":{"batch":[` + oneCall + `]},"createdAt":"2026-01-01T10:00:00Z"}`))
	c, err := config.Load(configtest.Write(f, threeVendors), config.LoadOptions{Simulate: Endpoint})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		report, err := Run(t.Context(), c, []Input{textInput("fuzz", string(file))}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range report.Destinations {
			if ends := d.Delivered + d.Dropped + d.Dead; !report.Unusable() && ends != report.Input.Calls-report.Input.Duplicates {
				t.Errorf("%s: %d of %d calls have ended", d.Name, ends, report.Input.Calls)
			}
		}
	})
}
