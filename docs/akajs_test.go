package docs

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"regexp"
	"testing"
)

// akaJSBlock is what the page on SDKs says of the script: its hash, and the script itself.
var akaJSBlock = regexp.MustCompile("(?s)(<!-- aka\\.js: [^\n]* -->\n```html\n).*?(```\n.*?```html\n).*?(```\n<!-- end of aka\\.js -->)")

// With -update the page shows the script that aka serves, and its hash.
func TestThePageShowsTheScriptThatAkaServes(t *testing.T) {
	p := page{"docs/sdks.md", read(t, "docs/sdks.md")}
	m := akaJSBlock.FindStringSubmatchIndex(p.text)
	if m == nil {
		t.Fatal("the page has no place for aka.js")
	}
	script := read(t, "router/ingress/akajs/aka.min.js")
	sum := sha512.Sum384([]byte(script))
	tag := fmt.Sprintf("<script src=\"https://aka.example/aka.js\" crossorigin integrity=\"sha384-%s\"></script>\n", base64.StdEncoding.EncodeToString(sum[:]))
	pasted := "<script>" + script + "</script>\n"
	expect(t, p, p.text[:m[3]]+tag+p.text[m[4]:m[5]]+pasted+p.text[m[6]:])
}
