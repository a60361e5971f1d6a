package rpc

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// PeerCred answers who is at the other end of a unix socket, as the kernel
// says: user, group and process when it connected. ok is false for callers on
// other transports.
func PeerCred(ctx context.Context) (uid, gid uint32, pid int32, ok bool) {
	p, found := peer.FromContext(ctx)
	if !found {
		return 0, 0, 0, false
	}
	info, ok := p.AuthInfo.(socketCaller)
	return info.cred.Uid, info.cred.Gid, info.cred.Pid, ok
}

// peerCredentials is the plain transport, which on unix sockets also asks the
// kernel for the caller.
type peerCredentials struct{}

// socketCaller is the AuthInfo of a call over a unix socket.
type socketCaller struct {
	credentials.CommonAuthInfo
	cred unix.Ucred
}

func (socketCaller) AuthType() string { return "SO_PEERCRED" }

func (peerCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return insecure.NewCredentials().ServerHandshake(c)
	}
	cred, err := socketCred(u)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	level := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return c, socketCaller{level, *cred}, nil
}

func socketCred(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil {
		return nil, err
	}
	return cred, credErr
}

func (peerCredentials) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return insecure.NewCredentials().ClientHandshake(ctx, authority, c)
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return insecure.NewCredentials().Info()
}

func (p peerCredentials) Clone() credentials.TransportCredentials { return p }

// OverrideServerName is part of the interface and has no meaning here.
func (peerCredentials) OverrideServerName(string) error { return nil }
