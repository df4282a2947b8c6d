# shellcheck shell=bash
# The story of scripts/try, played without a person. Every line of it is checked. Sourced by scripts/try.

play_story() {
	RUNNER_KUBECONFIG=$TRY/runner/kubeconfig
	local password
	password=$(<"$TRY/password")

	say "The runner reads."
	expect 0 "runner " runner get pods
	expect 0 "password: " runner get secret database -o yaml
	absent "$password" "$TRY/said"
	absent "$(printf %s "$password" | base64)" "$TRY/said"

	say "The runner changes something ordinary."
	expect 0 "configmap/note created" runner create configmap note --from-literal=a=b

	say "The runner makes a ServiceAccount: held, approved by somebody else, done."
	hold runner create serviceaccount bot
	expect 0 "" "$TRY/bin/sallyport" approvals approve "$HELD"
	released 0 "serviceaccount/bot created"

	say "The runner wants a RoleBinding: held, denied with a reason that kubectl prints."
	hold runner create rolebinding own --clusterrole=admin "--serviceaccount=$NAMESPACE:bot"
	expect 0 "" "$TRY/bin/sallyport" approvals deny "$HELD" --reason "not without a ticket"
	released 1 "not without a ticket"
	[[ -z $(admin -n "$NAMESPACE" get rolebindings -o name) ]] || unexpected "the denied RoleBinding is there"

	say "The session tells it."
	expect 0 "" "$TRY/bin/sallyport" sessions list
	local session
	session=$(awk 'NR == 2 { print $1 }' "$TRY/said")
	expect 0 "create serviceaccount" "$TRY/bin/sallyport" sessions show "$session"
	local words
	for words in "get secrets database .* ok (200)" "create configmaps note .* ok (201)" \
		"create serviceaccounts bot .* ok (201)" "create rolebindings.* not sent (403): .*not without a ticket"; do
		grep -q -- "$words" "$TRY/said" || unexpected "sessions show says nothing of '$words'"
	done

	say "The password is in no log and not in the database."
	if [[ $NODE == yes ]]; then
		admin -n sallyport logs --prefix --tail=-1 -l app.kubernetes.io/part-of=sallyport >"$TRY/logs/pods.log"
		absent "$password" -r "$TRY/logs" "$TRY/cluster/node/volumes"
	else
		absent "$password" -r "$TRY/logs" "$TRY/control-plane"
	fi
	all_alive "$TRY" || unexpected "$(first_dead "$TRY") has ended"
	say "The story went as it should."
}

runner() {
	if [[ $NODE == yes ]]; then
		in_job kubectl "$@"
		return
	fi
	env -i PATH="$PATH" HOME="$TRY/runner" KUBECACHEDIR="$TRY/runner/cache" KUBECONFIG="$RUNNER_KUBECONFIG" \
		timeout 60 "$TRY/bin/kubectl" "$@"
}

unexpected() {
	say "Not as expected: $*. What was said:"
	sed 's/^/    /' "$TRY/said" >&2
	exit 1
}

# expect CODE TEXT COMMAND ARG...: its output, with TEXT in it, stays in $TRY/said.
expect() {
	local code=$1 text=$2 got=0
	shift 2
	say "\$ ${*##*/}"
	"$@" >"$TRY/said" 2>&1 </dev/null || got=$?
	[[ $got == "$code" ]] || unexpected "exit code $got, not $code"
	grep -qF -- "$text" "$TRY/said" || unexpected "'$text' is not in it"
	sed 's/^/    /' "$TRY/said" >&2
}

# absent TEXT GREP_ARG...
absent() {
	local text=$1
	shift
	! grep -qF -e "$text" "$@" || unexpected "a secret stands in $*"
}

# hold COMMAND ARG...: starts it and waits until it is listed; sets HELD (the id) and HELD_PID.
hold() {
	local tries=0
	say "\$ ${*##*/}"
	"$@" >"$TRY/held" 2>&1 </dev/null &
	HELD_PID=$!
	HELD=
	while [[ -z $HELD ]]; do
		"$TRY/bin/sallyport" approvals list >"$TRY/said" 2>&1 || unexpected "approvals can't be listed"
		HELD=$(awk '$1 ~ /^[0-9a-f]+-[0-9a-f-]+$/ { print $1; exit }' "$TRY/said")
		kill -0 "$HELD_PID" 2>/dev/null || { cp "$TRY/held" "$TRY/said"; unexpected "it was not held"; }
		tries=$((tries + 1))
		((tries < 100)) || unexpected "no hold is listed after ten seconds"
		sleep 0.1
	done
	sed 's/^/    /' "$TRY/said" >&2
}

# released CODE TEXT: how the held command ends.
released() {
	local got=0
	wait "$HELD_PID" || got=$?
	cp "$TRY/held" "$TRY/said"
	[[ $got == "$1" ]] || unexpected "exit code $got, not $1"
	grep -qF -- "$2" "$TRY/said" || unexpected "'$2' is not in it"
	sed 's/^/    /' "$TRY/said" >&2
}
