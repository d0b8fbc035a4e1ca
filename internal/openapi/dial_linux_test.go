package openapi

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A socket whose queue of connections is full drops what arrives, as a network
// does that leads nowhere.
func TestNoConnectionIsWaitedForLongerThanItsTime(t *testing.T) {
	t.Parallel()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for n := 0; ; n++ {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = c.Close() })
		if n == 100 {
			t.Fatal("the queue never fills")
		}
	}
	cl := &Client{HTTP: &http.Client{Transport: Transport(nil, nil)}}
	began := time.Now()
	err = cl.Call(t.Context(), staticKey, []string{"https://" + address}, question, nil)
	took := time.Since(began)
	if !strings.Contains(err.Error(), "dial tcp "+address+": i/o timeout") || took < dialTimeout-time.Second/10 || took > defaultTimeout-time.Second {
		t.Errorf("%v after %v", err, took)
	}
}
