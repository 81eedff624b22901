package segment

import (
	"reflect"
	"testing"
)

const editable = `{"type":"page","messageId":"m","userId":"u","name":"Top","properties":{"name":"Inner","n":12345678901234567890},` +
	`"traits":null,"context":{"ip":"198.51.100.7:80","page":{"path":"/"}},"request_ip":"198.51.100.7"}`

func TestWithFields_IsWhatDecodeMakesOfTheSameJSON(t *testing.T) {
	for _, body := range []string{editable, benchAlias, benchTrack} {
		message := parseOne(t, body)
		call, err := message.Decode()
		if err != nil {
			t.Fatal(err)
		}
		edited := call.WithFields(call.Fields())
		message.JSON = edited.JSON()
		again, err := message.Decode()
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []*Call{call, again} {
			if edited.Header != other.Header || edited.Event != other.Event || edited.Name != other.Name || edited.Category != other.Category ||
				!reflect.DeepEqual(edited.Properties, other.Properties) || !reflect.DeepEqual(edited.Traits, other.Traits) ||
				!reflect.DeepEqual(edited.Context(), other.Context()) || !reflect.DeepEqual(edited.Fields(), other.Fields()) {
				t.Errorf("%s became %s", call.JSON(), edited.JSON())
			}
		}
	}
}

func TestWithFields_LeavesHeaderAndCallAsTheyAre(t *testing.T) {
	message := parseOne(t, editable)
	call, err := message.Decode()
	if err != nil {
		t.Fatal(err)
	}
	before := string(call.JSON())
	fields := call.Fields()
	delete(fields, "name")
	fields["userId"], fields["traits"] = "somebody else", "no object"
	delete(fields["properties"].(map[string]any), "n")
	edited := call.WithFields(fields)
	switch {
	case edited.UserID != "u" || edited.Name != "Inner" || len(edited.Properties) != 1 || len(edited.Traits) != 0:
		t.Errorf("became %+v", edited)
	case string(call.JSON()) != before || call.Name != "Top" || len(call.Properties) != 2:
		t.Errorf("the call became %+v", call)
	case edited.Context()["ip"] != "198.51.100.7" || fields["context"].(map[string]any)["ip"] != "198.51.100.7:80":
		t.Error("the address is not plain, or the fields were changed")
	}
}
