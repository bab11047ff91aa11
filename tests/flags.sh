#!/bin/sh
# Every flag of `opa build` and `opa sign` has its row in docs/opa-build.md, in
# the table of its command, and every row is about a flag that there is.
# Usage: flags.sh OPA PAGE
set -eu
opa=$1
page=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

for command in build sign; do
	"$opa" "$command" --help | sed '1,/^Flags:/d' |
		sed -n 's/^ *\(-[A-Za-z], \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p' |
		sort -u >"$work/has"
	awk -v heading="## opa $command" '
		/^## / { here = $0 == heading }
		here && /^\| `/ { print }' "$page" |
		sed -n 's/^| \(`-[A-Za-z]`, \)\{0,1\}`\(--[a-z0-9-]*\)` |.*/\2/p' |
		sort -u >"$work/told"
	if [ ! -s "$work/has" ]; then
		echo "opa $command --help lists no flags" >&2
		bad=1
	fi
	for flag in $(comm -23 "$work/has" "$work/told"); do
		echo "$page: no row for opa $command $flag" >&2
		bad=1
	done
	for flag in $(comm -13 "$work/has" "$work/told"); do
		echo "$page: opa $command has no $flag" >&2
		bad=1
	done
done
exit $bad
