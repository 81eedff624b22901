package segment

// The codes of an alias from a browser, whose SDK sends other ids than the page's code named.
const (
	// PreviousIDOverwritten is of an alias that came with one id in both places: RepairAliases has put its anonymousId into the
	// place of its previousId.
	PreviousIDOverwritten = "previous_id_overwritten_by_sdk"
	// NewIDLost is of such an alias at a destination where the link was there already, or may have been. Then the page's code
	// may have named a new id, which the SDK did not send.
	NewIDLost = "new_id_lost_in_browser"
)

// RepairAliases gives the aliases of devices that name one id twice, and have another anonymousId, that anonymousId for their
// previousId, as if they had named none. Segment's SDK for browsers sends such an alias where an identify of the same user
// follows it at once: it reads the stored user when it sends. Only headers are changed: the JSON stays as it was sent. repairs
// reports whether the source of the message at i wants that.
func (r *Result) RepairAliases(repairs func(i int) bool) {
	rejected, index := r.Rejected, 0
	for i := range r.Messages {
		for ; len(rejected) > 0 && rejected[0].Index == index; index++ {
			rejected = rejected[1:]
		}
		if r.Messages[i].IsOverwritten() && repairs(i) && r.Messages[i].repairAlias() {
			r.warn(index, PreviousIDOverwritten)
		}
		index++
	}
}

// repairAlias reports whether there was something to repair.
func (h *Header) repairAlias() bool {
	if !h.IsOverwritten() || !h.FromDevice {
		return false
	}
	h.PreviousID, h.PreviousIDDefaulted, h.PreviousIDRepaired = h.AnonymousID, true, true
	return true
}

// IsOverwritten reports whether it is an alias of an id to itself that has another anonymousId. From a device it is repaired.
func (h *Header) IsOverwritten() bool {
	return h.Type == Alias && h.UserID != "" && h.UserID == h.PreviousID && h.AnonymousID != "" && h.AnonymousID != h.UserID
}

// MayHideNewID reports whether the call is a repaired alias, and nothing says what its page named as the new id.
func (h *Header) MayHideNewID() bool { return h.PreviousIDRepaired && !h.UserIDStamped }
