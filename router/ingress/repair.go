package ingress

// RepairsAliases reports whether aliases whose previousId an SDK has overwritten are repaired: unless the config says no.
func (s *Source) RepairsAliases() bool { return s.RepairAlias == nil || *s.RepairAlias }
