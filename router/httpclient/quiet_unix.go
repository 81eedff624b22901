//go:build unix

package httpclient

import (
	"errors"
	"net"
	"syscall"
)

// peeker tells whether a connection is quiet. It is made once for a connection, so that asking it allocates nothing.
type peeker struct {
	socket syscall.RawConn
	peek   func(fd uintptr)
	quiet  bool
	came   [1]byte
}

// watch has the peeker look at this connection.
func (p *peeker) watch(c net.Conn) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	p.socket, _ = socket.SyscallConn()
	p.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), p.came[:], syscall.MSG_PEEK)
		p.quiet = errors.Is(err, syscall.EAGAIN)
	}
}

// isQuiet tells whether nothing has come on the connection, its end included. It takes nothing from it, and does not wait.
func (p *peeker) isQuiet() bool {
	if p.peek == nil {
		return true
	}
	p.quiet = false
	// Not Read, which the deadline of the last exchange may end.
	return p.socket != nil && p.socket.Control(p.peek) == nil && p.quiet
}
