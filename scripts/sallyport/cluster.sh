# shellcheck shell=bash
# The cluster that scripts/try runs against, and what Sallyport needs in it. Sourced by scripts/try.

readonly NAMESPACE=ci-demo

# have_cluster: sets KUBECTL and ADMIN (a kubeconfig): a cluster of our own, or the one that was given.
have_cluster() {
	if [[ -n $KUBECONFIG_GIVEN ]]; then
		ADMIN=$KUBECONFIG_GIVEN
		KUBECTL=$("$SCRIPTS/cluster" kubectl 1.36)
		admin get --raw=/readyz >/dev/null || die "the cluster of $ADMIN does not answer, or not to this user."
		! admin get namespace sallyport >/dev/null 2>&1 ||
			die "that cluster has a namespace sallyport already: Sallyport is installed there. Choose another cluster."
	else
		"$SCRIPTS/cluster" up "$TRY/cluster" >/dev/null
		ADMIN=$TRY/cluster/admin.kubeconfig
		KUBECTL=$(awk -F= '$1 == "KUBECTL" { print $2 }' "$TRY/cluster/facts")
	fi
	ln -sf "${SALLYPORT_TRY_KUBECTL:-$KUBECTL}" "$TRY/bin/kubectl"
}

admin() { KUBECACHEDIR=$TRY/kubectl-cache "$KUBECTL" --kubeconfig="$ADMIN" --request-timeout=30s "$@"; }

# prepare_cluster: the agent's rights; a namespace for the runner, with a Pod for its token to be bound to, and a Secret
# to look at.
prepare_cluster() {
	local minor
	minor=$(admin get --raw=/version | awk -F'"' '$2 == "minor" { print $4 + 0 }')
	say "Applying manifests/agent with the rights of $ADMIN."
	PREPARED=yes
	admin apply -f "$ROOT/manifests/agent/namespace.yaml" -f "$ROOT/manifests/agent/rbac.yaml" >/dev/null
	if ((minor < 36)); then
		say "It is Kubernetes 1.$minor, without constrained impersonation: the older rules are applied."
		admin apply -f "$ROOT/manifests/agent/rbac-legacy-impersonation.yaml" >/dev/null
	fi
	admin create namespace "$NAMESPACE" >/dev/null
	admin -n "$NAMESPACE" wait --for=create serviceaccount/default --timeout=30s >/dev/null
	admin -n "$NAMESPACE" create secret generic database --from-literal=password="$(new_password)" >/dev/null
	admin apply -f - >/dev/null <<-POD
		apiVersion: v1
		kind: Pod
		metadata: {name: runner, namespace: $NAMESPACE}
		spec:
		  automountServiceAccountToken: false
		  terminationGracePeriodSeconds: 0
		  containers:
		  - name: runner
		    image: registry.k8s.io/pause:3.10
		    securityContext:
		      allowPrivilegeEscalation: false
		      runAsNonRoot: true
		      runAsUser: 65534
		      capabilities: {drop: [ALL]}
		      seccompProfile: {type: RuntimeDefault}
	POD
}

new_password() {
	[[ -e $TRY/password ]] || openssl rand -hex 16 >"$TRY/password"
	cat "$TRY/password"
}

# leave_cluster: takes away what was put there. Never fails: it runs while leaving.
leave_cluster() {
	if [[ -n $KUBECONFIG_GIVEN && -n ${PREPARED:-} ]]; then
		say "Removing what was applied to the cluster."
		admin delete --ignore-not-found --wait=false namespace "$NAMESPACE" >/dev/null 2>&1 || :
		admin delete --ignore-not-found --wait=false \
			-f "$ROOT/manifests/agent/rbac.yaml" -f "$ROOT/manifests/agent/namespace.yaml" >/dev/null 2>&1 ||
			say "Not all of manifests/agent could be removed: try kubectl delete -f manifests/agent."
	fi
	[[ ! -e $TRY/cluster/lock ]] || "$SCRIPTS/cluster" down "$TRY/cluster" || :
}
