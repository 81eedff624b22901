package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"aka/router/segment"
)

// explainer says what would become of a body: see Config.Explain.
type explainer func(body []byte, source string, device bool) (any, error)

// answer says what would become of the body. It takes the content for JSON whatever its type, as SDKs are taken.
func (e explainer) answer(r *http.Request) (any, error) {
	query, err := readQuery(r, "source", "device")
	if err != nil {
		return nil, err
	}
	device, given := query["device"]
	if problem := oneOf("device", device, []string{"true", "false"}); given && problem != nil {
		return nil, problem
	}
	body, err := io.ReadAll(r.Body)
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, &problem{http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("body: expected at most %d bytes", large.Limit)}
	}
	if err != nil {
		return nil, &problem{http.StatusBadRequest, "body_unreadable", "body: " + err.Error()}
	}
	explanation, err := e(body, query["source"], device == "true")
	if blame := (*segment.Error)(nil); errors.As(err, &blame) {
		return nil, &problem{http.StatusBadRequest, blame.Code, blame.Message}
	}
	if err != nil {
		return nil, &problem{http.StatusBadRequest, "unknown_source", "source: " + err.Error()}
	}
	return explanation, nil
}
