//go:build !unix

package delivery

import "net"

// isQuiet cannot look without taking here: a connection that was closed shows when it is used.
func isQuiet(net.Conn) bool { return true }
