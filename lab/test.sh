#!/bin/bash
# All tests: unit, real API server, real node. Says what it skipped and why;
# with CI=true nothing may be skipped. As root on Debian it installs what is
# missing; without root the node's tests are left out, and it says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. lab/packages.sh
needs_for_tests

race=-race
command -v gcc > /dev/null || { race=; echo "skipped: the race detector (there is no C compiler)"; }
log=$(mktemp -t pullkey-test-XXXXXX.log)

# show keeps everything in the log and prints what matters while it comes.
show() {
	local line skip=
	while IFS= read -r line; do
		printf '%s\n' "$line" >> "$log"
		case $line in
		*"--- SKIP"*) skip=${line#*SKIP: } ;;
		"=== "* | *"--- PASS"* | *"no test files"*) skip= ;;
		ok\ * | ok$'\t'* | FAIL* | panic:* | building\ * | installing\ * | updating\ * | "# "* | *"--- FAIL"*) printf '%s\n' "$line" ;;
		*) [ -z "$skip" ] || printf 'skipped: %s: %s\n' "$skip" "$line"; skip= ;;
		esac
	done
}

status=0
go test $race -v ./... 2>&1 | show || status=1
# -count=1: the cache of results does not see what kubectl and go build read.
go -C lab test -count=1 -timeout 75m -p 1 -v ./... 2>&1 | show || status=1
go -C lab/oracles/kubelet test -count=1 -v ./... 2>&1 | show || status=1
go -C release test -count=1 -v ./... 2>&1 | show || status=1
skipped=$(grep -cE '^ *--- SKIP' "$log" || true)
passed=$(grep -cE '^ *--- PASS' "$log" || true)
failed=$(grep -cE '^ *--- FAIL' "$log" || true)
if [ $status != 0 ]; then
	if [ "$failed" = 0 ]; then
		tail -100 "$log"
	else
		grep -B 40 -E '^ *--- FAIL' "$log" | grep -vE '^=== (RUN|PAUSE|CONT)|--- PASS' | tail -200
	fi
	echo "not all tests passed; the whole output is in $log"
	echo "$passed passed, $failed failed, $skipped skipped"
	exit 1
fi
rm -f "$log"
echo "$passed passed, 0 failed, $skipped skipped"
if [ "${CI:-}" = true ] && [ "$skipped" != 0 ]; then
	echo "with CI=true nothing may be skipped"
	exit 1
fi
