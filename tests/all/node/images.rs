//! Our images, as containerd has them.

use std::process::Command;

use serde_json::Value;
use tests::cluster::root;
use tests::node::{Node, eventually};

#[test]
fn images_are_for_a_user_without_rights_and_say_what_they_are() {
    let Some(node) = Node::get() else { return };
    for (name, program) in
        [("sidecar", "/sallyport-sidecar"), ("agent", "/sallyport-agent"), ("control-plane", "/sallyport")]
    {
        let image = node.image(name);
        let described = node.ctr(&["images", "inspect", "--content", &image]).ok();
        let value = |key: &str| {
            let line = described.lines().find(|line| line.contains(&format!("\"{key}\"")));
            line.unwrap_or_else(|| panic!("{image} has no {key}: {described}")).to_owned()
        };
        assert!(value("User").contains("65532:65532"), "{described}");
        assert!(value("org.opencontainers.image.version").contains(env!("CARGO_PKG_VERSION")), "{described}");
        assert!(value("org.opencontainers.image.licenses").contains("Apache-2.0"), "{described}");
        assert!(value("org.opencontainers.image.title").contains(name), "{described}");
        assert!(described.contains(&format!("\"{program}\"")), "{described}");
    }
}

#[test]
fn our_images_have_no_shell() {
    let Some(node) = Node::get() else { return };
    let namespace = node.namespace("noshell");
    for name in ["sidecar", "agent", "control-plane"] {
        let image = node.image(name);
        node.apply(&format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  restartPolicy: Never
  containers: [{{name: main, image: "{image}", imagePullPolicy: Never, command: [/bin/sh, -c, "true"]}}]
"#,
            namespace = &*namespace
        ));
        let state = eventually(|| {
            let pod = node.pod(&namespace, name);
            let state = pod["status"]["containerStatuses"][0]["state"]["terminated"].clone();
            if state.is_null() { Err(pod["status"].to_string()) } else { Ok(state) }
        });
        assert!(state["message"].to_string().contains("no such file or directory"), "{state}");
    }
}

/// The same files give the same bytes, whatever the order they are named in and whenever they are packed.
#[test]
fn the_same_files_give_the_same_image() {
    let folder = tempfile::TempDir::new().expect("there is room for a folder");
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [("one", "first"), ("two", "second")] {
        std::fs::write(path(name), text).expect("the folder is ours");
    }
    let (one, two) = (format!("{}:/bin/one", path("one").display()), format!("{}:/two", path("two").display()));
    let pack = |output: &str, files: [&str; 2]| {
        let packed = Command::new("python3")
            .arg(root().join("scripts/image/archive.py"))
            .args(["--name", "localhost/test:1", "--user", "65532", "--label", "a=b", "--output"])
            .arg(path(output))
            .args(files)
            .output()
            .expect("python3 starts");
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        (packed.stdout, std::fs::read(path(output)).expect("it was written"))
    };
    let first = pack("first.tar", [&one, &two]);
    std::fs::write(path("one"), "first").expect("the folder is ours");
    assert_eq!(first, pack("second.tar", [&two, &one]));
    std::fs::write(path("one"), "First").expect("the folder is ours");
    assert_ne!(first.0, pack("third.tar", [&one, &two]).0, "the digest is of the files");
}

/// Each image's list of what is linked into it says what Cargo says.
#[test]
fn an_sbom_lists_what_is_linked() {
    for package in ["sidecar", "agent", "control-plane"] {
        let made = Command::new("python3")
            .arg(root().join("scripts/image/sbom.py"))
            .args([package, "x86_64-unknown-linux-gnu"])
            .current_dir(root())
            .output()
            .expect("python3 starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let bom: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
        assert_eq!(bom["metadata"]["component"]["name"], package);
        let components = bom["components"].as_array().expect("a list");
        let listed: std::collections::BTreeSet<_> =
            components.iter().map(|component| component["name"].as_str().expect("a name").to_owned()).collect();
        let mut reached = tests::tidy::reachable(package);
        reached.remove(package);
        assert_eq!(listed, reached);
        let third_party = components.iter().filter(|component| component["hashes"].is_array());
        assert!(third_party.clone().count() + 5 > components.len(), "all but ours have a checksum");
        assert!(components.iter().all(|component| component["licenses"].is_array()), "{package}: a licence is missing");
    }
}
