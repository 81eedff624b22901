package preflight

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"aka/router/config"
	"aka/router/ingress"
	"aka/router/journal"
	"aka/router/segment"
)

// InputReport is what was read.
type InputReport struct {
	// Calls is how many calls were read, from so many Files and Lines.
	Calls int `json:"calls"`
	Files int `json:"files"`
	Lines int `json:"lines"`
	// Unreadable is how many calls or lines could not be read. First are the first three of them.
	Unreadable int          `json:"unreadable"`
	First      []Unreadable `json:"first_unreadable"`
	// Damaged are files that end before their end, or that hold no lines.
	Damaged []Unreadable `json:"damaged"`
	// Untimed is how many calls have neither a receivedAt nor a timestamp. They stay behind the line before them.
	Untimed int `json:"untimed"`
	// Duplicates is how many calls came with the messageId of an earlier one. aka takes the first.
	Duplicates int `json:"duplicates"`
}

// Unreadable is something that could not be read, and why.
type Unreadable struct {
	File string `json:"file"`
	Line int    `json:"line"`
	// Code is the word that the SDK would get, or too_long, damaged_file or unknown_source.
	Code    string `json:"code"`
	Message string `json:"message"`
}

const (
	// shownUnreadable is how many unreadable calls are shown.
	shownUnreadable = 3
	// endlessLine is how many times longer than the limit a line may be. What is longer is no file of lines.
	endlessLine = 64
	// windowBytes bounds the memory of a zstd decoder.
	windowBytes = 32 << 20
	// batchBytes is how many bytes of lines are parsed at once.
	batchBytes = 256 << 10
)

// reader reads files of calls. It belongs to one goroutine; parsing has others.
type reader struct {
	config  *config.Config
	options Options
	limit   int // of a line
	sources map[string]string
	single  string // the source of calls that name none; "" where there are several
	found   InputReport
	take    func(key int64, at place, e *journal.Entry) error

	last int64 // the time of the call before
}

func newReader(c *config.Config, o Options) *reader {
	r := &reader{
		config: c, options: o, limit: int(c.Limits.DecompressedBytes), sources: map[string]string{}, single: o.Source,
		found: InputReport{First: []Unreadable{}, Damaged: []Unreadable{}},
	}
	names := slices.Sorted(maps.Keys(c.Sources))
	for _, name := range names {
		r.sources[c.Sources[name].WriteKey.Reveal()] = name
	}
	if r.single == "" && len(names) == 1 {
		r.single = names[0]
	}
	return r
}

// read reads one input.
func (r *reader) read(ctx context.Context, number int, input Input) error {
	r.found.Files++
	if input.Entries != nil {
		return input.Entries(ctx, func(e *journal.Entry) error {
			r.found.Calls++
			return r.take(e.ReceivedAt.UnixNano(), placeOf(number, r.found.Calls), e)
		})
	}
	in, err := input.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	r.last = 0
	content, err := decompress(in)
	if err != nil {
		r.damaged(input.Name, 0, err)
		return nil
	}
	defer content.Close()
	return r.file(ctx, number, input.Name, content)
}

// decompress looks at the first bytes and returns what the file holds.
func decompress(in io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(in, 128<<10)
	magic, _ := buffered.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(windowBytes))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

func (r *reader) damaged(file string, line int, err error) {
	if len(r.found.Damaged) < shownUnreadable {
		r.found.Damaged = append(r.found.Damaged, Unreadable{file, line, "damaged_file", err.Error()})
	}
}

func (r *reader) unreadable(u Unreadable) {
	r.found.Unreadable++
	if len(r.found.First) < shownUnreadable {
		r.found.First = append(r.found.First, u)
	}
}

// batch is some lines of a file, and what they hold once they are parsed.
type batch struct {
	number, first int // of the file, and of the first line
	lines         [][]byte
	text          []byte
	kept          *[]byte // the buffer of text, for another batch
	tooLong       []int   // of lines
	done          chan struct{}

	calls      []parsedCall
	unreadable []Unreadable
}

type parsedCall struct {
	line  int
	timed bool
	entry journal.Entry
}

// file reads the lines of a file. They are parsed beside the reading, and taken in the order of the file.
func (r *reader) file(ctx context.Context, number int, name string, content io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := max(1, runtime.GOMAXPROCS(0))
	work, ordered := make(chan *batch, workers), make(chan *batch, 2*workers)
	for range workers {
		go func() {
			for b := range work {
				p := lineParser{reader: r, file: name}
				p.parse(b)
				close(b.done)
			}
		}()
	}
	var ended error
	go func() {
		defer close(ordered)
		defer close(work)
		lines := lineReader{in: bufio.NewReaderSize(content, 256<<10), limit: r.limit, number: number}
		for {
			b, err := lines.next()
			if b != nil {
				select {
				case work <- b:
				case <-ctx.Done():
					return
				}
				select {
				case ordered <- b:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if err != io.EOF {
					ended = fmt.Errorf("%w (behind line %d)", err, lines.line)
				}
				return
			}
		}
	}()
	for b := range ordered {
		<-b.done
		if err := r.taken(b); err != nil {
			return err
		}
	}
	if ended != nil {
		r.damaged(name, 0, ended)
	}
	return ctx.Err()
}

// taken takes in the calls of lines that are parsed.
func (r *reader) taken(b *batch) error {
	r.found.Lines += len(b.lines) + len(b.tooLong)
	for _, u := range b.unreadable {
		r.unreadable(u)
	}
	for i := range b.calls {
		c := &b.calls[i]
		r.found.Calls++
		if !c.timed {
			r.found.Untimed++
			if r.last != 0 {
				c.entry.ReceivedAt = time.Unix(0, r.last).UTC()
			}
		}
		r.last = c.entry.ReceivedAt.UnixNano()
		if err := r.take(r.last, placeOf(b.number, c.line), &c.entry); err != nil {
			return err
		}
	}
	if r.found.Calls>>16 != (r.found.Calls-len(b.calls))>>16 {
		r.options.Progress(Progress{Stage: "read", Calls: r.found.Calls})
	}
	return nil
}

// lineReader splits a file into lines. A line over the limit is passed over without being held.
type lineReader struct {
	in     *bufio.Reader
	limit  int
	number int
	line   int
	begun  bool
}

var errNoLines = errors.New("a line has no end: expected NDJSON, or the body of a batch")

// texts are the buffers of batches that were parsed.
var texts = sync.Pool{New: func() any { text := make([]byte, 0, 2*batchBytes); return &text }}

// next returns some lines. The error is io.EOF behind the last.
func (l *lineReader) next() (*batch, error) {
	text, _ := texts.Get().(*[]byte)
	b := &batch{number: l.number, first: l.line + 1, text: (*text)[:0], kept: text, done: make(chan struct{})}
	var ends []int
	var err error
	for err == nil && len(b.text) < batchBytes {
		from := len(b.text)
		tooLong := false
		b.text, tooLong, err = l.append(b.text)
		l.line++
		if !l.begun {
			l.begun = true
			b.text, err = l.whole(b.text, err)
		}
		switch {
		case tooLong:
			b.text = b.text[:from]
			b.tooLong = append(b.tooLong, l.line)
		case len(b.text) == from && err != nil:
			l.line-- // there is no line behind the last line's end
			continue
		}
		ends = append(ends, len(b.text))
	}
	from := 0
	for _, end := range ends {
		b.lines = append(b.lines, b.text[from:end])
		from = end
	}
	return b, err
}

// append reads a line.
func (l *lineReader) append(text []byte) (_ []byte, tooLong bool, err error) {
	size := 0
	for {
		piece, err := l.in.ReadSlice('\n')
		size += len(piece)
		if tooLong = size > l.limit; !tooLong {
			text = append(text, piece...)
		}
		switch {
		case size > endlessLine*l.limit:
			return text, true, errNoLines
		case err == bufio.ErrBufferFull:
		default:
			return text, tooLong, err
		}
	}
}

// whole reads on where the first line alone is no JSON, and the file is one JSON value over several lines.
func (l *lineReader) whole(text []byte, err error) ([]byte, error) {
	first := len(text)
	if err != nil || first > l.limit || json.Valid(text) || !startsJSON(text) {
		return text, err
	}
	rest, err := io.ReadAll(io.LimitReader(l.in, int64(l.limit-first)+1))
	all := append(text[:first:first], rest...)
	if err == nil && len(all) <= l.limit && json.Valid(all) {
		return all, io.EOF
	}
	// Not one value: the lines are read as lines.
	l.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(rest), failing{l.in, err}), 256<<10)
	return text, nil
}

func startsJSON(text []byte) bool {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, bom))
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// failing fails with an error that was met before, or reads on.
type failing struct {
	in  io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.in.Read(p)
}

var bom = []byte("\xef\xbb\xbf")

// lineParser parses lines.
type lineParser struct {
	*reader
	file   string
	batch  *batch
	line   int
	result segment.Result
}

func (p *lineParser) parse(b *batch) {
	p.batch = b
	long := b.tooLong
	for i, text := range b.lines {
		p.line = b.first + i
		if len(long) > 0 && long[0] == p.line {
			long = long[1:]
			p.refuse("too_long", fmt.Sprintf("the line is longer than limits.decompressed_bytes, which is %d bytes", p.limit))
			continue
		}
		p.one(bytes.TrimSpace(bytes.TrimPrefix(text, bom)))
	}
	b.tooLong = nil // they are among the lines
	if *b.kept = b.text; cap(b.text) <= 4*batchBytes {
		texts.Put(b.kept)
	}
	b.text, b.kept = nil, nil
}

func (p *lineParser) refuse(code, message string) {
	p.batch.unreadable = append(p.batch.unreadable, Unreadable{p.file, p.line, code, message})
}

// one parses one line: a call, an array of calls, the body of a batch, or RudderStack's dump of one of these.
func (p *lineParser) one(text []byte) {
	if len(text) == 0 {
		return
	}
	if text[0] == '[' {
		text = slices.Concat([]byte(`{"batch":`), text, []byte("}"))
	}
	err := p.as(text, bytes.Contains(text, []byte(`"batch"`)))
	if err != nil && bytes.Contains(text, []byte(`"payload"`)) {
		if payload := dumped(text); payload != nil {
			err = p.as(payload, bytes.Contains(payload, []byte(`"batch"`)))
		}
	}
	if refused := (*segment.Error)(nil); errors.As(err, &refused) {
		p.refuse(refused.Code, refused.Message)
		return
	}
	p.collect(text)
}

// dumped returns the payload of a line of a RudderStack dump, with its time of arrival.
func dumped(line []byte) []byte {
	var dump struct {
		Payload   json.RawMessage `json:"payload"`
		CreatedAt string          `json:"createdAt"`
	}
	if json.Unmarshal(line, &dump) != nil || len(dump.Payload) < 2 || dump.Payload[0] != '{' {
		return nil
	}
	var has struct {
		ReceivedAt string `json:"receivedAt"`
	}
	if json.Unmarshal(dump.Payload, &has) != nil || has.ReceivedAt != "" || dump.CreatedAt == "" {
		return dump.Payload
	}
	at, err := json.Marshal(dump.CreatedAt)
	if err != nil || bytes.Equal(bytes.TrimSpace(dump.Payload[1:]), []byte("}")) {
		return dump.Payload
	}
	return slices.Concat([]byte(`{"receivedAt":`), at, []byte(","), dump.Payload[1:])
}

// as parses a line as the body of a batch, or as one call.
func (p *lineParser) as(text []byte, mayBeBatch bool) error {
	options := segment.Options{
		ReceivedAt: p.options.Now, Limits: p.config.Limits.Segment(), Import: true, Export: true, Device: isBrowsers(text), Batch: mayBeBatch,
		Admit: func(writeKey string) (segment.IPPolicy, bool) {
			return p.config.Sources[p.sourceOf(writeKey)].IP, true
		},
	}
	err := p.result.Parse(text, options)
	if refused := (*segment.Error)(nil); mayBeBatch && errors.As(err, &refused) && refused.Code == "invalid_batch" {
		options.Batch = false
		err = p.result.Parse(text, options)
	}
	return err
}

// isBrowsers reports whether calls are those of Segment's SDK for browsers, whose order aka repairs.
func isBrowsers(text []byte) bool { return bytes.Contains(text, []byte(`"analytics.js"`)) }

func (p *lineParser) sourceOf(writeKey string) string {
	if source := p.sources[writeKey]; source != "" && writeKey != "" {
		return source
	}
	return p.single
}

// collect takes the calls of the line.
func (p *lineParser) collect(text []byte) {
	for _, refused := range p.result.Rejected {
		p.refuse(refused.Code, refused.Message)
	}
	own := map[int]string{}
	for _, other := range p.result.Others {
		own[other.Message] = p.sourceOf(other.WriteKey)
	}
	source := func(i int) string {
		if name := own[i]; name != "" {
			return name
		}
		return p.sourceOf(p.result.WriteKey)
	}
	p.result.RepairAliases(func(i int) bool {
		from := p.config.Sources[source(i)]
		return from.RepairsAliases()
	})
	segment.OrderRequest(p.result.Messages, func(i int) time.Duration {
		if window := p.config.Sources[source(i)].ReorderWindow; window != nil {
			return *window
		}
		return ingress.DefaultReorderWindow
	})
	envelope := time.Time{}
	if len(p.result.Messages) > 0 {
		envelope = p.envelopeTime(text)
	}
	for i := range p.result.Messages {
		c := parsedCall{line: p.line, timed: true, entry: journal.Entry{Source: source(i), Message: p.result.Messages[i]}}
		if c.entry.Source == "" {
			p.refuse("unknown_source", "the call has no known write key: name its source with --source")
			continue
		}
		c.timed = c.setTime(p.options.Now, envelope)
		p.batch.calls = append(p.batch.calls, c)
	}
}

// envelopeTime returns the receivedAt of a batch's body, which covers calls that have none.
func (p *lineParser) envelopeTime(text []byte) time.Time {
	now := p.options.Now.Round(0).UTC()
	if !bytes.Contains(text, []byte(`"batch"`)) || !p.result.Messages[0].ReceivedAt.Equal(now) {
		return time.Time{}
	}
	if payload := dumped(text); payload != nil && bytes.Contains(text, []byte(`"payload"`)) {
		text = payload
	}
	var has struct {
		ReceivedAt time.Time `json:"receivedAt"`
	}
	_ = json.Unmarshal(text, &has)
	return has.ReceivedAt
}

// setTime finds out when a call arrived: by its receivedAt, else its body's, else its timestamp. It reports whether one of these is
// there.
func (c *parsedCall) setTime(now, envelope time.Time) bool {
	e := &c.entry
	switch {
	case !e.ReceivedAt.Equal(now):
		return true
	case !envelope.IsZero() && envelope.Before(now):
		e.ReceivedAt = envelope.UTC()
		return true
	case e.DeviceMicros != 0:
		e.ReceivedAt = time.UnixMicro(e.DeviceMicros).UTC()
		e.Timestamp = e.ReceivedAt
		return true
	}
	return false
}
