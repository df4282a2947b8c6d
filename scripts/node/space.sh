# shellcheck shell=bash
# Where a node lives: a network, mount and process namespace of its own, named sallyport-N, and a cgroup of that name.
# Nothing of it shows on the machine but one network link, and no packet of it leaves the machine. Sourced by
# scripts/cluster.
#
# N (0 to 63) is the first that is free, so that two clusters don't collide. It gives the addresses:
#   198.18.N.1 the machine's end of the link, 198.18.N.2 the node's, 10.89.N.0/24 its pods.

readonly SPACES=64

# make_space DIR: a first process that holds the namespaces (its end is their end), the link, the cgroup. Sets ENTER,
# which `start` puts before each command from then on, and what space_addresses sets.
make_space() {
	local dir=$1 holder waited=0
	rm -rf "$dir/node/inside"
	mkdir -p "$dir/node"
	ENTER=()
	start "$dir" node unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc \
		"$BASH" "$SCRIPTS/node/inside.sh" "$dir/node" "$KUBERNETES_CACHE/pause"
	holder=$(holder_of "$dir")
	until [[ -e $dir/node/inside ]]; do
		if [[ ! -d /proc/$holder ]] || ((waited >= 100)); then
			echo "the node's namespaces could not be made"
			return 1
		fi
		waited=$((waited + 1))
		sleep 0.05
	done
	enter_space "$holder"
	make_link "$dir" "$holder"
	make_cgroups "$SPACE"
	# Cilium hooks into the sockets of a cgroup of version 2 and of all below. That must not be the machine's root: what
	# is started IN_CGROUP is below ours, and so are its Pods.
	inside mkdir -p "/run/cgroup/$SPACE/node" /run/cgroup-root
	inside mount --bind "/run/cgroup/$SPACE" /run/cgroup-root
	# shellcheck disable=SC2016,SC2034 # the inner shell expands it; node.sh uses it
	IN_CGROUP=(sh -c 'echo 0 >"$0" && exec "$@"' /run/cgroup-root/node/cgroup.procs)
}

# make_link DIR HOLDER: takes the first N whose link is not there. Two can't make the same one; the link goes with the
# namespace that its other end is in.
make_link() {
	local dir=$1 n made=no
	for ((n = 0; n < SPACES; n++)); do
		if ip link add "sallyport$n" type veth peer name eth0 netns "$2" 2>"$dir/node/link"; then
			made=yes
			break
		fi
	done
	[[ $made == yes ]] || { echo "no link could be made: $(<"$dir/node/link")"; return 1; }
	echo "sallyport-$n" >"$dir/node/space"
	space_addresses "$dir"
	ip addr add "$HOST_ADDRESS/24" dev "$LINK"
	# The machine answers, and passes nothing on.
	echo 0 >"/proc/sys/net/ipv4/conf/$LINK/forwarding"
	echo 1 >"/proc/sys/net/ipv6/conf/$LINK/disable_ipv6" 2>/dev/null || :
	ip link set "$LINK" up
	inside ip link set lo up
	inside ip addr add "$NODE_ADDRESS/24" dev eth0
	inside ip link set eth0 up
	inside ip route add default via "$HOST_ADDRESS"
	ip route add "$POD_CIDR" via "$NODE_ADDRESS" dev "$LINK"
}

inside() { "${ENTER[@]}" "$@"; }

holder_of() { awk '$1 == "node" { print $2 }' "$1/pids"; }

# space_addresses DIR: sets SPACE, HOST_ADDRESS, NODE_ADDRESS, POD_CIDR and LINK.
space_addresses() {
	SPACE=$(<"$1/node/space")
	local n=${SPACE#sallyport-}
	HOST_ADDRESS=198.18.$n.1 NODE_ADDRESS=198.18.$n.2 POD_CIDR=10.89.$n.0/24 LINK=sallyport$n
}

# enter_space HOLDER
enter_space() {
	ENTER=(nsenter "--net=/proc/$1/ns/net" "--mount=/proc/$1/ns/mnt" "--pid=/proc/$1/ns/pid_for_children")
}

# make_cgroups NAME: with version 1 in each hierarchy, with version 2 in the one.
make_cgroups() {
	local folder file
	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		mkdir -p "/sys/fs/cgroup/$1"
		return
	fi
	for folder in /sys/fs/cgroup/*/; do
		[[ -e $folder/cgroup.procs ]] || continue
		mkdir -p "$folder$1"
		# A new one of these is empty, and nothing can run in it.
		for file in cpuset.cpus cpuset.mems; do
			[[ ! -e $folder$file ]] || cat "$folder$file" >"$folder$1/$file"
		done
	done
}

# remove_space DIR: after the node's processes were ended. What stays behind is an error, and is named.
remove_space() {
	local dir=$1 tries=0
	[[ -e $dir/node/space ]] || return 0
	space_addresses "$dir"
	ip link del "$LINK" 2>/dev/null || :
	# The last processes of a killed namespace need a moment to go.
	until remove_cgroups "$SPACE"; do
		((tries < 100)) || break
		tries=$((tries + 1))
		sleep 0.05
	done
	nothing_left "$dir"
}

cgroups_of() { find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$1"; }

remove_cgroups() {
	local folder
	while read -r folder; do
		find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || :
	done < <(cgroups_of "$1")
	[[ -z $(cgroups_of "$1") ]]
}

# nothing_left DIR: lists what is still there of the node, and fails if that is anything.
nothing_left() {
	local dir=$1 left
	left=$(
		ip -o link show "$LINK" 2>/dev/null | sed 's/^/link /'
		ip route show "$POD_CIDR" | sed 's/^/route /'
		cgroups_of "$SPACE" | sed 's/^/cgroup /'
		awk -v dir="$dir/" 'index($5, dir) == 1 { print "mount " $5 }' /proc/self/mountinfo
		processes_of "$dir"
	)
	[[ -z $left ]] || { printf 'still there:\n%s\n' "$left"; return 1; }
}

# processes_of DIR: those that see DIR's mounts, which only the node's do.
processes_of() {
	local file
	for file in /proc/[0-9]*/mountinfo; do
		! grep -qsF " $1/node/" "$file" || printf 'process %s\n' "$(tr '\0' ' ' <"${file%/*}/cmdline" | cut -c 1-100)"
	done 2>/dev/null
}
