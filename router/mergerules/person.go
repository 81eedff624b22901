package mergerules

import "aka/router/merges"

// Person is what is known of an id and of the person that it belongs to.
type Person = merges.Person
