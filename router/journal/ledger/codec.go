package ledger

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"aka/router/journal/codec"
	"aka/router/segment"
)

const version = 1

// The fields of a stored entry. A reader skips tags that it does not know.
const (
	tagTime = iota + 1
	tagSource
	tagMessageID
	tagCall // type, verdict, decider
	tagRule
	tagReason
	tagSizes // status, then the sizes
	tagFrom
	tagTo
	tagPosition
	tagMayBeSent // is there where it is true
	tagDry       // is there where it is true
)

// Encode returns the entry as it is stored: without its number and destination, which are its key. Texts that are too long
// are cut.
func Encode(e *Entry) []byte {
	out := codec.AppendField([]byte{version}, tagTime, codec.AppendTime(nil, e.Time))
	for _, field := range [...]struct {
		tag  uint64
		text string
		most int
	}{{tagSource, e.Source, maxText}, {tagMessageID, e.MessageID, MaxMessageID}, {tagRule, e.Rule, maxText}, {tagReason, e.Reason, maxText}} {
		if field.text != "" {
			out = codec.AppendField(out, field.tag, []byte(cut(field.text, field.most)))
		}
	}
	out = codec.AppendField(out, tagCall, []byte{byte(e.Type), byte(e.Verdict), byte(e.By)})
	sizes := binary.AppendUvarint(nil, uint64(max(e.Status, 0)))
	for _, n := range [...]uint32{e.FromIDs, e.ToIDs, e.IDs} {
		sizes = binary.AppendUvarint(sizes, uint64(n))
	}
	out = codec.AppendField(out, tagSizes, sizes)
	out = codec.AppendField(out, tagFrom, e.From[:])
	out = codec.AppendField(out, tagTo, e.To[:])
	position := binary.AppendUvarint(binary.AppendUvarint(nil, e.Position.Seq), uint64(max(e.Position.Index, 0)))
	out = codec.AppendField(out, tagPosition, position)
	if e.MayBeSent {
		out = codec.AppendField(out, tagMayBeSent, nil)
	}
	if e.Dry {
		out = codec.AppendField(out, tagDry, nil)
	}
	return codec.AppendSum(out)
}

// cut shortens a text to at most so many bytes, between two characters, and copies it: an entry keeps no frame in memory.
func cut(text string, most int) string {
	if len(text) <= most {
		return strings.Clone(text)
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return strings.Clone(text[:most])
}

// Bounded returns the entry with its texts as they will be stored.
func Bounded(e Entry) Entry {
	e.Source, e.Rule, e.Reason = cut(e.Source, maxText), cut(e.Rule, maxText), cut(e.Reason, maxText)
	e.MessageID = cut(e.MessageID, MaxMessageID)
	return e
}

// Decode reads what Encode wrote. The error is codec.ErrDamaged.
func Decode(data []byte) (e Entry, err error) {
	body, sound := codec.CutSum(data)
	if !sound || len(body) == 0 {
		return e, fmt.Errorf("%w: checksum", codec.ErrDamaged)
	}
	if body[0] != version {
		return e, fmt.Errorf("%w: version %d, this program reads %d", codec.ErrDamaged, body[0], version)
	}
	r := codec.Reader{Data: body[1:]}
	for len(r.Data) > 0 && r.Err == nil {
		tag := r.Uvarint()
		field := codec.Reader{Data: r.Bytes(r.Uvarint())}
		if r.Err != nil {
			break
		}
		e.take(tag, &field)
		if field.Err != nil {
			return Entry{}, field.Err
		}
	}
	if r.Err != nil {
		return Entry{}, r.Err
	}
	if e.Verdict == 0 {
		return Entry{}, fmt.Errorf("%w: no verdict", codec.ErrDamaged)
	}
	return e, nil
}

// take reads one field.
func (e *Entry) take(tag uint64, field *codec.Reader) {
	switch tag {
	case tagTime:
		e.Time = field.Time()
	case tagSource:
		e.Source = text(field, maxText)
	case tagMessageID:
		e.MessageID = text(field, MaxMessageID)
	case tagRule:
		e.Rule = text(field, maxText)
	case tagReason:
		e.Reason = text(field, maxText)
	case tagCall:
		e.Type, e.Verdict, e.By = segment.Type(field.Byte()), Verdict(field.Byte()), Decider(field.Byte())
	case tagSizes:
		e.Status = int(field.Uvarint() & 0xffff)
		for _, n := range [...]*uint32{&e.FromIDs, &e.ToIDs, &e.IDs} {
			*n = uint32(field.Uvarint())
		}
	case tagFrom:
		digest(&e.From, field)
	case tagTo:
		digest(&e.To, field)
	case tagMayBeSent:
		e.MayBeSent = true
	case tagDry:
		e.Dry = true
	case tagPosition:
		e.Position.Seq = field.Uvarint()
		e.Position.Index = int(field.Uvarint() & 0xffffffff)
	}
}

func text(field *codec.Reader, most int) string { return cut(string(field.Data), most) }

func digest(into *Digest, field *codec.Reader) {
	if len(field.Data) != len(into) {
		field.Fail("digest of %d bytes", len(field.Data))
		return
	}
	copy(into[:], field.Data)
}
