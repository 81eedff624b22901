//go:build unix

package delivery

import (
	"errors"
	"net"
	"syscall"
)

// listener tells whether a connection is quiet. It is made once for a connection, so that asking it allocates nothing.
type listener struct {
	socket syscall.RawConn
	peek   func(fd uintptr)
	quiet  bool
	came   [1]byte
}

// listen begins to listen to a connection.
func (l *listener) listen(c net.Conn) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	l.socket, _ = socket.SyscallConn()
	l.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), l.came[:], syscall.MSG_PEEK)
		l.quiet = errors.Is(err, syscall.EAGAIN)
	}
}

// isQuiet tells whether nothing has come on the connection, its end included. It takes nothing from it, and does not wait.
func (l *listener) isQuiet() bool {
	if l.peek == nil {
		return true
	}
	l.quiet = false
	// Not Read, which the deadline of the last exchange may end.
	return l.socket != nil && l.socket.Control(l.peek) == nil && l.quiet
}
