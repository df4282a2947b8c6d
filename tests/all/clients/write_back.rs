//! Masked Secrets on the way back: what people do with kubectl all day goes on, values stay as they are, and nobody's is overwritten or
//! moved. Beside each Secret stands a twin on which an administrator does the same without us: kubectl must say the same, and the API
//! server must end up with the same.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::kubectl::{Kubectl, Output, Version};
use tests::stack::Stack;

use super::{PASSWORD, approve, approved, assert_sent, each, file, stack, told, waiting, without_password};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Secret and its twin, in the eyes of one kubectl.
struct Twins<'a> {
    stack: &'a Stack,
    kubectl: &'a Kubectl,
    admin: Kubectl,
    name: String,
    twin: String,
}

impl<'a> Twins<'a> {
    fn new(stack: &'a Stack, version: Version, kubectl: &'a Kubectl, name: String) -> Self {
        let facts = stack.namespace().cluster().facts();
        let admin = Kubectl::new(version).kubeconfig(&facts.admin_kubeconfig).namespace(stack.namespace());
        let twin = format!("twin-{name}");
        Self { stack, kubectl, admin, name, twin }
    }

    fn create(&self) {
        for name in [&self.name, &self.twin] {
            let password = format!("--from-literal=password={PASSWORD}");
            self.stack.namespace().admin(&[
                "create",
                "secret",
                "generic",
                name,
                &password,
                "--from-literal=user=admin <&>",
            ]);
            // What a tool notes of it in JSON, which is shown masked as a whole, and goes back as it was.
            let note = format!("example.com/tool={{\"before\":{{\"password\":\"{PASSWORD}\"}}}}");
            self.stack.namespace().admin(&["annotate", "secret", name, &note]);
        }
    }

    /// As it is in etcd.
    fn real(&self) -> Value {
        real(self.stack, &self.name)
    }

    /// Runs the same for both and compares what kubectl says. `words` may have `NAME` and `HOME` in them. With `holds` each hold is
    /// approved; without, one would be waited for in vain.
    async fn both(&self, words: &[&str], holds: bool) -> Output {
        let of = |name: &str, home: &Kubectl| -> Vec<String> {
            let home = home.home().display().to_string();
            words.iter().map(|word| word.replace("NAME", name).replace("HOME", &home)).collect()
        };
        let direct = self.admin.run(&of(&self.twin, &self.admin)).await;
        let ours = self.ours(&of(&self.name, self.kubectl), holds).await;
        let plain = |text: &str| {
            let homes = [&self.admin, self.kubectl].map(|kubectl| kubectl.home().display().to_string());
            // Stories beside this one make groups of resources and delete them, while kubectl asks for what there is.
            let gone = |line: &&str| line.contains("memcache.go") && line.contains("couldn't get resource list for");
            let text: String = text.split_inclusive('\n').filter(|line| !gone(line)).collect();
            let text = homes.iter().fold(text, |text, home| text.replace(home, "HOME"));
            text.replace(&self.twin, "NAME").replace(&self.name, "NAME")
        };
        assert_eq!(plain(&ours.stdout), plain(&direct.stdout), "{words:?}: {}", ours.stderr);
        assert_eq!(plain(&ours.stderr), plain(&direct.stderr), "{words:?}");
        assert_eq!(ours.code, direct.code, "{words:?}");
        ours
    }

    /// Runs it for ours alone.
    async fn ours(&self, words: &[String], holds: bool) -> Output {
        let mut running = self.kubectl.spawn(words, "").await;
        while holds && running.is_waiting() {
            if let Some(hold) = waiting(self.stack, &self.name) {
                self.stack.cli(&["approvals", "approve", hold["id"].as_str().unwrap()]).ok();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let ours = running.end().await;
        without_password(&ours);
        ours
    }

    /// Both hold the same, but for their names and for what the API server numbers.
    #[track_caller]
    fn assert_alike(&self) {
        let level = |object: Value, name: &str| {
            let mut object = object;
            let metadata = object["metadata"].as_object_mut().unwrap();
            for numbered in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                metadata.remove(numbered);
            }
            // A file that was got has the numbers in it, and so has what was applied of it.
            let mut object: Value = serde_json::from_str(&object.to_string().replace(name, "NAME")).unwrap();
            if let Some(text) = object["metadata"]["annotations"][LAST_APPLIED].as_str() {
                let mut applied: Value = serde_json::from_str(text).unwrap();
                for numbered in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                    applied["metadata"].as_object_mut().unwrap().remove(numbered);
                }
                object["metadata"]["annotations"][LAST_APPLIED] = applied;
            }
            object
        };
        assert_eq!(level(self.real(), &self.name), level(real(self.stack, &self.twin), &self.twin));
    }

    /// What each of them is shown of its own, as a file `got.json` in its home. Masked for us, and no value in it.
    async fn get(&self, change: impl Fn(&mut Value)) -> Value {
        let mut shown = Value::Null;
        for (kubectl, name) in [(&self.admin, &self.twin), (self.kubectl, &self.name)] {
            let got = kubectl.run(&["get", "secret", name, "-o", "json"]).await;
            if name == &self.name {
                without_password(&got);
            }
            shown = serde_json::from_str(&got.ok()).unwrap();
            change(&mut shown);
            file(kubectl, "got.json", &shown.to_string());
        }
        shown
    }
}

fn real(stack: &Stack, name: &str) -> Value {
    stack.namespace().cluster().get_json(&["-n", stack.namespace(), "secret", name, "--show-managed-fields"])
}

/// Only what a person would keep in a file.
fn essence(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for numbered in ["uid", "resourceVersion", "creationTimestamp"] {
        metadata.remove(numbered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_is_replaced_and_nothing_changes() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("same-{word}"));
        twins.create();
        let before = twins.real();
        let shown = twins.get(|_| {}).await;
        assert_ne!(shown["data"], before["data"], "{version:?}");
        twins.both(&["replace", "-f", "HOME/got.json"], true).await;
        assert_eq!(twins.real(), before, "{version:?}: the same bytes, the same version");
        twins.both(&["patch", "secret", "NAME", "--patch-file", "HOME/got.json"], true).await;
        twins.both(&["patch", "secret", "NAME", "--type=merge", "--patch-file", "HOME/got.json"], true).await;
        let put = |shown: &Value| json!([{"op": "replace", "path": "/data", "value": shown["data"]}]);
        twins.get(|shown| *shown = put(shown)).await;
        twins.both(&["patch", "secret", "NAME", "--type=json", "--patch-file", "HOME/got.json"], true).await;
        assert_eq!(twins.real(), before, "{version:?}");
        // One value changes, its neighbour goes along masked.
        twins.get(|shown| shown["data"]["user"] = json!("bmV3")).await;
        twins.both(&["replace", "-f", "HOME/got.json"], true).await;
        let after = twins.real();
        assert_eq!(after["data"]["password"], STANDARD.encode(PASSWORD), "{version:?}");
        assert_eq!(after["data"]["user"], "bmV3", "{version:?}");
        twins.assert_alike();
        // Decoded, it is a sentence, and goes back where texts stand.
        let plain = |text: &Value| String::from_utf8(STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap();
        twins.get(|shown| *shown = json!({"stringData": {"password": plain(&shown["data"]["password"])}})).await;
        twins.both(&["patch", "secret", "NAME", "--type=merge", "--patch-file", "HOME/got.json"], true).await;
        assert_eq!(twins.real()["data"], after["data"], "{version:?}");
        twins.assert_alike();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_is_applied_and_then_unchanged() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("again-{word}"));
        twins.create();
        twins
            .get(|shown| {
                essence(shown);
                shown["metadata"]["annotations"] = json!({"note": "<a & b>"});
            })
            .await;
        let first = twins.both(&["apply", "-f", "HOME/got.json"], true).await.ok();
        assert!(first.contains("configured"), "{version:?}: {first}");
        let applied = twins.real();
        twins.assert_alike();
        assert!(
            applied["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap().contains(&STANDARD.encode(PASSWORD))
        );
        for _ in 0..2 {
            // Not even asked for: kubectl finds nothing to do.
            let second = twins.both(&["apply", "-f", "HOME/got.json"], false).await.ok();
            assert!(second.contains("unchanged"), "{version:?}: {second}");
        }
        assert_eq!(twins.real(), applied, "{version:?}");
        // Got again, with the annotation in it, and changed.
        twins
            .get(|shown| {
                essence(shown);
                shown["metadata"]["labels"] = json!({"a": "b"});
                shown["data"]["more"] = json!("eA==");
            })
            .await;
        twins.both(&["apply", "-f", "HOME/got.json"], true).await.ok();
        twins.assert_alike();
        twins
            .get(|shown| {
                essence(shown);
                shown["data"].as_object_mut().unwrap().remove("more");
            })
            .await;
        twins.both(&["apply", "-f", "HOME/got.json"], true).await.ok();
        twins.assert_alike();
        assert_eq!(twins.real()["data"].as_object().unwrap().len(), 2, "{version:?}");
        // As it comes, straight into apply, twice.
        for _ in 0..2 {
            twins.get(|_| {}).await;
            twins.both(&["apply", "-f", "HOME/got.json"], true).await.ok();
            twins.assert_alike();
        }
        // What is served says so as ever.
        twins.get(essence).await;
        let server = &["apply", "--server-side", "--force-conflicts", "-f", "HOME/got.json"];
        twins.both(server, true).await.ok();
        twins.assert_alike();
        twins.both(server, true).await.ok();
        twins.assert_alike();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_tried_is_a_difference_and_is_not_written_back() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("tried-{word}"));
        twins.create();
        let run = async |words: &[&str]| {
            twins.ours(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), true).await
        };
        let mut shown = twins.get(essence).await;
        let got = file(&kubectl, "got.json", &shown.to_string());
        run(&["apply", "-f", &got]).await.ok();
        assert_eq!(run(&["diff", "-f", &got]).await.code, Some(0), "{version:?}: nothing is given but what was shown");
        // Whether the value is another one nobody may learn, so it is said to differ.
        for value in ["bmV3", &STANDARD.encode(PASSWORD)] {
            shown["data"]["password"] = json!(value);
            let given = file(&kubectl, "given.json", &shown.to_string());
            for more in [&[][..], &["--server-side", "--force-conflicts"]] {
                let differs = run(&[&["diff", "-f", &given], more].concat()).await;
                assert_eq!(differs.code, Some(1), "{version:?}: {differs:?}");
                assert!(differs.stdout.contains("(before)") && differs.stdout.contains("(after)"), "{differs:?}");
            }
        }
        let before = twins.real();
        shown["data"]["password"] = json!("bmV3");
        let given = file(&kubectl, "given.json", &shown.to_string());
        let tried = run(&["apply", "-f", &given, "--dry-run=server", "-o", "json"]).await.ok();
        let tried = file(&kubectl, "tried.json", &tried);
        for words in [["apply", "-f", &tried], ["replace", "-f", &tried]] {
            let refused = run(&words).await.refused();
            let sentence = "stands for a value which was only tried in a dry run";
            assert!(refused.contains(sentence) && refused.contains("/data/password"), "{version:?}: {refused}");
        }
        assert_eq!(twins.real(), before, "{version:?}");
        run(&["apply", "-f", &given]).await.ok();
        assert_eq!(twins.real()["data"]["password"], "bmV3", "{version:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_label_and_annotate_leave_values_alone() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("edited-{word}"));
        twins.create();
        let data = twins.real()["data"].clone();
        twins.both(&["label", "secret", "NAME", "a=b"], true).await.ok();
        twins.both(&["annotate", "secret", "NAME", "a=b"], true).await.ok();
        // What stands there is edited; the values go along.
        let editor = "sed -i s/a:.b/a:\\ c/";
        let target = ["edit", "secret", &twins.name, "--save-config"];
        let (edited, verb) = tokio::join!(kubectl.run_edit(&target, editor), approve(stack, &twins.name));
        without_password(&edited);
        assert_eq!((edited.ok(), verb.as_str()), (format!("secret/{} edited\n", twins.name), "patch"), "{version:?}");
        let target = ["edit", "secret", &twins.twin, "--save-config"];
        twins.admin.run_edit(&target, editor).await.ok();
        twins.assert_alike();
        assert_eq!(twins.real()["data"], data, "{version:?}");
        // A value of one's own beside them.
        let editor = "sed -i s/user:.*/user:\\ bmV3/";
        let target = ["edit", "secret", &twins.name];
        let (edited, _) = tokio::join!(kubectl.run_edit(&target, editor), approve(stack, &twins.name));
        edited.ok();
        assert_eq!(twins.real()["data"], json!({"password": data["password"], "user": "bmV3"}), "{version:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_ones_own_is_a_conflict_as_ever() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("stale-{word}"));
        twins.create();
        twins.get(|_| {}).await;
        for name in [&twins.name, &twins.twin] {
            stack.namespace().admin(&["patch", "secret", name, "-p", r#"{"data":{"password":"bmV3ZXI="}}"#]);
        }
        let said = twins.both(&["replace", "-f", "HOME/got.json"], true).await.refused();
        assert!(said.contains("Conflict") || said.contains("the object has been modified"), "{version:?}: {said}");
        // Without one, what is there now is kept.
        twins.get(|_| {}).await;
        let mut old: Value =
            serde_json::from_str(&std::fs::read_to_string(kubectl.home().join("got.json")).unwrap()).unwrap();
        essence(&mut old);
        old["metadata"]["labels"] = json!({"a": "b"});
        let path = file(&kubectl, "old.json", &old.to_string());
        let replaced = kubectl.spawn(&["replace", "-f", &path], "").await;
        approved(stack, replaced, &twins.name).await.ok();
        assert_eq!(twins.real()["data"]["password"], "bmV3ZXI=", "{version:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_created_again_and_a_copy_not_at_all() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("there-{word}"));
        twins.create();
        let before = twins.real();
        twins.get(essence).await;
        let said = twins.both(&["create", "-f", "HOME/got.json"], false).await.refused();
        assert!(said.contains("AlreadyExists"), "{version:?}: {said}");
        let mut copy = twins.get(essence).await;
        copy["metadata"]["name"] = json!(format!("copy-{word}"));
        let copied = file(&kubectl, "copy.json", &copy.to_string());
        for verb in ["create", "apply"] {
            let said = kubectl.run(&[verb, "-f", &copied]).await.refused();
            assert!(said.contains("Forbidden") || said.contains("forbidden"), "{version:?}: {said}");
            assert!(said.contains("placeholder") && said.contains("/data/password"), "{version:?}: {said}");
            assert!(said.contains("[sallyport operation "), "{version:?}: {said}");
        }
        assert_sent(stack, &format!("copy-{word}"), "create secrets as sallyport:write", 0);
        assert_eq!(twins.real(), before, "{version:?}");
    })
    .await;
}

/// kubectl turns a conflict or an invalid object into delete and create where it is forced. A refusal of ours is neither.
#[tokio::test(flavor = "multi_thread")]
async fn force_never_ends_without_the_secret() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let twins = Twins::new(stack, version, &kubectl, format!("forced-{word}"));
        twins.create();
        let before = twins.real();
        let mut swapped = twins.get(essence).await;
        let password = swapped["data"]["password"].clone();
        swapped["data"]["user"] = password;
        let swapped = file(&kubectl, "swapped.json", &swapped.to_string());
        let applied = kubectl.spawn(&["apply", "--force", "-f", &swapped], "").await;
        let said = approved(stack, applied, &twins.name).await.refused();
        assert!(said.contains("/data/user") && said.contains("another object or field"), "{version:?}: {said}");
        assert_eq!(twins.real(), before, "{version:?}");
        // Replaced by force it is deleted first: people are asked, and told what that means.
        let replaced = kubectl.spawn(&["replace", "--force", "-f", &swapped], "").await;
        let hold = loop {
            match waiting(stack, &twins.name) {
                Some(hold) => break hold,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        assert_eq!(hold["request"]["verb"], "delete", "{version:?}");
        let id = hold["id"].as_str().unwrap();
        let shown = stack.cli(&["approvals", "show", id]).ok();
        assert!(shown.contains("can't write its values back") && shown.contains("never had the values"), "{shown}");
        stack.cli(&["approvals", "deny", id, "--reason", "it would be gone"]).ok();
        assert!(replaced.end().await.refused().contains("it would be gone"), "{version:?}");
        assert_eq!(twins.real(), before, "{version:?}");
        assert!(!told(stack, &twins.name).iter().any(|told| told.starts_with("delete ")), "{version:?}");
    })
    .await;
}
