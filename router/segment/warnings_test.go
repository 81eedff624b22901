package segment

import (
	"slices"
	"strings"
	"testing"
)

func TestTraitsAndPropertiesThatAreNoObjectsAreTold(t *testing.T) {
	for _, kind := range Types {
		for value, odd := range map[string]bool{
			`{}`: false, `{"a":1}`: false, `null`: false, `[]`: false, ` [ ] `: false, `""`: false,
			`"{\"email\":\"a@b.co\"}"`: true, `[1,2]`: true, `[{}]`: true, `7`: true, `true`: true, `" "`: false,
		} {
			for _, field := range []string{"traits", "properties"} {
				body := `{"type":"` + kind.String() + `","userId":"u","previousId":"p","event":"E","` + field + `":` + value + `}`
				got := warningsOf(t, body, Options{})
				if odd && !slices.Equal(got, []string{"invalid_" + field}) || !odd && len(got) > 0 {
					t.Errorf("%s: %v", body, got)
				}
			}
		}
	}
}

func TestAnIDUnderAKeyInAnotherSpellingIsTold(t *testing.T) {
	for body, want := range map[string]string{
		`{"type":"alias","userId":"u","previous_id":"p"}`:                                "previousId",
		`{"type":"alias","userId":"u","anonymousId":"a","previous_id":"p"}`:              "previousId",
		`{"type":"alias","user_id":"u","previousId":"p"}`:                                "userId",
		`{"type":"alias","user_id":"u","anonymous_id":"a","previousId":"p"}`:             "userId, anonymousId",
		`{"type":"identify","anonymousId":"a","user_id":7}`:                              "userId",
		`{"type":"identify","anonymousId":"a","userID":"u"}`:                             "userId",
		`{"type":"identify","anonymousId":"a","user-id":"u"}`:                            "userId",
		`{"type":"identify","anonymousId":"a","userid":"u"}`:                             "userId",
		`{"type":"track","event":"E","userId":"u","anonymous_id":"a"}`:                   "anonymousId",
		`{"type":"page","userId":"u","anonymous-Id":"a"}`:                                "anonymousId",
		`{"type":"screen","userId":"u","message_id":"m"}`:                                "messageId",
		`{"type":"group","userId":"u","group_id":"g"}`:                                   "groupId",
		`{"type":"group","userId":"u","groupId":"g","group_id":"g"}`:                     "",
		`{"type":"identify","userId":"u","user_id":"u"}`:                                 "",
		`{"type":"identify","userId":"u","anonymous_id":null}`:                           "",
		`{"type":"identify","userId":"u","anonymous_id":""}`:                             "",
		`{"type":"identify","userId":"u","previous_id":"p"}`:                             "",
		`{"type":"alias","userId":"u","from":"p","previous_id":"p"}`:                     "",
		`{"type":"identify","userId":"u","paid":"a","id":"a","users_id":"a","uuid":"x"}`: "",
		`{"type":"identify","userId":"u","traits":{"anonymous_id":"a"}}`:                 "",
	} {
		result, err := Parse([]byte(body), Options{ReceivedAt: receivedAt})
		if err != nil {
			t.Fatal(body, err)
		}
		var got []string
		for _, w := range result.Warnings {
			if w.Code != "misspelled_id" || w.Index != 0 {
				t.Errorf("%s: %v", body, w)
			}
			key, _, _ := strings.Cut(w.Message, ":")
			got = append(got, key)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, not %q", body, got, want)
		}
	}
}

func TestACallWithoutIDsIsToldOfTheirSpelling(t *testing.T) {
	for body, spelled := range map[string]bool{
		`{"type":"identify","user_id":"u"}`:               true,
		`{"type":"track","event":"E","anonymous_id":"u"}`: true,
		`{"type":"alias","previous_id":"u"}`:              true,
		`{"type":"identify","group_id":"g"}`:              false,
		`{"type":"identify"}`:                             false,
	} {
		_, err := Parse([]byte(body), Options{ReceivedAt: receivedAt})
		if err == nil || err.(*Error).Code != "missing_user_id" || strings.Contains(err.Error(), "user_id") != spelled {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestEachWarningHasItsSentence(t *testing.T) {
	for _, code := range WarningCodes {
		if code != warningMisspelledID && code != warningUnreadableTimestamp && warningMessages[code] == "" {
			t.Errorf("%s has no sentence", code)
		}
	}
}
