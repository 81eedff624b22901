package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// folder is what the files in a log's folder say, without their frames. Nothing in it was changed.
type folder struct {
	dir    string
	fs     vfs.FS
	state  state
	stated bool // there is a sound state file
	files  []segmentFile
	stale  []string // names of files that the log does not need any more
	// problems are reasons not to open the log. Each begins with the path of a file.
	problems []error
	findings []engine.Finding // without their time
}

// segmentFile is what the beginning of a segment's file says.
type segmentFile struct {
	first  uint64 // by its name
	path   string
	size   int64
	header header
	err    error // the header cannot be used
}

// segment returns the segment, as far as its own file says. Where its frames end is in the next segment's link.
func (f segmentFile) segment() *segment {
	return &segment{first: f.first, path: f.path, key: f.header.key(), last: f.first - 1, end: dataStart, size: f.size}
}

// survey reads a folder's names, its state file and the segments' headers.
func survey(files vfs.FS, dir string) (*folder, error) {
	names, err := files.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	f := &folder{dir: dir, fs: files, state: state{first: 1}}
	f.readState()
	for _, name := range names {
		first, isSegment := parseName(name)
		switch {
		case isSegment && first >= f.state.first:
			f.files = append(f.files, f.readSegment(first, name))
		case isSegment || strings.HasSuffix(name, tempSuffix):
			f.stale = append(f.stale, name)
		}
	}
	f.leaveOutUnfinished()
	f.checkState()
	f.checkSegments()
	return f, nil
}

func (f *folder) path(name string) string { return f.fs.PathJoin(f.dir, name) }

func (f *folder) problem(err error) { f.problems = append(f.problems, err) }

// readState reads the state file. Where there is none, no frame was ever acknowledged.
func (f *folder) readState() {
	path := f.path(stateName)
	b, size, err := readStart(f.fs, path, stateSize)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	s, decodeErr := decodeState(b)
	switch {
	case err != nil:
		f.problem(err)
	case errors.Is(decodeErr, errUnsound) || size != stateSize && decodeErr == nil:
		f.problem(damaged(path, "the checksum differs"))
	case decodeErr != nil:
		f.problem(fmt.Errorf("%s: %w", path, decodeErr))
	default:
		f.state, f.stated = s, true
	}
}

func (f *folder) readSegment(first uint64, name string) segmentFile {
	s := segmentFile{first: first, path: f.path(name)}
	var b []byte
	if b, s.size, s.err = readStart(f.fs, s.path, dataStart); s.err != nil {
		return s
	}
	var damagedAt int64
	s.header, damagedAt, s.err = decodeHeader(b)
	switch {
	case errors.Is(s.err, errUnsound):
		s.err = damaged(s.path, "both copies of the header are damaged")
	case s.err != nil:
		s.err = fmt.Errorf("%s: %w", s.path, s.err)
	case s.header.first != first:
		s.err = damaged(s.path, "its header is that of %s", segmentName(s.header.first))
	case damagedAt >= 0:
		f.findings = append(f.findings, engine.Finding{File: s.path, Offset: damagedAt, Bytes: headerSize})
	}
	return s
}

// leaveOutUnfinished leaves out a last segment without a header, when the state file shows that no frame of it was
// acknowledged, and it has room for none.
func (f *folder) leaveOutUnfinished() {
	n := len(f.files) - 1
	if n < 0 {
		return
	}
	s := f.files[n]
	if !errors.Is(s.err, engine.ErrDamaged) || s.size > dataStart || s.first <= f.state.newest || len(f.problems) > 0 {
		return
	}
	f.files, f.stale = f.files[:n], append(f.stale, f.fs.PathBase(s.path))
	f.findings = append(f.findings, engine.Finding{File: s.path, Bytes: s.size, Torn: true})
}

// checkState looks for the segments of which the state file says that they are there.
func (f *folder) checkState() {
	switch {
	case len(f.problems) > 0: // the state file's own
	case !f.stated:
		if len(f.files) > 1 || len(f.files) == 1 && (f.files[0].first != 1 || f.files[0].size > dataStart) {
			f.problem(damaged(f.path(stateName), "the file is missing"))
		}
	case f.state.newest != 0:
		if !f.has(f.state.first) {
			f.missing(f.state.first)
		}
		if f.state.newest != f.state.first && !f.has(f.state.newest) {
			f.missing(f.state.newest)
		}
	}
}

func (f *folder) has(first uint64) bool {
	return slices.ContainsFunc(f.files, func(s segmentFile) bool { return s.first == first })
}

func (f *folder) missing(first uint64) {
	f.problem(damaged(f.path(segmentName(first)), "the file is missing"))
}

// checkSegments looks at the headers, and whether each segment comes behind the one that it names.
func (f *folder) checkSegments() {
	for i, s := range f.files {
		if s.err != nil {
			f.problem(s.err)
		}
		if i == 0 {
			if s.err == nil && s.first != f.state.first && f.stated && f.state.newest == 0 {
				f.problem(damaged(s.path, "the state file says that the log is empty up to %d", f.state.first))
			}
			continue
		}
		before := f.files[i-1]
		if s.err != nil {
			continue
		}
		switch prev := s.header.prev; {
		case prev.first > before.first && prev.first < s.first:
			f.missing(prev.first)
		case prev.first != before.first || prev.last >= s.first || prev.end < dataStart:
			f.problem(damaged(before.path, "%s does not come behind it", segmentName(s.first)))
		}
	}
}

// settle makes safe what a process that was killed may have left unsynced: frames, before they are acted on, and the state file,
// before the files are removed that the log does not need any more.
func (f *folder) settle() error {
	if n := len(f.files); n > 0 {
		if err := syncFile(f.fs, f.files[n-1].path); err != nil {
			return err
		}
	}
	if err := syncDir(f.fs, f.dir); err != nil {
		return err
	}
	for _, name := range f.stale {
		if err := f.fs.Remove(f.path(name)); err != nil {
			return fmt.Errorf("remove %s: %w", f.path(name), err)
		}
	}
	return nil
}
