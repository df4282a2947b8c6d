//! The end of a container that takes more memory than it may, by the kernel's own hand.

use super::Node;

/// Puts something into the container's cgroup that takes memory without end, which root may. The cgroup's limit is for both together, and
/// of the two the kernel ends the container's process: the kubelet has given that nearly the highest score there is, and who took it all
/// has none. (Where root may, it is spared altogether.) It ends with it.
const SCRIPT: &str = r#"
set -eu
pid=$1
# Version 1 has a hierarchy of its own for memory, version 2 one for everything.
group=$(awk -F: '$2 == "memory" { print "memory" $3 }' "/proc/$pid/cgroup")
[ -n "$group" ] || group=$(awk -F: '$1 == 0 { print $3 }' "/proc/$pid/cgroup")
sh -c '(echo -1000 >/proc/$$/oom_score_adj) 2>/dev/null; echo $$ >"/sys/fs/cgroup/$0/cgroup.procs" && exec tail /dev/zero' "$group" &
eater=$!
tries=0
while [ -e "/proc/$pid" ] && kill -0 "$eater" && [ "$tries" -lt 600 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
kill -KILL "$eater" 2>/dev/null || :
[ ! -e "/proc/$pid" ]
"#;

impl Node {
    /// Lets a Pod's container run out of the memory that it may have: the kernel ends its first process, as it would if that process had
    /// taken it.
    pub fn exhaust_memory(&self, namespace: &str, pod: &str, container: &str) {
        self.enter(&["sh", "-c", SCRIPT, "exhaust", &self.process(namespace, pod, container)]).ok();
    }
}
