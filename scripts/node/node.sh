# shellcheck shell=bash
# One node, as real as it gets without Docker: containerd, kubelet, scheduler, and Cilium, which drops what network
# policy forbids. Sourced by scripts/cluster; space.sh says where all of it lives.

readonly NODE_NAME=node1 DNS_ADDRESS=10.96.0.10
readonly NODE_READY_WITHIN=120 # seconds from start to a Ready node with DNS; 15 to 20 are usual

# node_wanted DIR: whether the cluster in DIR has a node.
node_wanted() { [[ -e $1/node ]]; }

need_root() {
	((EUID == 0)) || die "a node needs root: it makes namespaces, mounts and cgroups. Without --node nobody needs to be root."
}

# node_folder_fits DIR: some folders of the machine are hidden from the node.
node_folder_fits() {
	case $1/ in
	/run/* | /var/run/* | /var/lib/* | /var/log/*) die "a node's state can't be in $1: it has folders of its own there." ;;
	esac
}

# prepare_node DIR: before the control plane starts, for that lives in the node's network too.
prepare_node() {
	local dir=$1
	make_space "$dir"
	make_node_pki "$dir" >>"$dir/logs/pki.log" 2>&1
	write_node_configs "$dir"
}

make_node_pki() {
	local dir=$1 pki=$1/pki
	# Each address anew, for it is chosen at start.
	sign "$pki" server "/CN=kube-apiserver" "serverAuth,clientAuth" "$SERVER_NAMES,IP:$NODE_ADDRESS"
	sign "$pki" kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" "clientAuth,serverAuth" "IP:$NODE_ADDRESS,DNS:$NODE_NAME"
	sign "$pki" scheduler "/CN=system:kube-scheduler" clientAuth
	sign "$pki" cilium "/O=system:masters/CN=cilium" clientAuth
}

write_node_configs() {
	local dir=$1 node=$1/node
	mkdir -p "$node/cni" "$node/bin"
	ln -sf "$CONTAINERD_CACHE/containerd-shim-runc-v2" "$CILIUM_CACHE/cilium-cni" "$node/bin"
	# Before containerd starts: it can miss a file that comes later.
	cat >"$node/cni/05-cilium.conflist" <<-'JSON'
		{"cniVersion": "1.0.0", "name": "cilium", "plugins": [{"type": "cilium-cni", "enable-debug": false}]}
	JSON
	cat >"$node/containerd.toml" <<-TOML
		version = 3
		root = "/var/lib/containerd"
		state = "/run/containerd"
		oom_score = 0
		[grpc]
		address = "$node/containerd.sock"
		[plugins.'io.containerd.cri.v1.runtime']
		# Not every root may raise its children's standing with the kernel's out-of-memory killer.
		restrict_oom_score_adj = true
		[plugins.'io.containerd.cri.v1.runtime'.cni]
		bin_dirs = ["$node/bin"]
		conf_dir = "$node/cni"
		use_internal_loopback = true
		[plugins.'io.containerd.cri.v1.images'.pinned_images]
		sandbox = "localhost/pause:1"
	TOML
	cat >"$node/kubelet.yaml" <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		containerRuntimeEndpoint: unix://$node/containerd.sock
		authentication:
		  x509: {clientCAFile: $dir/pki/ca.crt}
		  webhook: {enabled: true}
		  anonymous: {enabled: false}
		authorization: {mode: Webhook}
		tlsCertFile: $dir/pki/kubelet.crt
		tlsPrivateKeyFile: $dir/pki/kubelet.key
		cgroupDriver: cgroupfs
		cgroupRoot: /$SPACE
		failCgroupV1: false
		failSwapOn: false
		localStorageCapacityIsolation: false
		makeIPTablesUtilChains: false
		# Not a share of a disk that may be large: a node on one that is nearly full takes no Pods.
		evictionHard: {nodefs.available: 100Mi, imagefs.available: 100Mi, memory.available: 100Mi}
		resolvConf: ""
		clusterDNS: [$DNS_ADDRESS]
		clusterDomain: cluster.local
		podLogsDir: /var/log/pods
		volumePluginDir: /var/lib/kubelet/volume-plugins
		# A test waits for what the kubelet does.
		syncFrequency: 10s
		nodeStatusUpdateFrequency: 4s
		imageGCHighThresholdPercent: 100
		registryPullQPS: 0
		maxPods: 110
	YAML
}

# start_node DIR: beside the API server's start, and each step as soon as what it needs is there.
start_node() {
	local dir=$1 pki=$1/pki node=$1/node server=https://$NODE_ADDRESS:$PORT name importing
	for name in kubelet scheduler cilium; do write_kubeconfig "$dir/$name.kubeconfig" "$server" "$pki" "$name"; done
	echo "starting containerd"
	start "$dir" containerd "${IN_CGROUP[@]}" env PATH="$node/bin:$PATH" "$CONTAINERD_CACHE/containerd" --config "$node/containerd.toml"
	wait_containerd "$dir"
	import_images "$dir" >"$dir/logs/images.log" 2>&1 &
	importing=$!
	echo "waiting for the API server"
	wait_api "$dir"
	start "$dir" kube-scheduler "$KUBERNETES_CACHE/kube-scheduler" --kubeconfig="$dir/scheduler.kubeconfig" \
		--secure-port=0 --leader-elect=false --profiling=false
	start "$dir" kubelet "${IN_CGROUP[@]}" "$KUBERNETES_CACHE/kubelet" --config="$node/kubelet.yaml" --kubeconfig="$dir/kubelet.kubeconfig" \
		--root-dir=/var/lib/kubelet --hostname-override="$NODE_NAME" --node-ip="$NODE_ADDRESS"
	echo "making Cilium's resources"
	api "$dir" create --validate=false -f "$CILIUM_CACHE/lib/crds" >"$dir/logs/objects.log" 2>&1
	start_cilium "$dir"
	write_cluster_objects "$dir" | api "$dir" create --validate=false -f - >>"$dir/logs/objects.log" 2>&1
	echo "importing images"
	wait "$importing"
	echo "waiting for the node to be ready"
}

wait_containerd() {
	local dir=$1 tries=0
	until [[ -S $dir/node/containerd.sock ]] && "$CONTAINERD_CACHE/ctr" -a "$dir/node/containerd.sock" version >/dev/null 2>&1; do
		if ((tries >= 200)) || [[ -n $(first_dead "$dir") ]]; then
			echo "containerd does not answer"
			return 1
		fi
		tries=$((tries + 1))
		sleep 0.05
	done
}

# start_cilium DIR: started once; after a restart with many endpoints some would be left without any policy.
start_cilium() {
	local dir=$1 flags
	# shellcheck disable=SC2054 # the commas belong to the flags
	flags=(
		--k8s-kubeconfig-path="$dir/cilium.kubeconfig" --identity-allocation-mode=crd --ipam=kubernetes
		--enable-ipv6=false --routing-mode=native --ipv4-native-routing-cidr="$POD_CIDR" --enable-endpoint-routes
		--devices=eth0 --enable-ipv4-masquerade=false --kube-proxy-replacement=true --bpf-lb-sock=false
		--enable-l7-proxy=false --enable-envoy-config=false --enable-hubble=false --enable-health-checking=false
		--enable-endpoint-health-checking=false --enable-gops=false
		--cgroup-root=/run/cgroup-root --bpf-root=/run/bpf --lib-dir="$CILIUM_CACHE/lib" --state-dir=/run/cilium
		--cni-exclusive=false --policy-cidr-match-mode="${SALLYPORT_NODE_CIDR_MATCH:-}"
	)
	start "$dir" cilium-agent env PATH="$CILIUM_CACHE/lib/bin:$PATH" K8S_NODE_NAME="$NODE_NAME" \
		CILIUM_K8S_NAMESPACE=kube-system "$CILIUM_CACHE/cilium-agent" "${flags[@]}"
}

# wait_api DIR: until the API server answers.
wait_api() {
	local dir=$1 until=$((SECONDS + READY_WITHIN))
	until api "$dir" get --raw=/readyz >/dev/null 2>"$dir/why"; do
		((SECONDS < until)) && [[ -z $(first_dead "$dir") ]] || return 1
		sleep 0.1
	done
}

# wait_node DIR: Ready, and a Pod on it (that of DNS) answers its readiness probe, for which its network must be there.
wait_node() {
	local dir=$1 until=$((SECONDS + NODE_READY_WITHIN)) ready
	while ((SECONDS < until)); do
		if [[ -n $(first_dead "$dir") ]]; then
			echo "$(first_dead "$dir") has ended" >"$dir/why"
			return 1
		fi
		# shellcheck disable=SC2016 # a JSONPath
		ready=$(api "$dir" get node "$NODE_NAME" \
			-o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}' 2>&1)
		if [[ $ready == True* ]]; then
			ready=$(api "$dir" -n kube-system get deployment coredns -o 'jsonpath={.status.readyReplicas}' 2>&1)
			[[ $ready != 1 ]] || return 0
			ready="DNS is not ready: $(api "$dir" -n kube-system get pods -o wide 2>&1 | tail -n 1)"
		fi
		echo "$ready" >"$dir/why"
		sleep 0.2
	done
	return 1
}

write_node_facts() {
	cat <<-FACTS
		NODE=$NODE_NAME
		NODE_ADDRESS=$NODE_ADDRESS
		HOST_ADDRESS=$HOST_ADDRESS
		POD_CIDR=$POD_CIDR
		DNS_ADDRESS=$DNS_ADDRESS
		SPACE=$SPACE
		CONTAINERD=$1/node/containerd.sock
		CTR=$CONTAINERD_CACHE/ctr
	FACTS
}

# need_node DIR: says which of its processes has ended, and that one's last words.
need_node() {
	local dir=$1 ended
	if ! node_wanted "$dir" || [[ ! -s $dir/pids ]]; then die "there is no node running in $dir."; fi
	ended=$(first_dead "$dir")
	[[ -z $ended ]] || die "the node in $dir does not run any more: $ended has ended. The end of its log:
$(tail -n 3 "$dir/logs/$ended.log" | cut -c 1-500)"
}

# enter DIR COMMAND ARG...: in the node's namespaces.
enter() {
	local dir=$1
	shift
	need_node "$dir"
	enter_space "$(holder_of "$dir")"
	inside "$@"
}

# load DIR ARCHIVE...: images for its pods.
load() {
	local dir=$1 archive
	shift
	need_node "$dir"
	for archive in "$@"; do
		[[ -r $archive ]] || die "there is no archive $archive: 'scripts/images' makes ours."
		import_image "$dir" "$archive"
	done
}

# From outside the node's namespaces: the archive can be anywhere.
import_image() {
	timeout 120 "$CONTAINERD_CACHE/ctr" -a "$1/node/containerd.sock" -n k8s.io images import "$2"
}
