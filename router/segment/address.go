package segment

// IPPolicy is what becomes of a call's context.ip.
type IPPolicy string

// The policies.
const (
	KeepIP      IPPolicy = "keep"
	AnonymizeIP IPPolicy = "anonymize" // its network is kept: 24 bits of IPv4, 48 of IPv6
	DropIP      IPPolicy = "drop"
)
