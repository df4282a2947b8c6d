# shellcheck shell=bash
# inside.sh NODE PAUSE: the first process in a node's namespaces. Makes its mounts, then waits, and reaps orphans.
set -euo pipefail
NODE=$1 PAUSE=$2

# The kubelet and containerd hand mounts to each other; `unshare` has cut the machine's off before.
mount --make-rshared /

# What a node writes at fixed places, it writes here. The rest of these folders of the machine it does not see.
for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 node "$folder"; done
mkdir -p /run/netns /run/cilium /var/log/pods /var/log/containers
# Images and volumes on disk.
for folder in containerd kubelet volumes; do
	mkdir -p "$NODE/$folder" "/var/lib/$folder"
	mount --bind "$NODE/$folder" "/var/lib/$folder"
done

# Cilium's maps go with this mount.
mkdir -p /run/bpf /run/cgroup
mount -t bpf bpf /run/bpf
mount -t cgroup2 cgroup2 /run/cgroup

# The kubelet and Cilium set these for the whole machine. Here they set copies, which nobody reads.
mkdir /run/sysctl
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
	kernel/keys/root_maxbytes kernel/timer_migration kernel/unprivileged_bpf_disabled net/core/bpf_jit_enable \
	net/core/bpf_jit_limit; do
	[[ -e /proc/sys/$name ]] || continue
	cat "/proc/sys/$name" >"/run/sysctl/${name//\//.}"
	mount --bind "/run/sysctl/${name//\//.}" "/proc/sys/$name"
done

touch "$NODE/inside"
exec "$PAUSE"
