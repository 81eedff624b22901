// Package logging makes the log: in which form, from which level on, and without what has no place in it. Its level can be
// changed while it runs, lines that repeat are left out and counted, and what a sender chose is not shown as it is.
package logging

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Options is the section of the log, which goes to standard error.
type Options struct {
	// Level is the lowest level that is written: debug, info, warn or error. `aka log level` changes it while aka runs.
	// Default info.
	Level string `yaml:"level" words:"debug info warn error"`
	// Format is the form of a line: json, or console for people. Default json.
	Format string `yaml:"format" words:"json console"`
}

// Levels and Formats are the words that Options may have.
var (
	Levels  = []string{"debug", "info", "warn", "error"}
	Formats = []string{"json", "console"}
)

// New returns the log that the options ask for. Where it goes to a Writer, the log says how many lines that has dropped.
func New(o Options, to io.Writer) *zap.Logger {
	keys := zap.NewProductionEncoderConfig()
	keys.TimeKey, keys.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	keys.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(keys)
	if o.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(keys)
	}
	level, err := zapcore.ParseLevel(o.Level)
	if err != nil {
		level = zapcore.InfoLevel
	}
	writer := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(to)), zapcore.DebugLevel)
	control := newControl(writer, level)
	log := zap.New(&core{Core: writer, Control: control})
	if passing, ok := to.(*Writer); ok {
		control.passing = passing
		passing.onDropped = func(lines int) {
			log.Warn("log lines were dropped", zap.Int("count", lines), zap.String("hint", "the log's reader stood still, or its disk was full"))
		}
	}
	return log
}

// Of returns what controls a log that New made, and nil of any other.
func Of(log *zap.Logger) *Control {
	if c, ok := log.Core().(*core); ok {
		return c.Control
	}
	return nil
}

// core decides about each line before its writer has it.
type core struct {
	zapcore.Core
	*Control
	about string // the destination that its lines are about
}

// Enabled reports whether lines of a level are written.
func (c *core) Enabled(level zapcore.Level) bool { return c.level.Enabled(level) }

// With returns a core whose lines all have the fields.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	with := &core{c.Core.With(redact(fields)), c.Control, c.about}
	for _, f := range fields {
		if f.Key == "destination" {
			with.about = f.String
		}
	}
	return with
}

// Check adds the core to those that write the line, if it is to be written.
func (c *core) Check(entry zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) || !c.takes(entry, c.about) {
		return to
	}
	return to.AddCore(entry, c)
}

// Write writes a line.
func (c *core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return c.Core.Write(entry, redact(fields))
}

// Sync says what was left out, and has all written.
func (c *core) Sync() error {
	c.reportLeftOut()
	return c.Core.Sync()
}

// Of a line that repeats, the first lines of a second are written and then one in so many. At level debug, all are.
const (
	writtenFirst = 20
	writtenEach  = 200
	// reportInterval is how soon it is said what was left out.
	reportInterval = 10 * time.Second
	// maxLines bounds how many kinds of lines are counted.
	maxLines = 10_000
)

// Control is what can be seen and changed of a log that runs. It is safe for concurrent use.
type Control struct {
	writer  zapcore.Core
	passing *Writer // nil where who logs writes by itself
	level   zap.AtomicLevel
	usual   zapcore.Level

	mu        sync.Mutex
	until     time.Time   // when the level is the usual one again; zero is never
	back      *time.Timer // makes it so
	lines     map[line]*repeats
	reporting bool

	leftOut *prometheus.CounterVec
}

// line is what makes two lines the same.
type line struct {
	level          zapcore.Level
	message, about string
}

// repeats counts a line: in one second, and those that were left out since the last report.
type repeats struct {
	second     int64
	n, leftOut int
}

func newControl(writer zapcore.Core, level zapcore.Level) *Control {
	s := &Control{
		writer: writer, level: zap.NewAtomicLevelAt(level), usual: level, lines: map[line]*repeats{},
		leftOut: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "aka", Subsystem: "log", Name: "lines_left_out_total",
			Help: "Lines that were not written to the log because the same one came too often."}, []string{"level"}),
	}
	for _, word := range Levels[1:] {
		s.leftOut.WithLabelValues(word)
	}
	return s
}

// takes reports whether a line is to be written.
func (s *Control) takes(entry zapcore.Entry, about string) bool {
	if s.level.Level() == zapcore.DebugLevel {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := line{entry.Level, entry.Message, about}
	r := s.lines[key]
	if r == nil {
		if len(s.lines) >= maxLines {
			return true
		}
		r = &repeats{}
		s.lines[key] = r
	}
	if second := entry.Time.Unix(); r.second != second {
		r.second, r.n = second, 0
	}
	r.n++
	if r.n <= writtenFirst || (r.n-writtenFirst)%writtenEach == 0 {
		return true
	}
	r.leftOut++
	s.leftOut.WithLabelValues(entry.Level.String()).Inc()
	if !s.reporting {
		s.reporting = true
		time.AfterFunc(reportInterval, s.reportLeftOut)
	}
	return false
}

// reportLeftOut says which lines were left out, and how many.
func (s *Control) reportLeftOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reporting = false
	for key, r := range s.lines {
		if r.leftOut > 0 {
			s.write(key.level, "repeated log lines were left out",
				zap.String("line", key.message), zap.String("destination", key.about), zap.Int("count", r.leftOut))
			r.leftOut = 0
		}
	}
}

// write writes a line of the log's own, whatever the level is.
func (s *Control) write(level zapcore.Level, message string, fields ...zapcore.Field) {
	_ = s.writer.Write(zapcore.Entry{Level: level, Time: time.Now(), Message: message}, fields)
}

// State is how a log is controlled.
type State struct {
	// Level is the least important line that is written; Usual is the config's.
	Level string `json:"level"`
	Usual string `json:"usual"`
	// Until is when the level is the usual one again; nil when it stays.
	Until *time.Time `json:"until,omitempty"`
}

// State returns how the log is controlled.
func (s *Control) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{Level: s.level.Level().String(), Usual: s.usual.String()}
	if !s.until.IsZero() {
		until := s.until
		state.Until = &until
	}
	return state
}

// SetLevel changes the level, for some time or, with 0, until it is changed again. The level is one of Levels.
func (s *Control) SetLevel(word string, lasting time.Duration) error {
	level, err := zapcore.ParseLevel(word)
	if err != nil {
		return fmt.Errorf("level: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(level)
	if lasting > 0 && level != s.usual {
		s.until = time.Now().Add(lasting)
		s.back = time.AfterFunc(lasting, s.goBack)
	}
	return nil
}

func (s *Control) goBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.until.IsZero() && !time.Now().Before(s.until) {
		s.change(s.usual)
	}
}

func (s *Control) change(level zapcore.Level) {
	if s.back != nil {
		s.back.Stop()
	}
	s.back, s.until = nil, time.Time{}
	s.write(zapcore.InfoLevel, "log level changed", zap.Stringer("from", s.level.Level()), zap.Stringer("to", level))
	s.level.SetLevel(level)
}

// Describe implements prometheus.Collector.
func (s *Control) Describe(ch chan<- *prometheus.Desc) {
	s.leftOut.Describe(ch)
	if s.passing != nil {
		s.passing.dropped.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (s *Control) Collect(ch chan<- prometheus.Metric) {
	s.leftOut.Collect(ch)
	if s.passing != nil {
		s.passing.dropped.Collect(ch)
	}
}
