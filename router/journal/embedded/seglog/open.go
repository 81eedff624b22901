package seglog

import (
	"fmt"

	"aka/router/journal/engine"
)

// Open opens the log in a folder, and makes the folder (0700) where it is missing. The caller sees to it that no other process
// does the same.
//
// A write that a crash interrupted, and damage to frames, are findings. Where files are missing, or cannot be understood, the
// error names one of them, and nothing in the folder was changed; it is engine.ErrDamaged unless the file has another version
// or could not be read.
func Open(dir string, o Options) (*Log, error) {
	o = o.withDefaults()
	if err := makeDir(o.FS, dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return open(dir, o, false)
}

// OpenReadOnly opens a log as Open does, and changes nothing on disk: not when it opens it, and not later.
func OpenReadOnly(dir string, o Options) (*Log, error) { return open(dir, o.withDefaults(), true) }

func open(dir string, o Options, readOnly bool) (*Log, error) {
	f, err := survey(o.FS, dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if len(f.problems) > 0 {
		return nil, fmt.Errorf("open log: %w", f.problems[0])
	}
	l := &Log{dir: dir, options: o, readOnly: readOnly}
	if err := l.adopt(f); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if !readOnly {
		if err := f.settle(); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	return l, nil
}

// adopt takes over what a folder holds.
func (l *Log) adopt(f *folder) error {
	l.last, l.mark, l.findings = f.state.first-1, f.state.mark, f.findings
	segments := make([]*segment, 0, len(f.files))
	for i, file := range f.files {
		s := file.segment()
		l.last, l.mark = s.last, max(l.mark, file.header.mark)
		if i+1 < len(f.files) {
			prev := f.files[i+1].header.prev
			s.last, s.end = prev.last, prev.end
		} else if err := l.readLast(s); err != nil {
			return err
		}
		segments = append(segments, s)
	}
	l.setSegments(segments)
	now := l.options.Now()
	for i := range l.findings {
		l.findings[i].Time = now
	}
	return nil
}

// readLast reads the last segment, to find out where it ends.
func (l *Log) readLast(s *segment) error {
	file, err := l.options.FS.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	scan := scanner{file: file, path: s.path, key: s.key, at: dataStart, seq: s.first, end: s.size, last: noLimit, unfinished: true}
	for {
		it, err := scan.next()
		if err != nil {
			return err
		}
		switch it.kind {
		case atEnd:
			l.last = max(l.last, s.last)
			return nil
		case footer:
			return damaged(l.path(segmentName(it.first)), "the file is missing")
		case blank:
			s.size = it.at
			continue
		case torn:
			l.findings = append(l.findings, it.finding(s.path))
			continue
		case broken:
			l.findings = append(l.findings, it.finding(s.path))
		case whole:
			s.index = indexed(s.index, it.first, it.at)
			l.mark = max(l.mark, it.mark)
		}
		s.last, s.end = it.last, scan.at
	}
}

// finding returns what an item that is no frame is reported as. The caller adds the time.
func (it item) finding(path string) engine.Finding {
	f := engine.Finding{File: path, Offset: it.at, Bytes: it.size, Torn: it.kind == torn}
	if it.kind == broken && it.first <= it.last {
		f.First, f.Last = it.first, it.last
	}
	return f
}
