// Package mergecsv reads pairs of ids that were merged before aka, from a CSV file of two columns. It holds one row in memory.
package mergecsv

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds of a file.
const (
	// MaxRow is the longest row, in bytes, and MaxID the longest id.
	MaxRow = 16 << 10
	MaxID  = 1024
	// MaxListed is how many bad rows are listed, MaxBad after how many the reader gives up.
	MaxListed = 20
	MaxBad    = 1000
)

// Errors of a file as a whole.
var (
	// ErrHeader means that the first row is not the names of the columns.
	ErrHeader = errors.New("row 1: expected the names of the two columns, previousId,userId or from,to")
	// ErrTooManyBad means that so many rows are bad that the file is probably another one.
	ErrTooManyBad = fmt.Errorf("more than %d bad rows", MaxBad)
	// ErrRowTooLong means that a row does not end; often a quotation mark is missing.
	ErrRowTooLong = fmt.Errorf("a row is longer than %d bytes: is a quotation mark missing?", MaxRow)
)

// Bad is a row that was left out. It has no value of the file.
type Bad struct {
	// Row is the number of the line in which the row begins; the first line is 1.
	Row     int    `json:"row"`
	Problem string `json:"problem"`
}

// Reader reads a file. It belongs to one goroutine.
type Reader struct {
	input    *boundedReader
	csv      *csv.Reader
	from, to int // the columns; equal before the header was read

	// Bad are the first MaxListed rows that were left out, and Skipped is how many there were.
	Bad     []Bad
	Skipped int
}

// NewReader returns a reader at the beginning of a file.
func NewReader(r io.Reader) *Reader {
	input := &boundedReader{r: r}
	c := csv.NewReader(input)
	c.FieldsPerRecord, c.ReuseRecord = -1, true
	return &Reader{input: input, csv: c}
}

// Next returns the next pair that can be used; ok is false at the end of the file. It skips bad rows. An error is one of the file as
// a whole, or of its reader: nothing follows.
func (r *Reader) Next() (from, to string, ok bool, err error) {
	if r.from == r.to {
		if err := r.header(); err != nil {
			return "", "", false, err
		}
	}
	for {
		r.input.allow()
		row, err := r.csv.Read()
		line := r.line(row, err)
		switch parse := (*csv.ParseError)(nil); {
		case errors.Is(err, io.EOF):
			return "", "", false, nil
		case errors.As(err, &parse):
			if err := r.bad(parse.StartLine, "is not CSV: "+parse.Err.Error()); err != nil {
				return "", "", false, err
			}
			continue
		case err != nil:
			return "", "", false, err
		}
		problem := r.check(row)
		if problem == "" {
			return strings.Clone(row[r.from]), strings.Clone(row[r.to]), true, nil
		}
		if err := r.bad(line, problem); err != nil {
			return "", "", false, err
		}
	}
}

// line returns the line in which a row begins.
func (r *Reader) line(row []string, err error) int {
	if err != nil || len(row) == 0 {
		return 0
	}
	line, _ := r.csv.FieldPos(0)
	return line
}

// header reads which column is which.
func (r *Reader) header() error {
	r.input.allow()
	row, err := r.csv.Read()
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) || errors.Is(err, io.EOF) {
		return ErrHeader
	}
	if err != nil {
		return err
	}
	if len(row) != 2 {
		return ErrHeader
	}
	first, second := strings.TrimSpace(strings.TrimPrefix(row[0], "\ufeff")), strings.TrimSpace(row[1])
	for _, names := range [...][2]string{{"previousId", "userId"}, {"from", "to"}} {
		switch {
		case first == names[0] && second == names[1]:
			r.from, r.to = 0, 1
			return nil
		case first == names[1] && second == names[0]:
			r.from, r.to = 1, 0
			return nil
		}
	}
	return ErrHeader
}

// check returns what is wrong with a row, or "".
func (r *Reader) check(row []string) string {
	if len(row) != 2 {
		return fmt.Sprintf("has %d columns, expected 2", len(row))
	}
	for _, id := range row {
		switch {
		case strings.TrimSpace(id) == "":
			return "has an empty id"
		case len(id) > MaxID:
			return fmt.Sprintf("has an id of more than %d bytes", MaxID)
		case !utf8.ValidString(id):
			return "is not UTF-8"
		}
	}
	if row[0] == row[1] {
		return "has the same id twice"
	}
	return ""
}

// bad notes a row that is left out.
func (r *Reader) bad(row int, problem string) error {
	r.Skipped++
	if len(r.Bad) < MaxListed {
		r.Bad = append(r.Bad, Bad{row, problem})
	}
	if r.Skipped > MaxBad {
		return ErrTooManyBad
	}
	return nil
}

// boundedReader fails where a row does not end: the CSV reader would read a whole file for one missing quotation mark.
type boundedReader struct {
	r    io.Reader
	left int
}

// readAhead is what the CSV reader may read beyond a row.
const readAhead = 4096

// allow lets the next row be read.
func (b *boundedReader) allow() { b.left = MaxRow + readAhead }

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrRowTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
