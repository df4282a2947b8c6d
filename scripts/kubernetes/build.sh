# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is read by the other files
# The control plane's programs: where they are, and how they are compiled when nobody has yet.
# Sourced by scripts/cluster. The versions stand in one place, the go.mod files beside this.

# version_in GO_MOD MODULE: the version that a go.mod requires.
version_in() {
	awk -v module="$2" '{ sub(/^require /, "") } $1 == module { print $2; exit }' "$1"
}

KUBERNETES_VERSION=$(version_in "$SCRIPTS/kubernetes/go.mod" k8s.io/kubernetes)
ETCD_VERSION=$(version_in "$SCRIPTS/etcd/go.mod" go.etcd.io/etcd/server/v3)
KUBERNETES_CACHE=$(cache_root)/kubernetes-$KUBERNETES_VERSION
ETCD_CACHE=$(cache_root)/etcd-$ETCD_VERSION

# find_programs: sets APISERVER, ETCD, CONTROLLER_MANAGER (may be empty), KUBECTL and, for people, KUBERNETES_NAME;
# builds what is missing.
# A folder named by KUBEBUILDER_ASSETS wins, as in controller-runtime's envtest.
find_programs() {
	local assets=${KUBEBUILDER_ASSETS:-}
	if [[ -z $assets ]]; then
		build_all
		APISERVER=$KUBERNETES_CACHE/kube-apiserver
		CONTROLLER_MANAGER=$KUBERNETES_CACHE/kube-controller-manager
		KUBECTL=$KUBERNETES_CACHE/kubectl
		ETCD=$ETCD_CACHE/etcd
		KUBERNETES_NAME=$KUBERNETES_VERSION
		return
	fi
	KUBERNETES_NAME="of KUBEBUILDER_ASSETS"
	APISERVER=$assets/kube-apiserver ETCD=$assets/etcd
	CONTROLLER_MANAGER=$assets/kube-controller-manager KUBECTL=$assets/kubectl
	local program
	for program in "$APISERVER" "$ETCD"; do
		[[ -x $program ]] || die "KUBEBUILDER_ASSETS is set, but there is no program $program."
	done
	if [[ ! -x $CONTROLLER_MANAGER ]]; then
		CONTROLLER_MANAGER=
		say "KUBEBUILDER_ASSETS has no kube-controller-manager, so no controller runs: Deployments make no Pods and" \
			"deleted namespaces stay."
	fi
	if [[ ! -x $KUBECTL ]]; then
		KUBECTL=$(command -v kubectl) || die "there is no kubectl in KUBEBUILDER_ASSETS nor on the PATH."
	fi
}

# build_all: kube-apiserver first, for it takes longest and compiles most of what the others share.
build_all() {
	build_program kubernetes k8s.io/kubernetes/cmd/kube-apiserver "$KUBERNETES_CACHE/kube-apiserver" "five to eight minutes"
	build_program kubernetes k8s.io/kubernetes/cmd/kube-controller-manager \
		"$KUBERNETES_CACHE/kube-controller-manager" "about two minutes"
	build_program kubernetes k8s.io/kubernetes/cmd/kubectl "$KUBERNETES_CACHE/kubectl" "about a minute"
	build_program etcd go.etcd.io/etcd/server/v3 "$ETCD_CACHE/etcd" "about a minute"
}

# build_program MODULE_FOLDER PACKAGE TARGET HOW_LONG
build_program() {
	[[ -x $3 ]] || with_lock "$(dirname "$3")/.lock" build_under_lock "$@"
}

build_under_lock() {
	local folder=$SCRIPTS/$1 package=$2 target=$3 how_long=$4
	# Another run may have built it while this one waited for the lock.
	[[ ! -x $target ]] || return 0
	check_go "$folder"
	step "Building ${target##*/} once into ${target%/*}, $how_long on two cores" compile "$folder" "$package" "$target"
}

check_go() {
	local wanted
	wanted=$(awk '$1 == "go" { print $2 }' "$1/go.mod")
	local instead="or set KUBEBUILDER_ASSETS to a folder that holds kube-apiserver, etcd and kubectl."
	command -v go >/dev/null || die "Go $wanted or newer is needed to build Kubernetes: install it, $instead"
	# Also fetches a newer toolchain where Go is set up to do that by itself (GOTOOLCHAIN=auto).
	(cd "$1" && go list -m >/dev/null 2>&1) ||
		die "Go $wanted or newer is needed to build Kubernetes, and this is $(go env GOVERSION): update it, $instead"
}

# compile MODULE_FOLDER PACKAGE TARGET: into a temporary name, then moved, so that TARGET is always a whole program.
compile() {
	local folder=$1 package=$2 target=$3 flags="-s -w" path minor
	minor=${KUBERNETES_VERSION#v1.}
	minor=${minor%%.*}
	# Without the stamp, server and client say that they are v0.0.0.
	for path in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $path.gitVersion=$KUBERNETES_VERSION -X $path.gitMajor=1 -X $path.gitMinor=$minor"
	done
	mkdir -p "$(dirname "$target")"
	cd "$folder" || return
	CGO_ENABLED=0 go build -v -mod=readonly -buildvcs=false -trimpath -ldflags "$flags" -o "$target.new" "$package"
	mv "$target.new" "$target"
}
