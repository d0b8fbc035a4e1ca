# Sourced by the scripts: needs PROGRAM:PACKAGE … installs the Debian packages
# of the programs that are missing, as root; otherwise it says what is missing
# and goes on, since whoever needs a program says so too.
needs() {
	missing=
	for pair; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair#*:}"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
		echo "not installed, and only root with apt-get could:$missing"
		return 0
	fi
	echo "installing$missing …"
	if ! quietly apt install -y --no-install-recommends $missing; then
		quietly apt update && quietly apt install -y --no-install-recommends $missing || {
			echo "$said" >&2
			return 1
		}
	fi
}

# needs_for_tests makes available what the tests use.
needs_for_tests() {
	needs gcc:gcc cc:libc6-dev curl:curl skopeo:skopeo ip:iproute2 chromium:chromium
	needs_docker
	needs_containerd
}

# needs_docker makes Debian's docker, client and engine, available.
needs_docker() {
	{ command -v docker && command -v dockerd; } > /dev/null && return 0
	unpack docker docker.io usr/sbin/dockerd || return 1
	if [ -x "$unpacked/usr/sbin/dockerd" ] && ldd "$unpacked/usr/sbin/dockerd" | grep -q 'not found'; then
		quietly apt install -y --no-install-recommends libdevmapper1.02.1 libsystemd0 || { echo "$said" >&2; return 1; }
	fi
	PATH=$PATH:$unpacked/usr/bin:$unpacked/usr/sbin
}

# needs_containerd makes Debian's containerd available beside the one that is
# built here.
needs_containerd() { unpack containerd containerd usr/bin/containerd; }

# unpack FOLDER PACKAGE PROGRAM unpacks a Debian package into $unpacked, a folder
# of the cache. Installed, the packages would start their daemons on the host; the
# tests run their own in a sandbox.
unpack() {
	unpacked=${XDG_CACHE_HOME:-$HOME/.cache}/pullkey/$1
	if [ -x "$unpacked/$3" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
		return 0
	fi
	echo "unpacking Debian's $1 into the cache folder …"
	mkdir -p "$unpacked"
	(cd "$unpacked" && { quietly apt download "$2" || { quietly apt update && quietly apt download "$2"; }; } || { echo "$said" >&2; exit 1; }) || return 1
	dpkg -x "$unpacked/$2"_*.deb "$unpacked"
	rm "$unpacked/$2"_*.deb
}

# Another apt may be at work, as on a machine that has just started.
apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }

# quietly keeps what a command says in $said.
quietly() { said=$("$@" 2>&1); }
