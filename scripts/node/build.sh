# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is read by the other files
# A node's programs: where they are, and how they come there. Sourced by scripts/cluster after kubernetes/build.sh.

CONTAINERD_VERSION=$(version_in "$SCRIPTS/containerd/go.mod" github.com/containerd/containerd/v2)
CILIUM_VERSION=$(version_in "$SCRIPTS/cilium/go.mod" github.com/cilium/cilium)
COREDNS_VERSION=$(version_in "$SCRIPTS/coredns/go.mod" github.com/coredns/coredns)
CONTAINERD_CACHE=$(cache_root)/containerd-$CONTAINERD_VERSION
CILIUM_CACHE=$(cache_root)/cilium-$CILIUM_VERSION
COREDNS_CACHE=$(cache_root)/coredns-$COREDNS_VERSION

# node_packages: what Debian has. Each is small but for clang (350 MB), which compiles the packet filters.
node_packages() {
	need runc runc "containerd starts containers with it"
	need clang-19 clang-19 "Cilium compiles its packet filters with it when it starts"
	# Without it the packets of the kubelet's probes don't bear the node's mark, and policies drop them as a stranger's.
	need iptables iptables "Cilium marks with it what comes from the node itself"
	need busybox busybox-static "the pods of the tests get their shell from it"
	need ip iproute2 "the node has a network of its own"
	need nsenter util-linux "the node has namespaces of its own"
	need python3 python3 "images are put together with it"
	need cc build-essential "the pause container is compiled from C"
}

# build_node: what Kubernetes needs to run pods, longest first.
build_node() {
	need flock util-linux "two runs must not build the same thing at once"
	node_packages
	build_program cilium github.com/cilium/cilium/daemon "$CILIUM_CACHE/cilium-agent" "eight minutes"
	build_program cilium github.com/cilium/cilium/plugins/cilium-cni "$CILIUM_CACHE/cilium-cni" "half a minute"
	[[ -e $CILIUM_CACHE/lib/done ]] || with_lock "$CILIUM_CACHE/.lock" copy_cilium_sources
	build_program kubernetes k8s.io/kubernetes/cmd/kubelet "$KUBERNETES_CACHE/kubelet" "about two minutes"
	build_program kubernetes k8s.io/kubernetes/cmd/kube-scheduler "$KUBERNETES_CACHE/kube-scheduler" "about a minute"
	local program
	for program in containerd containerd-shim-runc-v2 ctr; do
		build_program containerd "github.com/containerd/containerd/v2/cmd/$program" "$CONTAINERD_CACHE/$program" \
			"about a minute"
	done
	build_program coredns sallyport.dev/scripts/coredns "$COREDNS_CACHE/coredns" "about a minute"
	[[ -x $KUBERNETES_CACHE/pause ]] || with_lock "$KUBERNETES_CACHE/.lock" compile_pause
}

# copy_cilium_sources: the packet filters in C, and the definitions of its resources, which its operator would bring.
copy_cilium_sources() {
	local module lib=$CILIUM_CACHE/lib
	module=$(cd "$SCRIPTS/cilium" && go list -m -f '{{.Dir}}' github.com/cilium/cilium)
	rm -rf "$lib"
	mkdir -p "$lib/crds"
	cp -r "$module/bpf" "$lib/bpf"
	cp "$module"/pkg/k8s/apis/cilium.io/client/crds/v2*/*.yaml "$lib/crds"
	chmod -R u+w "$lib"
	# Under the name by which Cilium calls it, whatever its version.
	mkdir "$lib/bin"
	ln -s "$(command -v clang-19)" "$lib/bin/clang"
	touch "$lib/done"
}

# compile_pause: the first process of each pod, from Kubernetes' own source.
compile_pause() {
	local module
	module=$(cd "$SCRIPTS/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
	mkdir -p "$KUBERNETES_CACHE"
	cc -Os -static -s -DVERSION=sallyport "$module/build/pause/linux/pause.c" -o "$KUBERNETES_CACHE/pause.new"
	mv "$KUBERNETES_CACHE/pause.new" "$KUBERNETES_CACHE/pause"
}
