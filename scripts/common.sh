# shellcheck shell=bash
# Sourced by the other scripts: where things are, and how to say things.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/build/tools
# Read by the scripts that source this file.
# shellcheck disable=SC2034
opa=$tools/opa

say() {
	printf '==> %s\n' "$*" >&2
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# The comment block at the top of a script is its help text.
usage() {
	awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
}

# configure PRESET: only when it was never done; ninja does it again by itself
# when a CMake file changes.
configure() {
	[[ -f $root/build/$1/build.ninja ]] || (cd "$root" && cmake --preset "$1")
}

# compile PRESET [TARGET...]
compile() {
	local preset=$1 targets=()

	shift
	[[ $# -eq 0 ]] || targets=(--target "$@")
	configure "$preset"
	(cd "$root" && cmake --build --preset "$preset" "${targets[@]}")
}

# A port of loopback that nobody listens at. Somebody may take it before we do;
# then the program says so and ends.
free_port() {
	local port

	while :; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}
