#!/bin/bash
# All tests: unit, real API server, real node. Says what it skipped and why;
# with CI=true nothing may be skipped. As root on Debian it installs what is
# missing; without root the node's tests are left out, and it says so.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pullkey
log=$(mktemp -t pullkey-test-XXXXXX.log)
missing=()
command -v gcc > /dev/null || missing+=(gcc libc6-dev) # for the race detector
command -v skopeo > /dev/null || missing+=(skopeo)
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
		echo "installing ${missing[*]} …"
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -y --no-install-recommends "${missing[@]}" > "$log" 2>&1 ||
			{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } > "$log" 2>&1 ||
			{ cat "$log"; exit 1; }
	else
		echo "not installed, and only root could: ${missing[*]}"
	fi
fi
# Debian's docker package starts an engine; the tests need the client alone.
if ! command -v docker > /dev/null && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
	if [ ! -x "$cache/docker/usr/bin/docker" ]; then
		echo "unpacking Debian's docker client into the cache folder …"
		mkdir -p "$cache/docker"
		(cd "$cache/docker" && chmod 755 . && { apt-get download docker.io || { apt-get update && apt-get download docker.io; }; }) > "$log" 2>&1 ||
			{ cat "$log"; exit 1; }
		dpkg -x "$cache"/docker/docker.io_*.deb "$cache/docker"
	fi
	PATH=$PATH:$cache/docker/usr/bin
fi

race=-race
command -v gcc > /dev/null || { race=; echo "skipped: the race detector (there is no C compiler)"; }

# show prints what matters while it comes, and keeps everything in the log.
show() {
	tee -a "$log" | awk '
		/^(ok|FAIL|panic:|building|installing)/ || /^ *--- FAIL/ || /^\?.*no test files/ { if ($1 != "?") print; next }
		/^ *--- SKIP/ { skip = $0; next }
		skip != "" { print "skipped:" substr(skip, index(skip, "SKIP") + 5) ":" $0; skip = "" }
		/_test\.go:[0-9]+: / { held = held $0 "\n" }
		/^(=== RUN|--- PASS)/ { held = "" }
	'
}

: > "$log"
status=0
go test $race -v ./... 2>&1 | show || status=1
go -C lab test -timeout 45m -p 1 -v ./... 2>&1 | show || status=1
if [ $status != 0 ]; then
	echo "not all tests passed; the whole output is in $log, the failures:"
	grep -B 40 -E '^ *--- FAIL' "$log" | grep -vE '^=== (RUN|PAUSE|CONT)|--- PASS' | tail -200
	exit 1
fi
skipped=$(grep -cE '^ *--- SKIP' "$log" || true)
passed=$(grep -cE '^ *--- PASS' "$log" || true)
echo "$passed passed, 0 failed, $skipped skipped"
rm -f "$log"
if [ "${CI:-}" = true ] && [ "$skipped" != 0 ]; then
	echo "with CI=true nothing may be skipped"
	exit 1
fi
