//! A node comes without root's blessing for nothing, beside others, and goes without a trace.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::cluster::root;
use tests::node::Node;

use super::shell;

/// What a node could leave on a machine, a line each.
fn traces() -> BTreeSet<String> {
    const SCRIPT: &str = r#"
awk '{ print "mount " $5 }' /proc/self/mountinfo
ip -o link | awk -F': ' '{ print "link " $2 }'
ip route show table all | sed 's/^/route /'
ip rule | sed 's/^/rule /'
ls /run/netns 2>/dev/null | sed 's/^/netns /'
find /sys/fs/cgroup -type d | sed 's/^/cgroup /'
find /sys/fs/bpf -mindepth 1 2>/dev/null | sed 's/^/bpf /'
for name in /var/lib/kubelet /var/lib/containerd /var/lib/cni /run/containerd /run/cilium /var/log/pods /etc/cni /opt/cni; do
    [ ! -e $name ] || echo "folder $name"
done
cd /proc/sys
grep -r '' vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_max* kernel/timer_migration \
    kernel/unprivileged_bpf_disabled net/core/bpf_jit_enable net/ipv4/ip_forward net/ipv4/conf/all net/ipv4/conf/default | sed 's/^/sysctl /'
"#;
    let output = Command::new("sh").args(["-c", SCRIPT]).output().expect("sh starts");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(str::to_owned).collect()
}

/// Names of processes that were started for a cluster, by the folder in their arguments.
fn processes(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("there is /proc").filter_map(Result::ok);
    let told = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let words = told.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    words.filter(|line| line.contains(&format!("{}/", folder.display()))).collect()
}

fn cluster(arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = Command::new(root().join("scripts/cluster"))
        .args(arguments)
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .expect("scripts/cluster starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_second_node_lives_beside_the_first_and_leaves_nothing() {
    let Some(first) = Node::get() else { return };
    let folder = tempfile::TempDir::new().expect("there is room for a folder");
    let folder = folder.path().join("cluster");
    let before = traces();
    let (up, said) = cluster(&["up", "--node"], &folder);
    assert!(up, "{said}");
    let second = Node::beside(&folder);
    let space = second.space();
    assert_ne!(first.host_address(), second.host_address());
    let namespace = second.namespace("leaves");
    shell(&namespace, "shell", "app: shell", "exec sleep 3600");
    let address = second.ready(&namespace, "shell");
    second.exec(&namespace, "shell", "shell", &["true"], "").ok();
    let (up, said) = cluster(&["up", "--node"], &folder);
    assert!(up && said.contains("Already running"), "{said}");

    // What is looked for is really there while it runs.
    let shown: Vec<_> = traces().difference(&before).cloned().collect();
    for kind in ["link sallyport", "route 10.89.", "cgroup /sys/fs/cgroup/"] {
        assert!(shown.iter().any(|line| line.starts_with(kind)), "no {kind} in {shown:?}");
    }
    assert!(shown.iter().any(|line| line.contains("/kubepods/")), "{shown:?}");
    assert!(processes(&folder).len() >= 8);
    assert!(shown.iter().all(|line| !line.starts_with("mount") && !line.starts_with("sysctl")), "{shown:?}");

    drop(namespace);
    let (down, said) = cluster(&["down"], &folder);
    assert!(down, "{said}");
    let left: Vec<_> = traces().difference(&before).filter(|line| !of_another(line, &space)).cloned().collect();
    assert_eq!(left, [""; 0], "still there after the Pod at {address} and its node have gone");
    assert_eq!(processes(&folder), [""; 0]);
    assert!(!folder.exists());
    first.ready("kube-system", &first.dns_pod());
}

/// Whether a trace is that of another node, for Pods of other tests come and go meanwhile.
fn of_another(line: &str, space: &str) -> bool {
    let own = [space.to_owned(), space.replace('-', "")];
    let mut names = line.split([' ', '/', '@', ':']).filter(|word| word.starts_with("sallyport")).peekable();
    names.peek().is_some() && names.all(|name| !own.iter().any(|own| own == name))
}

#[test]
fn a_node_needs_root_and_says_so_first() {
    let folder = tempfile::TempDir::new().expect("there is room for a folder");
    let folder = folder.path().join("cluster");
    // In a user namespace that maps nobody, even root is nobody.
    let output = Command::new("unshare")
        .args(["--user", "bash"])
        .arg(root().join("scripts/cluster"))
        .args(["up", "--node"])
        .arg(&folder)
        .output()
        .expect("unshare starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let first = said.lines().next().unwrap_or_default();
    assert!(!output.status.success() && first.contains("a node needs root"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!folder.exists());
}
