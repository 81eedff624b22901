package strictyaml

import (
	"testing"

	"gopkg.in/yaml.v3"
)

func TestAddIn_FindsThePlaceInTheSource(t *testing.T) {
	for _, c := range []struct {
		source       string
		line, column int // of an X in the text, which the place is
		want         Problem
	}{
		{"listen: ab X", 1, 4, Problem{Line: 1, Column: 12}},
		{"# é\nlisten: é X", 1, 3, Problem{Line: 2, Column: 11}},
		{"listen: 'it''s X'", 1, 6, Problem{Line: 1, Column: 16}},
		{`listen: "a \"b\" X"`, 1, 7, Problem{Line: 1, Column: 18}},
		{`listen: "a\tb X"`, 1, 5, Problem{Line: 1}}, // the source shows another text
		{"listen: a\n  b X", 1, 5, Problem{Line: 1}},
		{"listen: |\n    a\n    b X", 2, 3, Problem{Line: 3, Column: 7}},
		{"listen: |\n  X\n", 1, 1, Problem{Line: 2, Column: 3}},
		{"listen: >\n  a\n  X", 1, 3, Problem{Line: 1}},
		{`listen: "${ONE} X"`, 1, 5, Problem{Line: 1}},
		{"{ listen: X }", 1, 1, Problem{Line: 1, Column: 11}},
		{"text: &a b X\nlisten: *a", 1, 3, Problem{Line: 1}}, // behind an anchor
	} {
		document := &yaml.Node{}
		if err := yaml.Unmarshal([]byte(c.source), document); err != nil {
			t.Fatal(err)
		}
		d := &Decoder{Lookup: func(string) (string, bool) { return "one", true }, Source: []byte(c.source)}
		into := struct {
			Listen string `yaml:"listen"`
			Text   string `yaml:"text"`
		}{}
		d.Decode(document, "", &into)
		d.AddIn("listen", c.line, c.column, "wrong")
		problems := d.Problems()
		if len(problems) != 1 || problems[0].Line != c.want.Line || problems[0].Column != c.want.Column {
			t.Errorf("%q: %+v, not %+v", c.source, problems, c.want)
		}
	}
}

func TestAddIn_WithoutTheSourceThereIsNoColumn(t *testing.T) {
	d := newDecoder()
	into := outer{}
	d.decode(t, "\nlisten: x\n", &into)
	d.AddIn("listen", 1, 1, "wrong")
	if p := d.Problems()[0]; p.Line != 2 || p.Column != 0 {
		t.Errorf("%+v", p)
	}
}
