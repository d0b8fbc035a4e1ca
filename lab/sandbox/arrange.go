package sandbox

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// arrange runs as process 1 of the new namespaces, with the sandbox's folder,
// the program to become and the addresses. It says "ready" on descriptor 3.
//
// Where resolv.conf is a link into /run (systemd-resolved), its target is made
// anew there, since that folder is hidden. /etc is a copy, which programs of a node
// may write to.
const arrange = `
dir=$1 init=$2
shift 2
ip link set lo up
for address; do ip address add "$address" dev lo; done
echo pullkey-lab > /proc/sys/kernel/hostname
for folder in /run /var/lib /var/log; do
	mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mkdir /run/etc
mount -t tmpfs -o mode=755 tmpfs /run/etc
cp -a /etc/. /run/etc
mount --move /run/etc /etc
rmdir /run/etc
cover() {
	target=$(readlink -m "$2")
	case $target in
	/run/*) mkdir -p "${target%/*}"; : > "$target" ;;
	esac
	if [ -e "$target" ]; then mount --bind "$1" "$target"; fi
}
cover "$dir/hosts" /etc/hosts
cover "$dir/resolv.conf" /etc/resolv.conf
for file in "$dir"/sysctl/*; do
	name=${file##*/}
	cover "$file" "/proc/sys/$(echo "$name" | tr . /)"
done
echo ready >&3
exec 3>&- "$init"
`

// masked are the folders of which there are others inside. All but /etc are empty
// there: kubelet, containerd and the CNI plugins write there whatever they are told.
func masked() []string { return []string{"/run", "/var/run", "/var/lib", "/var/log", "/etc"} }

// Hides says whether a path of the host is not seen inside.
func Hides(path string) bool {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return slices.ContainsFunc(masked(), func(folder string) bool {
		return path == folder || strings.HasPrefix(path, folder+"/")
	})
}

// kernelSettings are what kubelet insists on (kubelet, setupKernelTunables:
// pkg/kubelet/cm/container_manager_linux.go). It writes them only where they
// differ from what it reads, so that showing it these leaves the host's alone.
func kernelSettings() map[string]string {
	return map[string]string{
		"vm.overcommit_memory":      "1",
		"vm.panic_on_oom":           "0",
		"kernel.panic":              "10",
		"kernel.panic_on_oops":      "1",
		"kernel.keys.root_maxkeys":  "1000000",
		"kernel.keys.root_maxbytes": "25000000",
	}
}

// writeFiles writes what arrange shows inside.
func (s *Sandbox) writeFiles(hosts map[string]netip.Addr) error {
	err := os.RemoveAll(s.dir) // what an earlier one wrote
	if err == nil {
		err = os.MkdirAll(filepath.Join(s.dir, "sysctl"), 0o700)
	}
	if err != nil {
		return fmt.Errorf("making the sandbox's folder anew: %w", err)
	}
	for name, value := range kernelSettings() {
		if err := s.publish(filepath.Join("sysctl", name), value+"\n"); err != nil {
			return err
		}
	}
	// A resolver that refuses at once: 127.0.0.1 has no name server.
	if err := s.publish("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"); err != nil {
		return err
	}
	return s.SetHosts(hosts)
}

// SetHosts replaces the names that exist inside.
func (s *Sandbox) SetHosts(hosts map[string]netip.Addr) error {
	lines := []string{"127.0.0.1 localhost", "127.0.0.1 pullkey-lab"}
	for name, address := range hosts {
		lines = append(lines, address.String()+" "+name)
	}
	slices.Sort(lines)
	s.mu.Lock()
	s.hosts = hosts
	s.mu.Unlock()
	return s.publish("hosts", strings.Join(lines, "\n")+"\n")
}

// publish writes a file in place, since a bind mount shows the file and not
// its name; and all of it before it is cut, so that no reader finds it empty.
func (s *Sandbox) publish(name, content string) error {
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // read by every user inside
	if err != nil {
		return fmt.Errorf("writing the sandbox's %s: %w", name, err)
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Truncate(int64(len(content)))
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("writing the sandbox's %s: %w", name, err)
	}
	return nil
}
