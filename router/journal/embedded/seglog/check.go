package seglog

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// Report is what Check found in a log's folder.
type Report struct {
	// Segments and Bytes are how many segment files there are, and their size.
	Segments int
	Bytes    int64
	// Frames is how many frames can be read, Damaged how many are there and cannot, and Missing how many were in files that are
	// missing, as far as other files tell.
	Frames, Damaged, Missing uint64
	// First and Last are the sequences of the first and the last frame of which the files tell, as Bounds returns them.
	First, Last uint64
	// Mark is the highest mark in the files.
	Mark uint64
	// Findings are the places where something is wrong.
	Findings []engine.Finding
	// Problems are the reasons for which Open refuses the folder, and what could not be read. Each begins with a file's path.
	Problems []string
}

// Sound reports whether Open takes the log, and all its frames can be read.
func (r Report) Sound() bool { return len(r.Problems) == 0 && r.Damaged == 0 && r.Missing == 0 }

// Check reads a log from end to end and calls visit for every frame, in order; those that cannot be read have Err set. It goes on
// past files that are damaged or missing, and changes nothing. It returns an error only when it cannot list the folder.
func Check(dir string, o Options, visit func(engine.Frame)) (Report, error) {
	o = o.withDefaults()
	c := &checker{visit: visit, unreadable: map[string]bool{}}
	files := lenientFS{o.FS, c.cannotRead}
	f, err := survey(files, dir)
	if err != nil {
		return Report{}, fmt.Errorf("check log: %w", err)
	}
	c.folder, c.Mark = f, f.state.mark
	c.Findings = f.findings
	for _, p := range f.problems {
		c.problem(p.Error())
	}
	c.begin()
	for i := range f.files {
		c.file(i)
	}
	c.end()
	now := o.Now()
	for i := range c.Findings {
		c.Findings[i].Time = now
	}
	return c.Report, nil
}

type checker struct {
	Report
	folder     *folder
	visit      func(engine.Frame)
	next       uint64          // the sequence after the last that the files before tell of
	unreadable map[string]bool // files of which a part cannot be read
}

func (c *checker) problem(text string) {
	if !slices.Contains(c.Problems, text) {
		c.Problems = append(c.Problems, text)
	}
}

func (c *checker) cannotRead(path string, at int64, err error) {
	if !c.unreadable[path] {
		c.unreadable[path] = true
		c.problem(fmt.Sprintf("%s: cannot be read at %d: %v", path, at, err))
	}
}

// begin finds out where the log begins.
func (c *checker) begin() {
	c.First = c.folder.state.first
	if len(c.folder.files) > 0 && !c.folder.stated {
		c.First = c.folder.files[0].first
	}
	c.next = c.First
}

// end finds out where the log ends.
func (c *checker) end() {
	if newest := c.folder.state.newest; newest > c.next {
		c.missing(c.folder.path(segmentName(newest)), newest)
	}
	c.Last = c.next - 1
}

// missing counts the frames from c.next to the one before upTo. They were in that file, or up to it.
func (c *checker) missing(path string, upTo uint64) {
	c.problem(damaged(path, "frames %d to %d are missing", c.next, upTo-1).Error())
	c.Findings = append(c.Findings, engine.Finding{File: path, First: c.next, Last: upTo - 1})
	c.Missing += upTo - c.next
	c.next = upTo
}

// file reads one segment.
func (c *checker) file(i int) {
	f := c.folder.files[i]
	c.Segments++
	c.Bytes += f.size
	if f.first > c.next && !c.follows(i) {
		c.missing(c.folder.path(segmentName(c.next)), f.first)
	}
	c.next = max(c.next, f.first)
	if f.err != nil {
		if i+1 < len(c.folder.files) {
			c.missing(f.path, c.folder.files[i+1].first)
		}
		return
	}
	c.Mark = max(c.Mark, f.header.mark)
	c.read(i)
}

// follows reports whether a segment comes behind the file before it, as its header says.
func (c *checker) follows(i int) bool {
	files := c.folder.files
	return i > 0 && i < len(files) && files[i].err == nil && files[i].header.prev.first == files[i-1].first
}

// scanner returns what reads a segment to its end.
func (c *checker) scanner(i int) scanner {
	f, files := c.folder.files[i], c.folder.files
	s := scanner{path: f.path, key: f.header.key(), at: dataStart, seq: f.first, end: f.size, last: noLimit, unfinished: true, keep: true}
	if c.follows(i + 1) {
		prev := files[i+1].header.prev
		s.end, s.last, s.unfinished = prev.end, prev.last, false
	} else if i+1 < len(files) {
		s.last = files[i+1].first - 1
	}
	return s
}

func (c *checker) read(i int) {
	scan := c.scanner(i)
	file, err := c.folder.fs.Open(scan.path)
	if err != nil {
		c.problem(fmt.Sprintf("%s: %v", scan.path, err))
		return
	}
	defer func() { _ = file.Close() }()
	scan.file = file
	for {
		it, err := scan.next()
		if err != nil || it.kind == atEnd {
			break // there is no error: see lenientFile
		}
		c.item(it, scan.path)
	}
	if !scan.unfinished {
		c.next = max(c.next, scan.last+1)
	}
}

func (c *checker) item(it item, path string) {
	switch it.kind {
	case whole:
		c.Frames++
		c.Mark = max(c.Mark, it.mark)
		c.visit(engine.Frame{Seq: it.first, Data: it.data})
		c.next = it.last + 1
	case broken:
		c.Findings = append(c.Findings, it.finding(path))
		for seq := it.first; seq <= it.last; seq++ {
			c.Damaged++
			c.visit(engine.Frame{Seq: seq, Err: it.err(path)})
		}
		c.next = it.last + 1
	case torn:
		c.Findings = append(c.Findings, it.finding(path))
	case footer:
		c.next = max(c.next, it.first)
		if !c.folder.has(it.first) {
			c.problem(damaged(c.folder.path(segmentName(it.first)), "the file is missing").Error())
		}
	}
}

// lenientFS reads files as far as they can be read, and zeros where they cannot.
type lenientFS struct {
	vfs.FS
	report func(path string, at int64, err error)
}

func (p lenientFS) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.FS.Open(name, options...)
	if err != nil {
		return nil, err
	}
	return lenientFile{f, name, p.report}, nil
}

type lenientFile struct {
	vfs.File
	path   string
	report func(path string, at int64, err error)
}

// ReadAt returns no error but io.EOF.
func (f lenientFile) ReadAt(b []byte, at int64) (n int, err error) {
	if n, err = f.File.ReadAt(b, at); err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	const page = 4096
	for n = 0; n < len(b); {
		piece := b[n:min(len(b), n+page-int((at+int64(n))%page))]
		got, err := f.File.ReadAt(piece, at+int64(n))
		if errors.Is(err, io.EOF) {
			return n + got, err
		}
		if err != nil {
			f.report(f.path, at+int64(n), err)
			clear(piece)
		}
		n += len(piece)
	}
	return n, nil
}
