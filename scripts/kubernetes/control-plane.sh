# shellcheck shell=bash
# A control plane: etcd, kube-apiserver, kube-controller-manager; on 127.0.0.1, or with a node in the node's network.
# Sourced by scripts/cluster.
# All that a cluster is lies in one folder DIR; what a reader may rely on there is the file DIR/facts.

readonly READY_WITHIN=120 # seconds from start to a default ServiceAccount; 3 to 5 are usual
readonly SA_ISSUER=https://kubernetes.default.svc

# up DIR WITH_NODE: idempotent. Prints the facts on stdout.
up() {
	local dir=$1 node=$2
	if [[ $node == yes ]]; then
		need_root
		node_folder_fits "$dir"
		# A kubelet is never newer than its API server: both are of the version that is built here.
		unset KUBEBUILDER_ASSETS
	fi
	need openssl openssl "the test cluster's certificates are made with it"
	need flock util-linux "two runs must not build or start the same thing at once"
	find_programs
	[[ $node == no ]] || build_node
	mkdir -p "$dir"
	chmod 700 "$dir"
	with_lock "$dir/lock" up_under_lock "$dir" "$node"
	cat "$dir/facts"
}

up_under_lock() {
	local dir=$1 node=$2
	if [[ -e $dir/facts ]] && all_alive "$dir" && api "$dir" get --raw=/readyz >/dev/null 2>&1; then
		[[ $node == no ]] || node_wanted "$dir" || die "the cluster in $dir has no node: end it with 'down' first."
		say "Already running in $dir."
		return
	fi
	clear_away "$dir"
	mkdir -p "$dir/logs"
	trap 'give_up "$dir"' EXIT
	if [[ $node == yes ]]; then
		step "Starting Kubernetes ${KUBERNETES_NAME} with a node in $dir" bring_up_node "$dir"
	else
		step "Starting Kubernetes ${KUBERNETES_NAME} in $dir" bring_up "$dir"
	fi
	trap - EXIT
}

# clear_away DIR: what a run left behind that was killed. A node's Pods end with it, so its data ends too.
clear_away() {
	stop_all "$1" KILL
	node_wanted "$1" || return 0
	remove_space "$1"
	rm -rf "$1/node" "$1/etcd"
}

# give_up DIR: shows why nothing came of it, and leaves no process behind.
give_up() {
	local log
	for log in "$1"/logs/*.log; do
		[[ -s $log ]] || continue
		say "The end of $log:"
		tail -n 8 "$log" | cut -c 1-300 | sed 's/^/    /' >&2
	done
	clear_away "$1"
}

# bring_up DIR: five tries, for between choosing a free port and listening on it another process can take it.
bring_up() {
	local dir=$1 try
	make_pki "$dir/pki" >"$dir/logs/pki.log" 2>&1
	for try in 1 2 3 4 5; do
		rm -f "$dir"/logs/*.log
		choose_ports "$dir" "$try"
		: >"$dir/pids"
		start_all "$dir"
		if wait_ready "$dir"; then
			write_facts "$dir"
			return
		fi
		grep -qs "address already in use" "$dir"/logs/*.log || break
		stop_all "$dir" KILL
	done
	echo "not ready: $(cat "$dir/why")"
	return 1
}

# bring_up_node DIR: nobody else listens in the node's network, so the ports are those that people know.
bring_up_node() {
	local dir=$1
	rm -f "$dir"/logs/*.log
	make_pki "$dir/pki" >"$dir/logs/pki.log" 2>&1
	PORT=6443 ETCD_PORT=2379 PEER_PORT=2380
	: >"$dir/pids"
	prepare_node "$dir"
	start_all "$dir"
	start_node "$dir"
	if ! wait_ready "$dir" || ! wait_node "$dir"; then
		echo "not ready: $(cat "$dir/why")"
		return 1
	fi
	write_facts "$dir"
}

# choose_ports DIR TRY: sets PORT (the API server), ETCD_PORT, PEER_PORT. A cluster that was stopped with --keep gets
# its old ports again if nobody listens there (state 0A), so that kubeconfig files made from it stay good.
choose_ports() {
	local dir=$1 try=$2 used port ports=()
	used=" $(awk '$4 == "0A" { split($2, a, ":"); printf "%s ", a[2] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)"
	if ((try == 1)) && [[ -e $dir/ports ]]; then
		read -r -a ports <"$dir/ports"
		for port in "${ports[@]}"; do
			[[ $used != *" $(printf '%04X' "$port") "* ]] || { ports=(); break; }
		done
	fi
	# Below the range from which the kernel takes ports for outgoing connections, and below NodePorts.
	while ((${#ports[@]} < 3)); do
		port=$((20000 + RANDOM % 10000))
		[[ $used == *" $(printf '%04X' "$port") "* || " ${ports[*]} " == *" $port "* ]] || ports+=("$port")
	done
	PORT=${ports[0]} ETCD_PORT=${ports[1]} PEER_PORT=${ports[2]}
	echo "${ports[*]}" >"$dir/ports"
}

start_all() {
	local dir=$1 pki=$1/pki server=https://${NODE_ADDRESS:-127.0.0.1}:$PORT
	write_kubeconfig "$dir/admin.kubeconfig" "$server" "$pki" admin
	write_kubeconfig "$dir/controller-manager.kubeconfig" "$server" "$pki" controller-manager
	start_etcd "$dir" "$pki"
	start_apiserver "$dir" "$pki"
}

# Without fsync: what a power cut would cost is only this cluster. With client certificates, for others may be logged
# in to this machine.
start_etcd() {
	local dir=$1 pki=$2 client=https://127.0.0.1:$ETCD_PORT peer=https://127.0.0.1:$PEER_PORT
	start "$dir" etcd "$ETCD" --name=etcd --data-dir="$dir/etcd" --unsafe-no-fsync --log-level=warn \
		--quota-backend-bytes=4294967296 \
		--listen-client-urls="$client" --advertise-client-urls="$client" \
		--listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="etcd=$peer" \
		--client-cert-auth --trusted-ca-file="$pki/ca.crt" --cert-file="$pki/server.crt" --key-file="$pki/server.key" \
		--peer-client-cert-auth --peer-trusted-ca-file="$pki/ca.crt" \
		--peer-cert-file="$pki/server.crt" --peer-key-file="$pki/server.key"
}

start_apiserver() {
	local dir=$1 pki=$2
	# shellcheck disable=SC2054 # the commas belong to the flags
	local flags=(
		--secure-port="$PORT" --cert-dir="$pki"
		--tls-cert-file="$pki/server.crt" --tls-private-key-file="$pki/server.key" --client-ca-file="$pki/ca.crt"
		--etcd-servers="https://127.0.0.1:$ETCD_PORT" --etcd-cafile="$pki/ca.crt"
		--etcd-certfile="$pki/server.crt" --etcd-keyfile="$pki/server.key"
		--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
		--service-cluster-ip-range=10.96.0.0/16
		--service-account-issuer="$SA_ISSUER" --api-audiences="$SA_ISSUER"
		--service-account-key-file="$pki/service-account.pub"
		--service-account-signing-key-file="$pki/service-account.key"
		# There is no kubelet here; a test may bring its own (a Node whose InternalIP is 127.0.0.1).
		--kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key"
		--kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP
		# Blocking: a request is answered only after its line is in the log. Size 0: the file is never rotated.
		--audit-policy-file="$SCRIPTS/kubernetes/audit-policy.yaml" --audit-log-path="$dir/audit.log"
		--audit-log-mode=blocking --audit-log-maxsize=0
		# Tests send hundreds of thousands of requests.
		--max-requests-inflight=4000 --max-mutating-requests-inflight=2000
		--profiling=false
	)
	if node_wanted "$dir"; then
		# The last: webhooks are called at their pods, for nobody translates a Service's address for this process.
		flags+=(--bind-address=0.0.0.0 --advertise-address="$NODE_ADDRESS" --enable-aggregator-routing=true)
	else
		# A loopback address may not stand in the endpoints of the Service "kubernetes", so it gets none.
		flags+=(--bind-address=127.0.0.1 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none)
	fi
	start "$dir" kube-apiserver "$APISERVER" "${flags[@]}"
}

start_controller_manager() {
	local dir=$1 pki=$2 of_node=()
	! node_wanted "$dir" || of_node=(--allocate-node-cidrs --cluster-cidr="$POD_CIDR" --node-cidr-mask-size=24)
	# Port 0: it serves nothing.
	start "$dir" kube-controller-manager "$CONTROLLER_MANAGER" --kubeconfig="$dir/controller-manager.kubeconfig" \
		--secure-port=0 --leader-elect=false --profiling=false --use-service-account-credentials \
		--kube-api-qps=200 --kube-api-burst=400 \
		--root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key" \
		--cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" "${of_node[@]}"
}

# With a cache of its own: kubectl's usual one is in the home directory, by address, and addresses come again.
api() { KUBECACHEDIR=$1/kubectl-cache "$KUBECTL" --kubeconfig="$1/admin.kubeconfig" --request-timeout=5s "${@:2}"; }

# wait_ready DIR: leaves the reason in DIR/why when it gives up. The controller manager is started on the way, when the
# API server answers: it ends by itself where that takes more than ten seconds, as on a busy machine it does. A Pod can
# be created only where its namespace has a default ServiceAccount, and the controller manager makes that last of all.
wait_ready() {
	local dir=$1 until=$((SECONDS + READY_WITHIN)) dead managed=$CONTROLLER_MANAGER
	echo "the API server does not answer" >"$dir/why"
	while ((SECONDS < until)); do
		dead=$(first_dead "$dir")
		if [[ -n $dead ]]; then
			echo "$dead has ended" >"$dir/why"
			return 1
		fi
		if api "$dir" get --raw=/readyz >/dev/null 2>"$dir/why"; then
			[[ -z $managed ]] || start_controller_manager "$dir" "$dir/pki"
			managed=
			[[ -n $CONTROLLER_MANAGER ]] || api "$dir" -n default create serviceaccount default >/dev/null 2>&1 || :
			if api "$dir" -n default get serviceaccount default >/dev/null 2>"$dir/why"; then
				rm -f "$dir/why"
				return 0
			fi
		fi
		sleep 0.2
	done
	return 1
}

write_facts() {
	local dir=$1
	cat >"$dir/facts.new" <<-FACTS
		SERVER=https://${NODE_ADDRESS:-127.0.0.1}:$PORT
		CA=$dir/pki/ca.crt
		CA_KEY=$dir/pki/ca.key
		ADMIN_KUBECONFIG=$dir/admin.kubeconfig
		AUDIT_LOG=$dir/audit.log
		SA_ISSUER=$SA_ISSUER
		SA_SIGNING_KEY=$dir/pki/service-account.key
		VERSION=$(api "$dir" get --raw=/version | awk -F'"' '$2 == "gitVersion" { print $4 }')
		KUBECTL=$KUBECTL
		ETCD=https://127.0.0.1:$ETCD_PORT
		LOGS=$dir/logs
		PIDS=$dir/pids
	FACTS
	! node_wanted "$dir" || write_node_facts "$dir" >>"$dir/facts.new"
	mv "$dir/facts.new" "$dir/facts"
}

# down DIR KEEP: ends what `up` started there and nothing else.
down() {
	local dir=$1 keep=$2
	if [[ ! -e $dir/lock ]]; then
		say "There is no cluster in $dir."
		return
	fi
	with_lock "$dir/lock" down_under_lock "$dir" "$keep"
}

# Only files that a cluster is made of are removed, whatever else may lie in DIR.
down_under_lock() {
	local dir=$1 keep=$2
	if [[ $keep == yes ]]; then
		! node_wanted "$dir" || die "a cluster with a node can't be kept: its Pods end with it."
		# In order and politely, for the data is to be read again.
		step "Stopping the cluster in $dir, keeping its state" stop_all "$dir" TERM
		return
	fi
	step "Stopping the cluster in $dir and removing it" clear_away "$dir"
	(
		cd "$dir" || exit 1
		rm -rf node ./*.kubeconfig etcd pki logs kubectl-cache audit.log pids ports facts facts.new why \
			lock
	)
	rmdir "$dir" 2>/dev/null || say "$dir holds files that are not the cluster's: they stay."
}

# run DIR WITH_NODE: in the foreground until it is interrupted or one of its processes ends.
run() {
	local dir=$1 node=$2
	[[ ! -e $dir/pids ]] || ! all_alive "$dir" || die "a cluster is already running in $dir: end it with 'down' first."
	trap 'down "$dir" no' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	up "$dir" "$node"
	say "Running until it is interrupted."
	while all_alive "$dir"; do
		# In the background, so that a signal is acted on at once.
		sleep 1 &
		wait $! || :
	done
	say "$(first_dead "$dir") has ended by itself. The end of its log:"
	tail -n 8 "$dir/logs/$(first_dead "$dir").log" | cut -c 1-300 >&2
	exit 1
}
