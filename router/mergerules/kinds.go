package mergerules

import (
	"strings"
	"unicode"
)

// Kind is what an id names.
type Kind uint8

// The kinds. An id is a user's, unless something says otherwise.
const (
	User Kind = iota
	Email
	Device
)

// String returns the kind as in the config.
func (k Kind) String() string { return [...]string{"user", "email", "device"}[k] }

// IDs are the `ids` sections of the config: patterns that say what an id is. An empty list says nothing.
type IDs struct {
	// User are patterns of users' ids, such as usr_*. If your users' ids are e-mails, write *@* here. Otherwise an e-mail is only
	// one more name of a user, and no rule keeps two e-mails apart. At most 100. Default: none.
	User Patterns `yaml:"user"`
	// Email are patterns of e-mails. At most 100. Default: everything that has the shape of an e-mail.
	Email Patterns `yaml:"email"`
	// Device are patterns of devices' ids, such as anon-*. aka recognizes other devices by the calls, where they are an
	// anonymousId. To be a UUID is not enough. At most 100. Default: none.
	Device Patterns `yaml:"device"`
}

// Check reports every mistake, by its key below the section.
func (i *IDs) Check(report func(key, format string, args ...any)) {
	i.User.check("user", report)
	i.Email.check("email", report)
	i.Device.check("device", report)
}

// over returns the patterns with those of another section over them, key by key.
func (i IDs) over(own IDs) IDs {
	if len(own.User) > 0 {
		i.User = own.User
	}
	if len(own.Email) > 0 {
		i.Email = own.Email
	}
	if len(own.Device) > 0 {
		i.Device = own.Device
	}
	return i
}

// Kinds says what ids are, by the patterns of the config. It is safe for concurrent use. A nil one has no patterns.
type Kinds struct {
	global   IDs
	bySource map[string]IDs
}

// NewKinds returns the kinds by the patterns at the top of the config, and by those of sources, which replace them key by key.
func NewKinds(global IDs, bySource map[string]IDs) *Kinds {
	k := &Kinds{global: global, bySource: map[string]IDs{}}
	for source, own := range bySource {
		k.bySource[source] = global.over(own)
	}
	return k
}

func (k *Kinds) patterns(source string) IDs {
	if k == nil {
		return IDs{}
	}
	if own, ok := k.bySource[source]; ok {
		return own
	}
	return k.global
}

// CountsAsUser reports whether a userId of a call is to be remembered as a user: it is no e-mail and no device by its pattern or
// shape, and is not the call's own anonymousId.
func (k *Kinds) CountsAsUser(source, userID, anonymousID string) bool {
	kind, named := k.byPattern(source, userID)
	switch {
	case named == 1:
		return kind == User
	case named == 0 && k.isEmail(source, userID):
		return false
	}
	return kind == User && userID != anonymousID
}

// isEmail reports whether an id that no pattern names is an e-mail: patterns of e-mails replace their shape.
func (k *Kinds) isEmail(source, id string) bool {
	return len(k.patterns(source).Email) == 0 && isEmail(id)
}

// byPattern returns the kind that the patterns name, and how many kinds they name. Of several it is the first.
func (k *Kinds) byPattern(source, id string) (kind Kind, named int) {
	patterns := k.patterns(source)
	for i, list := range [...]Patterns{User: patterns.User, Email: patterns.Email, Device: patterns.Device} {
		if list.Match(id) {
			if named == 0 {
				kind = Kind(i)
			}
			named++
		}
	}
	return kind, named
}

// kindOf finds out what an id is. A pattern that names it decides, also against evidence: the operator knows his ids, and an
// SDK that sends the userId as the anonymousId too would make devices of users. If patterns of several kinds name it, evidence
// of a device decides between them. Then comes the shape of an e-mail, then the evidence of a device: the same call's anonymousId, the
// memory, the filter of devices. A user that the memory knows is no device for the filter, which errs at times.
func (j *judge) kindOf(id string, person Person) (kind Kind, explicit, unsure bool) {
	kind, named := j.kinds.byPattern(j.merge.Source, id)
	mayBeDevice := named == 0 || named > 1 && j.kinds.patterns(j.merge.Source).Device.Match(id)
	switch {
	case named == 1:
		return kind, true, false
	case named == 0 && j.kinds.isEmail(j.merge.Source, id):
		return Email, false, false
	case !mayBeDevice:
		return kind, true, false
	case id == j.merge.AnonymousID, person.IsDevice:
		return Device, false, false
	case j.devices != nil && !person.IsUser:
		if seen, sure := j.devices.Seen(id); seen {
			return Device, false, !sure
		}
	}
	return kind, named > 0, false
}

// isEmail reports whether an id has the shape of an e-mail: one @ with text before it, and a domain with a dot behind it.
func isEmail(id string) bool {
	local, domain, found := strings.Cut(id, "@")
	dot := strings.LastIndexByte(domain, '.')
	return found && local != "" && dot > 0 && dot < len(domain)-1 && !strings.Contains(domain, "@") &&
		!strings.ContainsFunc(id, unicode.IsSpace)
}
