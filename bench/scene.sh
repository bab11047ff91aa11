# shellcheck shell=bash
# Sourced by bench/wait and bench/storm, after scripts/common.sh: a folder, a
# repository of two commits with a bundle of 20 KiB, a server that follows it.
# What is left in: build edict dir pids port url data log old new

# scene_begin TARGET...: builds these and edict; everything ends with the script.
scene_begin() {
	build=${EDICT_BENCH_BUILD:-$root/build/release}
	[[ -d $build ]] || cmake --preset release -S "$root" -B "$build" >/dev/null
	cmake --build "$build" --target edict "$@" >/dev/null
	edict=$build/edict
	[[ -x $opa ]] || die "$opa is missing; scripts/get-opa gets it"
	ulimit -n "$(ulimit -Hn)"
	dir=$(mktemp -d "${TMPDIR:-/tmp}/edict-bench.XXXXXX")
	pids=()
	servers=0
	trap scene_end EXIT
	trap 'exit 130' INT TERM
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
	unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY
}

stop_all() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	pids=()
}

scene_end() {
	local status=$?

	[[ $status -eq 0 || ! -f ${log-} ]] || tail -n 15 "$log" >&2 || true
	stop_all
	rm -rf "$dir"
}

# await PID WHAT COMMAND...
await() {
	local pid=$1 what=$2 deadline=$((SECONDS + 120))

	shift 2
	until "$@"; do
		((SECONDS < deadline)) || die "gave up waiting for $what"
		kill -0 "$pid" 2>/dev/null || die "$what: its process ended by itself"
		sleep 0.05
	done
}

make_certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$dir/tls.key" -out "$dir/tls.pem" -days 2 \
		-subj /CN=localhost -addext subjectAltName=DNS:localhost \
		2>"$dir/openssl"
	chmod 600 "$dir/tls.key"
}

make_repository() {
	mkdir -p "$dir/policies/small"
	git -C "$dir/policies" init -q -b main
	git -C "$dir/policies" config user.name Alice
	git -C "$dir/policies" config user.email alice@example.org
	printf 'package small\n\nallow := true\n' >"$dir/policies/small/p.rego"
	printf 'package small_test\n\ntest_allow if data.small.allow\n' \
		>"$dir/policies/small/p_test.rego"
	# Text that does not compress, so that the bundle is as large.
	printf '{"noise": "%s"}' "$(head -c 15000 /dev/urandom | base64 -w 0)" \
		>"$dir/policies/small/data.json"
	printf 'bundles: {small: {paths: [small]}}\n' >"$dir/policies/edict.yaml"
	git -C "$dir/policies" add .
	git -C "$dir/policies" commit -q -m "A bundle"
	old=$(git -C "$dir/policies" rev-parse HEAD)
	printf '\nnewest := true\n' >>"$dir/policies/small/p.rego"
	git -C "$dir/policies" commit -q -a -m "Another"
	new=$(git -C "$dir/policies" rev-parse HEAD)
}

get() {
	curl -fsk -o "$1" -H "Authorization: Bearer $(<"$data/$2-token")" "$url$3"
}

# start_server LINE...: of its configuration, besides the usual.
start_server() {
	local scheme=http

	[[ $* != *tls:* ]] || scheme=https
	servers=$((servers + 1))
	port=$(free_port)
	url=$scheme://127.0.0.1:$port
	data=$dir/data$servers
	log=$dir/log$servers
	{
		echo "listen: 127.0.0.1:$port"
		echo "data_dir: $data"
		echo "repositories: {policies: {url: $dir/policies, branch: main, engine: [$opa]}}"
		printf '%s\n' "$@"
	} >"$dir/server.yaml"
	"$edict" serve -c "$dir/server.yaml" >"$dir/out" 2>"$log" &
	pids+=("$!")
	await "$!" "the server" test -f "$data/engine-token"
	await "$!" "the first bundle" get "$dir/bundle.new" engine /bundles/small
}

# http_pids: of those that run now, as the log has them; "12,13".
http_pids() {
	sed -n 's/.*process.started process=http[^ ]* .*pid=\([0-9]*\).*/\1/p
		s/.*process.started process=http pid=\([0-9]*\).*/\1/p' "$log" |
		while read -r pid; do
			[[ ! -d /proc/$pid ]] || echo "$pid"
		done | sort -u | paste -s -d ,
}

# The first start has no history to build: a rollback builds what is missing.
keep_both() {
	local rev

	for rev in "$old" "$new"; do
		get "$dir/answer" admin "/v1/clusters" # it is there
		curl -fsk -o "$dir/answer" -H "Content-Type: application/json" \
			-H "Authorization: Bearer $(<"$data/admin-token")" \
			-d "{\"to\": \"$rev\", \"reason\": \"bench\"}" \
			"$url/v1/bundles/small/rollback"
		await "${pids[-1]}" "the bundle of $rev" get "$dir/answer" admin \
			"/v1/bundles/small/revisions/$rev"
		await "${pids[-1]}" "$rev is served" serves "$rev"
		get "$dir/bundle.$([[ $rev == "$old" ]] && echo old || echo new)" \
			engine /bundles/small
	done
}

# serves REVISION: the assignment says so.
serves() {
	get "$dir/answer" admin /v1/clusters/default &&
		tr -d ' ' <"$dir/answer" | grep -q "\"revision\":\"$1\""
}
