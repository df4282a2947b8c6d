# shellcheck shell=bash
# Sallyport as it is installed in a cluster, on a node of this machine: our images, webhooks and policies, and a job with
# one annotation. Sourced by scripts/try.

# start_node: sets KUBECTL and ADMIN.
start_node() {
	"$SCRIPTS/cluster" up --node "$TRY/cluster" >/dev/null
	ADMIN=$TRY/cluster/admin.kubeconfig
	KUBECTL=$(awk -F= '$1 == "KUBECTL" { print $2 }' "$TRY/cluster/facts")
	ln -sf "$KUBECTL" "$TRY/bin/kubectl"
	say "Putting the images together and giving them to the node."
	CARGO_TARGET_DIR=$(dirname "$PROGRAMS") "$SCRIPTS/images" --debug --no-build >/dev/null
	"$SCRIPTS/cluster" load "$TRY/cluster" "$(dirname "$PROGRAMS")"/images-debug/{sidecar,agent,control-plane}.tar
}

# install_sallyport: as README says, with what makes one local vote enough.
install_sallyport() {
	local what
	cat >"$TRY/values.yaml" <<-YAML
		cluster: try
		images: {pullPolicy: Never}
		network: {mode: cilium}
		controlPlane:
		  localSocket: {groups: [sallyport-approvers], dangerSingleLocalVote: true}
		  policy: |
		    apiVersion: sallyport.dev/v1alpha1
		    kind: Policy
		    thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
		    noPersonBehind: [{serviceAccount: try/$NAMESPACE/default}]
	YAML
	say "\$ sallyport install --values values.yaml | kubectl apply -f -"
	"$PROGRAMS/sallyport" install --values "$TRY/values.yaml" --kubectl "$KUBECTL" --kubeconfig "$ADMIN" \
		2>"$TRY/logs/install.log" >"$TRY/installed.yaml" || { cat "$TRY/logs/install.log" >&2; die "it could not be rendered."; }
	admin apply -f "$TRY/installed.yaml" >/dev/null
	for what in statefulset/sallyport-control-plane deployment/sallyport-agent deployment/sallyport-injector; do
		admin -n sallyport rollout status "$what" --timeout=120s >/dev/null || die "$what is not ready."
		say "Ready: $what."
	done
	cat >"$TRY/bin/sallyport" <<-SH
		#!/bin/sh
		exec "$KUBECTL" --kubeconfig="$ADMIN" -n sallyport exec sallyport-control-plane-0 -- /sallyport "\$@"
	SH
	chmod +x "$TRY/bin/sallyport"
}

# start_job: an ordinary Pod with one annotation, and a Secret to look at.
start_job() {
	admin create namespace "$NAMESPACE" >/dev/null
	admin -n "$NAMESPACE" wait --for=create serviceaccount/default --timeout=30s >/dev/null
	admin -n "$NAMESPACE" create secret generic database --from-literal=password="$(new_password)" >/dev/null
	admin apply -f - >/dev/null <<-POD
		apiVersion: v1
		kind: Pod
		metadata: {name: runner, namespace: $NAMESPACE, annotations: {sallyport.dev/inject: "true"}}
		spec:
		  terminationGracePeriodSeconds: 1
		  containers:
		  - {name: job, image: localhost/runner:1, imagePullPolicy: Never, command: [sleep, infinity]}
	POD
	admin -n "$NAMESPACE" wait --for=condition=Ready pod/runner --timeout=60s >/dev/null
	say "Ready: the job."
}

# in_job ARG...: kubectl in the job's container, as its script runs it.
in_job() { "$KUBECTL" --kubeconfig="$ADMIN" -n "$NAMESPACE" exec runner -c job -- "$@"; }

tell_node() {
	cat <<TEXT

Sallyport is installed in the cluster of this node. In a second terminal, as the job (its Pod has one annotation):

    export KUBECONFIG=$ADMIN PATH=$TRY/bin:\$PATH
    kubectl -n $NAMESPACE exec -it runner -c job -- sh
    kubectl get pods
    kubectl get secret database -o yaml
    kubectl create serviceaccount bot                  # is held: it waits for somebody
    nc -w 2 kubernetes.default.svc 443 </dev/null || echo shut # nothing but the agent reaches the API server

In a third terminal, as an approver:

    export PATH=$TRY/bin:\$PATH
    sallyport approvals list
    sallyport approvals approve ID
    sallyport sessions list                            # and: sessions show ID, sessions alarms

Ctrl-C ends everything and removes it.
TEXT
}

# play_node: what the story on loopback can't show.
play_node() {
	say "Nothing else is reached from the job."
	if in_job nc -w 2 kubernetes.default.svc 443 >"$TRY/said" 2>&1; then unexpected "the job reaches the API server"; fi
	expect 0 "[]" "$TRY/bin/sallyport" sessions alarms --json
	say "A Pod that would go round it is not admitted."
	expect 1 "hostNetwork" admin -n "$NAMESPACE" run round --image=localhost/runner:1 \
		--annotations=sallyport.dev/inject=true --overrides='{"spec":{"hostNetwork":true}}'
	say "The API server's log agrees with the record."
	sleep 2 # a read's record is on disk within a second
	"$KUBECTL" --kubeconfig="$ADMIN" -n sallyport exec -i sallyport-control-plane-0 -- \
		/sallyport audit reconcile --kube-audit /dev/stdin <"$TRY/cluster/audit.log" >"$TRY/said" 2>&1 ||
		unexpected "they don't agree"
	sed 's/^/    /' "$TRY/said" >&2
}
