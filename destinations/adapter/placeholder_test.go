package adapter

import (
	"slices"
	"strings"
	"testing"

	"aka/router/segment"
)

func TestPlaceholdersAreBlockedWhereverTheyStand(t *testing.T) {
	guard := NewGuard(nil)
	for _, p := range placeholders {
		if !strings.HasPrefix(p.source, "https://") || len(p.words)+len(p.examples) == 0 {
			t.Errorf("%q needs a page, and ids", p.source)
		}
		for _, id := range slices.Concat(p.words, p.examples) {
			for _, written := range []string{id, strings.ToUpper(id), " " + id + "\u200b"} {
				for name, h := range map[string]segment.Header{
					"userId":      {Type: segment.Track, UserID: written},
					"anonymousId": {Type: segment.Identify, UserID: "u", AnonymousID: written},
					"previousId":  {Type: segment.Alias, UserID: "u", PreviousID: written},
					"groupId":     {Type: segment.Group, UserID: "u", GroupID: written},
				} {
					if got := guard.Check(&h); got != BlockedID {
						t.Errorf("%s %q: got %q", name, written, got)
					}
				}
			}
		}
	}
}

// Ids as real systems make them, the stranger ones among them.
var plausibleIDs = []string{
	"1", "7", "10", "100", "1000", "-10", "0.1", "01", "001", "0e12345", "0x1f", "0xdeadbeef", "10:00:00:00:00:00", "1e5",
	"507f191e810c19729de860ea", "00000000-0000-0000-0000-000000000001", "00000000-0000-4000-8000-000000000000", "9774d56d682e549d",
	"5b7c9e10-1111-4a22-8b33-0c44d55e6f77", "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "02:00:00:00:00:01",
	"auth0|507f191e810c19729de860ea", "google-oauth2|103547991597142817347", "us-east-1:1f2e3d4c-0000-1111-2222-333344445555",
	"user_1", "user-10", "user:7", "User:100", "user_0a", "user-0", "user_0", "u0", "usr_29fj3", "id-1", "id:10", "anon-7f0cc7a7", "anonymous-1", "anonymous_17",
	"$device:7f0cc7a7-9ae4-4b0e-9ad0-0f0cf6d5cbf1", "guest", "guest-7", "visitor-none-7", "cus_NffrFeUfNV2Hib", "gid://shop/Customer/7",
	"jane", "jane doe", "jane.null@example.com", "christopher.null", "jennifer-null", "j_none", "null@example.com", "undefined@example.com",
	"nilsson", "nils", "nil-by-mouth", "nullable", "nonna", "nan-7", "nana", "anna", "na-west-7", "trueblood", "falsehope", "missing-person-9", "unknownpleasures",
	"email@example.com", "id@example.com", "userid7", "emailer", "ideal", "identity", "optional", "optional(7)", `optional("jane")`, "some(7)",
	`"jane"`, `["jane"]`, `{"id":"jane"}`, `{"id":7}`, `{"id":null,"email":"jane@example.com"}`, "'7'", "{a}", "()", "-", "[7]", "(7)",
	"50%off", "100%", "50%df191e81", "a%%b", "jane{{", "{{jane", "*|", "a|b", "${", "{{user.id}}-7", "*|ID|*-7", "jane_${x}", "<b>",
	"object", "[objectives]", "0-1", "1-0", "0:1", "0.0.0.1", "10.0.0.0", "acme/undefined-behaviour", "undefinedbehavior", "xX_null_Xx", "dev-null",
	"\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f680", "\uc774\uc601\ud76c", "7f0cc7a7",
	"cXk3Zx0_SxK:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx", "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad",
}

func TestRealIDsPass(t *testing.T) {
	guard := NewGuard(nil)
	for _, id := range plausibleIDs {
		for _, kind := range segment.Types {
			h := segment.Header{Type: kind, UserID: id, AnonymousID: "a-" + id, PreviousID: "p-" + id, GroupID: id}
			if got := guard.Check(&h); got != "" {
				t.Errorf("%s of %q: got %q", kind, id, got)
			}
		}
		if guard.Blocks(id) {
			t.Errorf("%q is blocked", id)
		}
	}
}

// Other calls than a group's are not about the group.
func TestABlockedGroupIDDropsGroupCallsAlone(t *testing.T) {
	guard := NewGuard(nil)
	for _, kind := range segment.Types {
		got := guard.Check(&segment.Header{Type: kind, UserID: "u", PreviousID: "p", GroupID: "null"})
		if (got == BlockedID) != (kind == segment.Group) {
			t.Errorf("%s: got %q", kind, got)
		}
	}
}

// What is a placeholder stays one in quotation marks and behind a prefix, and what is none stays none.
func FuzzPlaceholder(f *testing.F) {
	for _, p := range placeholders {
		for _, id := range slices.Concat(p.words, p.examples) {
			f.Add(id)
		}
	}
	for _, id := range plausibleIDs {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if len(id) > MaxIDLength {
			return
		}
		id = fold(id)
		is := isPlaceholder(id)
		if quoted := isPlaceholder(`"` + id + `"`); quoted != is {
			t.Errorf("%q: %v, in quotation marks %v", id, is, quoted)
		}
		if listed := isPlaceholder("[" + id + "]"); is && !listed && !strings.Contains(id, ",") {
			t.Errorf("%q in a list is none", id)
		}
		if absent[id] != isPrefixed("user_"+id) && !strings.ContainsAny(id, separators) && !isZero(id) {
			t.Errorf("user_%s: %v", id, !absent[id])
		}
	})
}
