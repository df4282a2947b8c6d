# shellcheck shell=bash
# Control plane, agent and sidecar as processes of this machine: their configuration, their tokens, their start.
# Sourced by scripts/try.

readonly READY_WITHIN=60   # seconds; one or two are usual
readonly TOKEN_LIFE=20m    # of each token
readonly REFRESH_EVERY=300 # seconds

start_stack() {
	choose_ports
	mkdir -p "$TRY/control-plane" "$TRY/agent" "$TRY/runner"
	write_tokens
	write_control_plane
	start "$TRY" control-plane "$PROGRAMS/sallyport" serve --config "$TRY/control-plane/config.yaml"
	await "the control plane" answers "http://127.0.0.1:$CP_ADMIN_PORT/livez"
	PIN=$("$PROGRAMS/sallyport" pin "$TRY/control-plane/data")
	write_agent
	start "$TRY" agent "$PROGRAMS/sallyport-agent" "$TRY/agent/config.yaml"
	await "the agent" answers "http://127.0.0.1:$AGENT_ADMIN_PORT/readyz"
	write_sidecar
	start "$TRY" sidecar env "${SIDECAR[@]}" "$PROGRAMS/sallyport-sidecar"
	await "the sidecar" sidecar_ready
	start "$TRY" tokens bash -c "source '$SCRIPTS/lib.sh'; source '$SCRIPTS/sallyport/cluster.sh'
		source '$SCRIPTS/sallyport/stack.sh'; KUBECTL='$KUBECTL' ADMIN='$ADMIN' TRY='$TRY'; refresh_tokens"
	write_cli
}

# choose_ports: below the range from which the kernel takes ports for outgoing connections, and nobody's.
choose_ports() {
	local used port ports=()
	used=" $(awk 'FNR > 1 { split($2, a, ":"); printf "%s ", a[2] }' /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 2>/dev/null)"
	while ((${#ports[@]} < 5)); do
		port=$((20000 + RANDOM % 10000))
		[[ $used == *" $(printf '%04X' "$port") "* || " ${ports[*]} " == *" $port "* ]] || ports+=("$port")
	done
	CP_PORT=${ports[0]} CP_WEB_PORT=${ports[1]} CP_ADMIN_PORT=${ports[2]}
	AGENT_ADMIN_PORT=${ports[3]} SIDECAR_PORT=${ports[4]}
}

# token FILE ARG...: written whole or not at all.
token() {
	local file=$1
	shift
	admin create token --duration="$TOKEN_LIFE" "$@" >"$file.new"
	mv "$file.new" "$file"
}

# write_tokens: as the kubelet would project them into pods.
write_tokens() {
	token "$TRY/runner/token" -n "$NAMESPACE" default --audience=sallyport \
		--bound-object-kind=Pod --bound-object-name=runner
	token "$TRY/agent/token" -n sallyport sallyport-agent
	token "$TRY/agent/control-plane-token" -n sallyport sallyport-agent --audience=sallyport-agent
}

refresh_tokens() {
	# It leads a process group, so that what it waits for ends with it.
	trap 'trap - TERM; kill -TERM 0' TERM
	while :; do
		sleep "$REFRESH_EVERY" &
		wait $!
		write_tokens || say "the tokens could not be refreshed; trying again in $REFRESH_EVERY s"
	done
}

write_control_plane() {
	local folder=$TRY/control-plane issuer
	# Pinned with the administrator's rights, as an installation does: later the cluster can't swap them.
	admin get --raw /openid/v1/jwks >"$folder/keys.json"
	issuer=$(admin get --raw /.well-known/openid-configuration | sed -n 's/.*"issuer":"\([^"]*\)".*/\1/p')
	CLUSTER_UID=$(admin get namespace kube-system -o 'jsonpath={.metadata.uid}')
	# The built-in rules, with what makes one local vote enough: nobody but the person at this machine is the runner.
	cat >"$folder/policy.yaml" <<-YAML
		apiVersion: sallyport.dev/v1alpha1
		kind: Policy
		thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
		noPersonBehind:
		- serviceAccount: try/$NAMESPACE/default
	YAML
	cat >"$folder/config.yaml" <<-YAML
		data: data
		policy: policy.yaml
		listen:
		  quic: 127.0.0.1:$CP_PORT
		  web: 127.0.0.1:$CP_WEB_PORT
		  admin: 127.0.0.1:$CP_ADMIN_PORT
		clusters:
		- name: try
		  uid: $CLUSTER_UID
		  issuer: $issuer
		  keys: keys.json
		  agent: sallyport/sallyport-agent
		# Whoever may use this machine as this user may approve: only for trying.
		localSocket:
		  path: ../socket
		  uids: [$EUID]
		  groups: [sallyport-approvers]
		  dangerSingleLocalVote: true
	YAML
	((${#TRY} < 90)) || die "$TRY is too long a path for a Unix socket: put the tree somewhere shorter."
}

write_agent() {
	local folder=$TRY/agent server
	server=$(admin config view --raw --minify --flatten -o 'jsonpath={.clusters[0].cluster.server}')
	admin config view --raw --minify --flatten -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}' |
		base64 -d >"$folder/ca.crt"
	openssl rand 32 >"$folder/placeholder.key"
	cat >"$folder/config.yaml" <<-YAML
		cluster: try
		clusterUid: $CLUSTER_UID
		controlPlane:
		  address: 127.0.0.1:$CP_PORT
		  pin: $PIN
		tokenFile: $folder/control-plane-token
		placeholderKeys:
		  current: $folder/placeholder.key
		apiServer:
		  url: $server
		  caFile: $folder/ca.crt
		  tokenFile: $folder/token
		listen: 127.0.0.1:$AGENT_ADMIN_PORT
		log: {format: json}
	YAML
}

# write_sidecar: sets SIDECAR, its environment. It has no configuration file, for in a pod it would have none.
write_sidecar() {
	SIDECAR=(
		SALLYPORT_CONTROL_PLANE="127.0.0.1:$CP_PORT"
		SALLYPORT_CONTROL_PLANE_PIN="$PIN"
		SALLYPORT_LISTEN="127.0.0.1:$SIDECAR_PORT"
		SALLYPORT_POD_TOKEN_FILE="$TRY/runner/token"
		SALLYPORT_SERVE_DIR="$TRY/runner/serve"
		SALLYPORT_KUBECONFIG="$TRY/runner/kubeconfig"
		POD_NAMESPACE="$NAMESPACE"
	)
}

# sidecar_ready: it serves, and its session is open (a call that is answered by anyone but itself).
sidecar_ready() {
	env "${SIDECAR[@]}" "$PROGRAMS/sallyport-sidecar" ready 2>/dev/null &&
		KUBECACHEDIR=$TRY/runner/cache "$KUBECTL" --kubeconfig="$TRY/runner/kubeconfig" --request-timeout=2s \
			get --raw=/version >/dev/null 2>"$TRY/logs/first-call.log"
}

# write_cli: a sallyport that knows the socket.
write_cli() {
	cat >"$TRY/bin/sallyport" <<-SH
		#!/bin/sh
		SALLYPORT_SOCKET="$TRY/socket" exec "$PROGRAMS/sallyport" "\$@"
	SH
	chmod +x "$TRY/bin/sallyport"
}

answers() { curl -fsS --max-time 2 -o /dev/null "$1" 2>/dev/null; }

# await WHAT COMMAND ARG...
await() {
	local what=$1 until=$((SECONDS + READY_WITHIN))
	shift
	while ! "$@"; do
		all_alive "$TRY" || die "$(first_dead "$TRY") has ended while $what was waited for."
		((SECONDS < until)) || die "$what is not ready after $READY_WITHIN s."
		sleep 0.1
	done
	say "Ready: $what."
}
