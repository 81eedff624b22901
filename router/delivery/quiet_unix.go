//go:build unix

package delivery

import (
	"errors"
	"net"
	"syscall"
)

// isQuiet tells whether nothing has come on a connection, its end included. It takes nothing from it, and does not wait.
func isQuiet(c net.Conn) bool {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	// Not Read, which the deadline of the last exchange may end.
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		quiet = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && quiet
}
