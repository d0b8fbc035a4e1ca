#!/bin/sh
# Builds a command of lab/cmd, says so while it takes longer than a moment, and
# becomes it:  lab/run.sh COMMAND [ARGUMENT …]
set -eu
command=$1
shift
cd "$(dirname "$0")/.."
if [ "$command" = lab ] && [ "${1:-}" != scale ] && [ "${1:-}" != start ] && { [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; }; then
	echo "This needs Linux and root: it makes namespaces, mounts and cgroups." >&2
	echo "hint: make localacr runs the local ACR alone, anywhere; make check runs the tests that need no root" >&2
	exit 1
fi
if [ "$command" = lab ] && [ "${1:-}" != scale ]; then
	. lab/packages.sh
	needs ip:iproute2
	[ "${1:-}" != bench ] || needs skopeo:skopeo
fi
command -v go > /dev/null || { echo "This needs Go 1.26 in PATH." >&2; exit 1; }
mkdir -p .bin
# The first chapter begins with the building of its parts.
[ "${1:-}" != demo ] || echo "1. A local ACR"
began=$(date +%s)
go -C lab build -trimpath -buildvcs=false -o "../.bin/$command" "./cmd/$command" &
build=$!
trap 'kill $build 2> /dev/null || true' INT TERM
while kill -0 $build 2> /dev/null; do
	sleep 1
	elapsed=$(($(date +%s) - began))
	[ $((elapsed % 10)) != 3 ] || echo "   building its registry, authorization server and API … ${elapsed}s"
done
wait $build
trap - INT TERM
exec ".bin/$command" "$@"
