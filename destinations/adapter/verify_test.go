package adapter

import (
	"strings"
	"testing"
)

func TestAStoryHasIDsThatSayWhereTheyComeFrom(t *testing.T) {
	s := NewStory("a1b2c3d4")
	if s.Old != "aka-verify-a1b2c3d4-old@example.com" || s.New != "aka-verify-a1b2c3d4-new" || s.Run != "a1b2c3d4" {
		t.Errorf("%+v", s)
	}
	emails := s.WithEmails()
	if emails.New != "aka-verify-a1b2c3d4-new@example.com" || emails.Old != s.Old || emails.WithEmails() != emails {
		t.Errorf("%+v", emails)
	}
}

// Whatever the adapter makes of answers: these are not the vendor's word on the question.
func TestACheckIsNotContentWithAnAnswerThatIsNone(t *testing.T) {
	content := Check{Read: func(Answer) (bool, string) { return true, "" }}
	for _, c := range []struct {
		answer Answer
		want   string
	}{
		{Answer{Status: 200, Body: []byte("{}")}, ""},
		{Answer{Status: 404, Body: []byte("{}")}, ""},
		{Answer{Status: 200, Body: []byte("<html>Sign in</html>")}, "a web page"},
		{Answer{Status: 404, ContentType: "text/html", Body: []byte("Not Found")}, "a web page"},
		{Answer{Status: 401, Body: []byte("{}")}, "see app_api_key, region"},
		{Answer{Status: 403, Body: []byte("{}")}, "refuses the credentials (403)"},
		{Answer{Status: 429, Body: []byte("{}")}, "too many questions"},
		{Answer{Status: 302}, "cannot answer now (302)"},
		{Answer{Status: 500, Body: []byte("{}")}, "cannot answer now (500)"},
	} {
		ok, found := content.Judge(c.answer, []string{"app_api_key", "region"})
		if ok != (c.want == "") || !strings.Contains(found, c.want) {
			t.Errorf("%d %s: %t, %q", c.answer.Status, c.answer.Body, ok, found)
		}
	}
}

func TestACheckThatPanicsHasFoundNothing(t *testing.T) {
	panics := Check{Read: func(a Answer) (bool, string) { return a.Body[7] == 'x', "" }}
	if ok, found := panics.Judge(Answer{Status: 200, Body: []byte("{}")}, nil); ok || found != "the answer (200) cannot be read" {
		t.Errorf("%t, %q", ok, found)
	}
}
