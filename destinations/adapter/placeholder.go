package adapter

import (
	"regexp"
	"strings"
	"unicode"
)

// placeholders are the kinds of ids that many people share, because a program sent them in place of an id that it did not have.
// To merge with one joins strangers, and no vendor can undo it. Each kind has a page that shows it. words are ids that are
// looked up, and examples those that a rule below finds.
//
// "guest" is not here, as it may be somebody's name: the settings can block it.
var placeholders = []struct {
	source          string
	words, examples []string
}{
	{
		source: "https://docs.mixpanel.com/docs/tracking-methods/id-management",
		words: []string{
			"anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "<nil>", "-1", "true", "false", "[]", "{}",
		},
		examples: []string{"0", "00000000-0000-0000-0000-000000000000"},
	},
	{source: "https://support.kissmetrics.io/docs/squished-identities-multiple-identities-aliased-together", words: []string{"missing"}},
	{ // how Python, Java, Objective-C and pandas write a value that is not there, too
		source:   "https://github.com/PostHog/posthog/pull/17325",
		words:    []string{"NaN", "(null)", "<null>", "(none)", "<none>", "<na>"},
		examples: []string{`"null"`, `'undefined'`, `"0"`, `\"null\"`, `""`, `["null"]`, `[null,""]`, `{"id":null}`, `{"userId":"undefined"}`, `{'id': None}`},
	},
	{
		source:   "https://developer.mozilla.org/en-US/docs/Web/JavaScript/Reference/Global_Objects/Object/toString",
		words:    []string{"[object Object]", "[object Undefined]", "[object Null]"},
		examples: []string{"[object Promise]", "[object Window]", "[object HTMLInputElement]", `"[object Object]"`},
	},
	{ // an iPhone whose owner does not allow tracking, and whatever else was never set
		source: "https://developer.apple.com/documentation/adsupport/asidentifiermanager/advertisingidentifier",
		examples: []string{
			"00", "-0", "+0", "0.0", "0.", ".0", "0,0", "(0)", "000-000", "0_0", "0x0", "0x0000000000000000", "00:00:00:00:00:00", "000000000000000",
			"{00000000-0000-0000-0000-000000000000}", "０", "٠",
		},
	},
	{
		source: "https://github.com/segmentio/analytics-react-native/issues/439",
		examples: []string{
			"anonymousId", "userId", "user_id", "distinct_id", "$distinct_id", "$device_id", "previousId", "groupId", "id", "email", ":userId", "<id>", "{user_id}",
		},
	},
	{
		source:   "https://docs.swift.org/swift-book/documentation/the-swift-programming-language/thebasics/#Optionals",
		examples: []string{"Optional(nil)", `Optional("")`, `Optional("null")`, "Optional(Optional(nil))", "Optional(0)"},
	},
	{
		source:   "https://github.com/mixpanel/mixpanel-swift/issues/180",
		examples: []string{"User:0", "user_undefined", "user-null", "user_id=null", "anon-none", "$device:undefined", "null null", "undefined_undefined", "org:nil"},
	},
	{source: "https://mailchimp.com/help/getting-started-with-merge-tags/", examples: []string{"*|ID|*", "*|UNIQID|*", "user-*|ID|*"}},
	{source: "https://handlebarsjs.com/guide/", examples: []string{"{{user.id}}", "{{ user.id }}", "{{{id}}}", "user:{{id}}", "{{first}}-{{last}}"}},
	{source: "https://help.salesforce.com/s/articleView?id=mktg.mc_es_personalization_strings.htm", examples: []string{"%%id%%", "%%_subscriberkey%%"}},
	{
		source:   "https://developer.mozilla.org/en-US/docs/Web/JavaScript/Reference/Template_literals",
		examples: []string{"${id}", "user_${user.id}", "#{id}", "<%= id %>"},
	},
	{ // the ANDROID_ID of every phone of a popular model
		source: "https://android-developers.googleblog.com/2011/03/identifying-app-installations.html",
		words:  []string{"9774d56d682e549c"},
	},
	{ // the address that Android gives apps in place of the device's own
		source: "https://developer.android.com/about/versions/marshmallow/android-6.0-changes",
		words:  []string{"02:00:00:00:00:00"},
	},
}

var placeholderWords = func() map[string]bool {
	all := map[string]bool{}
	for _, p := range placeholders {
		for _, word := range p.words {
			all[fold(word)] = true
		}
	}
	return all
}()

// isPlaceholder reports whether a folded id is a placeholder. Nearly all ids are none, which a few characters tell.
func isPlaceholder(id string) bool {
	return id == "" || placeholderWords[id] || isZero(id) || isFieldName(id) || isWrapped(id) || isPrefixed(id) || isTemplate(id)
}

// isObject reports whether a text is what JavaScript makes of an object of any class. It is not folded: the space tells.
func isObject(text string) bool {
	class, is := strings.CutPrefix(strings.ToLower(text), "[object")
	return is && strings.HasSuffix(class, "]") && strings.TrimLeftFunc(class, unicode.IsSpace) != class
}

const zeros = "0０٠۰"

// isZero reports whether an id is nothing but zeros, what stands around and between them, and the prefix of hexadecimal
// numbers.
func isZero(id string) bool {
	id = strings.TrimPrefix(strings.TrimLeft(id, "+-({"), "0x")
	return strings.ContainsAny(id, zeros) && strings.Trim(id, zeros+".,:+-_{}()") == ""
}

// fieldNames are the names of the fields that hold ids, without what stands between their words.
var fieldNames = map[string]bool{
	"anonymousid": true, "userid": true, "previousid": true, "groupid": true, "distinctid": true, "deviceid": true, "id": true, "email": true,
}

// isFieldName reports whether an id is the name of a field, as in a form that was not filled in: userId, :userId, {user_id}.
func isFieldName(id string) bool {
	if len(id) > 20 {
		return false
	}
	return fieldNames[strings.ReplaceAll(strings.Trim(id, "$:<>{}[]()%#@"), "_", "")]
}

// wrappers are what programs put around a value: quotation marks, lists, JSON objects, Swift's and Rust's optional values.
var wrappers = []struct{ open, end string }{
	{`\"`, `\"`}, {`"`, `"`}, {"'", "'"}, {"`", "`"}, {"[", "]"}, {"{", "}"}, {"optional(", ")"}, {"some(", ")"},
}

// isWrapped reports whether an id is a wrapper with nothing but placeholders in it. What may have another meaning, such as {a},
// is none.
func isWrapped(id string) bool {
	for _, w := range wrappers {
		inner, opens := strings.CutPrefix(id, w.open)
		inner, ends := strings.CutSuffix(inner, w.end)
		if !opens || !ends {
			continue
		}
		switch w.open {
		case "{":
			return areMembers(inner)
		case "[":
			return areAll(inner, isPlaceholder)
		}
		return isPlaceholder(inner)
	}
	return false
}

// areMembers reports whether a JSON object's members all have a placeholder for their value.
func areMembers(inner string) bool {
	return areAll(inner, func(member string) bool {
		_, value, isMember := strings.Cut(member, ":")
		return isMember && isPlaceholder(value)
	})
}

func areAll(list string, is func(string) bool) bool {
	for item := range strings.SplitSeq(list, ",") {
		if !is(item) {
			return false
		}
	}
	return true
}

// prefixes are what programs put before an id to say of what it is.
var prefixes = setOf("user", "users", "usr", "userid", "uid", "id", "anon", "anonymous", "anonymousid", "visitor", "guest", "customer", "client",
	"member", "account", "person", "profile", "contact", "device", "deviceid", "distinct", "distinctid", "external", "externalid", "group", "org",
	"organization", "company")

// absent are the words for no value that are not the end of anybody's name after a prefix.
var absent = setOf("undefined", "null", "nil", "nan", "none", "unknown", "missing", "anonymous", "(null)", "<null>", "<nil>")

// separators are what may stand between a prefix and an id.
const separators = "_-:=|/.#$@ "

// isPrefixed reports whether an id is only prefixes and then a word for no value, or a zero after a colon. user_null is one,
// jane_null is not: it is a surname, too.
func isPrefixed(id string) bool {
	end := strings.LastIndexAny(id, separators)
	if end < 0 {
		return absentTwice[id]
	}
	last, before := id[end+1:], id[:end]
	if !absent[last] && !(isZero(last) && (id[end] == ':' || id[end] == '=')) {
		return false
	}
	for _, word := range strings.FieldsFunc(before, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if !prefixes[word] && !absent[word] {
			return false
		}
	}
	return true
}

// absentTwice are two of those words whose space was folded away, as in a first and a last name.
var absentTwice = func() map[string]bool {
	twice := map[string]bool{}
	for word := range absent {
		for other := range absent {
			twice[word+other] = true
		}
	}
	return twice
}()

// template is a place in a text that a program was to fill in.
var template = regexp.MustCompile(`\{\{\{?[^{}]*\}?\}\}|\*\|[^|]*\|\*|%%[^%]+%%|[$#]\{[^{}]*\}|<%[^%]*%>`)

// isTemplate reports whether an id is a template that was not filled in, or prefixes and such templates.
func isTemplate(id string) bool {
	if !strings.ContainsAny(id, "{%|") || !template.MatchString(id) {
		return false
	}
	filled := strings.Trim(template.ReplaceAllString(id, "-undefined-"), separators)
	return absent[filled] || isPrefixed(filled)
}

func setOf(words ...string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, word := range words {
		set[word] = true
	}
	return set
}
