package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Answer is what the vendor said to one exchange, or somebody else who stands between: a firewall, a CDN, a login page.
type Answer struct {
	Status int
	// ContentType is the header of that name, as it came.
	ContentType string
	// Body is the start of the answer's body, decompressed: at most 64 KiB of it, and as much as came before the timeout.
	Body []byte
	// TooLong tells that the body is longer than those 64 KiB.
	TooLong bool
	// AfterPossibleDelivery tells that the vendor may have acted on an earlier try of this exchange: that was never answered, or with
	// a 5xx, which may have been a gateway's, or with a 2xx that was not believed.
	AfterPossibleDelivery bool
}

// Verdict is what the status says, except that a web page is no success: that is Foreign. An adapter's Judge begins with it.
func (a Answer) Verdict() Verdict {
	verdict := StatusVerdict(a.Status)
	if verdict.Class == Delivered && a.IsPage() {
		return a.Foreign()
	}
	return verdict
}

// Foreign is the verdict of an answer that is not the vendor's and would be a success if it were: try again. The vendor may have
// acted all the same, where the answer was changed on its way back.
func (a Answer) Foreign() Verdict {
	return Verdict{
		Class: Later, Note: string(NotTheVendor),
		Detail: fmt.Sprintf("not the vendor's answer (%d, Content-Type %q): %s", a.Status, Cut(a.ContentType, 100), a.Body),
	}
}

// IsPage reports whether the answer is a web page: it calls itself HTML, or begins with a tag. APIs answer programs with something
// else. 204 and 205 have no content, whatever they call it.
func (a Answer) IsPage() bool {
	noContent := len(a.Body) == 0 && (a.Status == http.StatusNoContent || a.Status == http.StatusResetContent)
	return firstOf(a.Body) == '<' || a.isHTML() && !noContent
}

func (a Answer) isHTML() bool {
	media, _, _ := strings.Cut(a.ContentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/html")
}

// IsEmpty reports whether nothing came but white space.
func (a Answer) IsEmpty() bool { return firstOf(a.Body) == 0 }

// IsObject reports whether the body is a JSON object. Of one that was not read to its end, it is enough that it begins as one.
func (a Answer) IsObject() bool {
	body := bytes.TrimSpace(bytes.TrimPrefix(a.Body, []byte("\xef\xbb\xbf")))
	if !bytes.HasPrefix(body, []byte("{")) {
		return false
	}
	if json.Valid(body) {
		return true
	}
	err := json.NewDecoder(bytes.NewReader(body)).Decode(new(json.RawMessage))
	return errors.Is(err, io.ErrUnexpectedEOF) || err == nil && a.TooLong
}

// lead is what may stand before the first character of a text: the byte order marks of UTF-8, UTF-16 and UTF-32, the zero bytes of
// the wide ones, white space.
const lead = "\xef\xbb\xbf\xfe\xff\x00 \t\n\v\f\r"

// firstOf returns the first character of a text where it is one of ASCII, and 0 where there is none.
func firstOf(text []byte) byte {
	for _, c := range text {
		if strings.IndexByte(lead, c) < 0 {
			return c
		}
	}
	return 0
}
