# shellcheck shell=bash
# Processes that outlive the script that started them, and are ended by that name alone. Sourced by scripts/cluster.
#
# DIR/pids has a line per process: NAME PID BORN. BORN is the boot and the clock tick at which the kernel made the
# process, so a later process that was given the same number is never taken for ours.

# What goes before each command that is started: nothing, or what enters a node's namespaces.
ENTER=()

# start DIR NAME COMMAND ARG...: in a session of its own, so that it outlives the caller and its terminal.
start() {
	local dir=$1 name=$2
	shift 2
	setsid "${ENTER[@]}" "$@" >>"$dir/logs/$name.log" 2>&1 </dev/null 8>&- 9>&- &
	printf '%s %s %s\n' "$name" "$!" "$(born "$!")" >>"$dir/pids"
	# So that this shell does not report its end.
	disown "$!"
}

# born PID: prints nothing for a process that is not there or is a zombie.
born() {
	local stat fields
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	# The second field is the program's name in parentheses and may itself contain blanks; state is the third field.
	read -r -a fields <<<"${stat##*) }"
	[[ ${fields[0]} == Z ]] || printf '%s:%s\n' "$(</proc/sys/kernel/random/boot_id)" "${fields[19]}"
}

alive() { [[ -n $2 && $(born "$1") == "$2" ]]; }

# all_alive DIR: true when there are processes and none has ended.
all_alive() {
	local name pid born
	[[ -s $1/pids ]] || return 1
	while read -r name pid born; do
		alive "$pid" "$born" || return 1
	done <"$1/pids"
}

# first_dead DIR: the name of a process that has ended.
first_dead() {
	local name pid born
	while read -r name pid born; do
		alive "$pid" "$born" || { printf '%s\n' "$name"; return; }
	done <"$1/pids"
}

# stop_all DIR SIGNAL: the last started first, each given ten seconds before it is killed.
stop_all() {
	local dir=$1 signal=$2 lines line name pid born
	[[ -s $dir/pids ]] || return 0
	mapfile -t lines < <(tac "$dir/pids")
	for line in "${lines[@]}"; do
		read -r name pid born <<<"$line"
		stop_one "$pid" "$born" "$signal"
	done
	rm -f "$dir/pids"
}

stop_one() {
	local pid=$1 born=$2 signal=$3 tries=0
	while alive "$pid" "$born"; do
		if ((tries == 0)); then kill -s "$signal" "$pid" 2>/dev/null || :; fi
		if ((tries == 200)); then kill -s KILL "$pid" 2>/dev/null || :; fi
		tries=$((tries + 1))
		sleep 0.05
	done
}
