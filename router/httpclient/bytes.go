package httpclient

// byteSet is some of all bytes.
type byteSet [256]bool

var (
	// tokenBytes are those of a method, and of a header's name: https://www.rfc-editor.org/rfc/rfc9110#name-tokens
	tokenBytes = alphanumericAnd("!#$%&'*+-.^_`|~")
	// valueBytes are those of a header's value: all but the control characters, of which it may have tabs.
	valueBytes = bytesThat(func(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' })
	// hostBytes are those of a host, its port included: https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2
	hostBytes = alphanumericAnd("-._~!$&'()*+,;=%:[]")
	// pathBytes are those that a URL's path may hold as they are, but for the percent sign, and queryBytes those of its query.
	pathBytes  = alphanumericAnd("/-_.~!$&'()*+,;=:@")
	queryBytes = bytesThat(func(c byte) bool { return !endsURL(rune(c)) && c != '#' })
)

func alphanumericAnd(others string) *byteSet {
	set := bytesThat(func(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' })
	for i := range len(others) {
		set[others[i]] = true
	}
	return set
}

func bytesThat(are func(c byte) bool) *byteSet {
	set := new(byteSet)
	for c := range set {
		set[c] = are(byte(c))
	}
	return set
}

// all reports whether every byte of a text is one of the set.
func all[T string | []byte](text T, set *byteSet) bool {
	for i := range len(text) {
		if !set[text[i]] {
			return false
		}
	}
	return true
}

func isToken[T string | []byte](text T) bool { return len(text) > 0 && all(text, tokenBytes) }
