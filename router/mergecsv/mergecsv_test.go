package mergecsv

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func readAll(r *Reader) (pairs []string, err error) {
	for {
		from, to, ok, err := r.Next()
		if err != nil || !ok {
			return pairs, err
		}
		pairs = append(pairs, from+">"+to)
	}
}

func TestPairsAreReadByTheNamesOfTheColumns(t *testing.T) {
	for file, want := range map[string]string{
		"previousId,userId\na,b\nc,d\n":           "a>b c>d",
		"from,to\na,b":                            "a>b",
		"\ufefffrom,to\r\na,b\r\n":                "a>b",
		"userId,previousId\na,b\n":                "b>a",
		"to,from\n\"x,\"\"y\"\"\",\"two\nlines\"": "two\nlines>x,\"y\"",
		"from, to\n\n\na,b\n\n":                   "a>b",
		"from,to\n":                               "",
	} {
		r := NewReader(iotest.OneByteReader(strings.NewReader(file)))
		pairs, err := readAll(r)
		if got := strings.Join(pairs, " "); got != want || err != nil || r.Skipped > 0 {
			t.Errorf("%q: got %q, %v, %v", file, got, r.Bad, err)
		}
	}
}

func TestAFileWithoutTheNamesOfTheColumnsIsRefused(t *testing.T) {
	for _, file := range []string{"", "a,b\nc,d\n", "previousId,to\n", "from\na\n", "from,to,more\n", "from,from\n", "\"from,to\n", "previousid,userid\n"} {
		if pairs, err := readAll(NewReader(strings.NewReader(file))); !errors.Is(err, ErrHeader) || len(pairs) > 0 {
			t.Errorf("%q: got %q, %v", file, pairs, err)
		}
	}
}

func TestBadRowsAreLeftOutAndListedByTheirLine(t *testing.T) {
	r := NewReader(strings.NewReader("from,to\na,b\nc\n,d\nsame,same\n\"two\nlines\",e\nf,g,h\nb\"ad,x\n\xff,i\n" + strings.Repeat("x", MaxID+1) + ",j\nk,l\n"))
	pairs, err := readAll(r)
	if got := strings.Join(pairs, " "); got != "a>b two\nlines>e k>l" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	want := []Bad{
		{3, "has 1 columns, expected 2"}, {4, "has an empty id"}, {5, "has the same id twice"}, {8, "has 3 columns, expected 2"},
		{9, `is not CSV: bare " in non-quoted-field`}, {10, "is not UTF-8"}, {11, "has an id of more than 1024 bytes"},
	}
	for i := range min(len(r.Bad), len(want)) {
		if !strings.HasPrefix(r.Bad[i].Problem, want[i].Problem[:12]) || r.Bad[i].Row != want[i].Row {
			t.Errorf("row %d: got %+v, want %+v", i, r.Bad[i], want[i])
		}
	}
	if r.Skipped != len(want) || len(r.Bad) != len(want) {
		t.Errorf("%d are bad: %+v", r.Skipped, r.Bad)
	}
}

func TestAFileOfBadRowsIsGivenUp(t *testing.T) {
	r := NewReader(io.MultiReader(strings.NewReader("from,to\n"), strings.NewReader(strings.Repeat("x\n", 10*MaxBad))))
	if pairs, err := readAll(r); !errors.Is(err, ErrTooManyBad) || len(pairs) > 0 || len(r.Bad) != MaxListed {
		t.Errorf("got %d pairs, %d listed, %v", len(pairs), len(r.Bad), err)
	}
}

// endless is a file without an end, which counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestARowWithoutAnEndIsNotReadToItsEnd(t *testing.T) {
	for _, start := range []string{"", "\"", "from,to\n", "from,to\na,\"b", "from,to\na,b\n\""} {
		rest := &endless{}
		r := NewReader(io.MultiReader(strings.NewReader(start), rest))
		if _, err := readAll(r); !errors.Is(err, ErrRowTooLong) || rest.read > MaxRow+3*readAhead {
			t.Errorf("%q: %v after %d bytes", start, err, rest.read)
		}
	}
}

func TestAFailedReadIsNoEndOfTheFile(t *testing.T) {
	broken := errors.New("broken")
	pairs, err := readAll(NewReader(io.MultiReader(strings.NewReader("from,to\na,b\n"), iotest.ErrReader(broken))))
	if !errors.Is(err, broken) || len(pairs) != 1 {
		t.Errorf("got %q, %v", pairs, err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add("from,to\na,b\n\"x\ny\",z\n")
	f.Add("userId,previousId\r\n\"\"\"\",b\r\n")
	f.Fuzz(func(t *testing.T, file string) {
		r := NewReader(strings.NewReader(file))
		pairs := 0
		for {
			from, to, ok, err := r.Next()
			if err != nil || !ok {
				break
			}
			pairs++
			if from == "" || to == "" || from == to || len(from) > MaxID || len(to) > MaxID {
				t.Fatalf("%q and %q are taken", from, to)
			}
		}
		if pairs+r.Skipped > 1+strings.Count(file, "\n")+strings.Count(file, "\r") {
			t.Fatalf("%d rows of %q", pairs+r.Skipped, file)
		}
		again := NewReader(iotest.HalfReader(strings.NewReader(file)))
		n := 0
		for {
			_, _, ok, err := again.Next()
			if err != nil || !ok {
				break
			}
			n++
		}
		if n != pairs || !reflect.DeepEqual(r.Bad, again.Bad) {
			t.Fatalf("%d pairs, and in small pieces %d: %s", pairs, n, fmt.Sprint(r.Bad, again.Bad))
		}
	})
}
