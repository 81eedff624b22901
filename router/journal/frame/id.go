package frame

// ID is what a call is recognized by, as it stands in a record.
type ID struct {
	Source, Target, MessageID []byte
	// Replayed calls are recognized by their dead letter.
	Replayed     bool
	DeadLetterID uint64
}

// EachID calls visit for the calls in a frame's records, as Unpack gives them, without decoding the rest. It stops at a
// record that cannot be read.
func EachID(records []byte, visit func(ID)) {
	r := readerOf(records)
	for len(r.Data) > 0 {
		one := readerOf(r.Bytes(r.Uvarint()))
		id := one.id()
		if r.Err != nil || one.Err != nil {
			return
		}
		visit(id)
	}
}

// id reads a record as far as its id needs.
func (r *recordReader) id() (id ID) {
	id.Replayed = r.Byte()&flagReplayed != 0
	r.Skip(4) // two times
	if id.Replayed {
		id.DeadLetterID = r.Uvarint()
		r.Skip(6)
	}
	id.Source, id.Target, id.MessageID = r.Bytes(r.Uvarint()), r.Bytes(r.Uvarint()), r.Bytes(r.Uvarint())
	return id
}
