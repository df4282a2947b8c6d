//! Unchanged helm, 3 and 4, through all three processes: install, upgrade, rollback and what stands between them, of a chart with Secrets
//! in it. Beside each release stands a twin that an administrator's helm makes without us: helm must get through, no value may be
//! shown, and what is stored must be the same.
#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::cluster::root;
use tests::kubectl::{Kubectl, Output, Version};
use tests::stack::Stack;

mod made;

/// Values of Secrets, none of which may be seen.
const FIRST: &str = "canary-51f0-first-password";
const SECOND: &str = "canary-51f0 second: \"password\" 77";
const KEY: &str = "canary-51f0-api-key-0815";

/// The README's rule: Secrets may be changed and deleted without asking.
const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, denyAt: 100}
rules:
- name: helm
  match: {apiGroups: [''], resources: [secrets], verbs: [update, patch, delete]}
  effect: allow
  accept: [table/secrets:change, table/secrets:delete, modifier/secret-seen-masked]
noPersonBehind:
- serviceAccount: 'test/*/default'
";

const RIGHTS: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: helm}
rules:
- {apiGroups: [''], resources: [secrets], verbs: [update, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: helm}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: helm}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'sallyport:write'}]
";

const CHART: [(&str, &str); 7] = [
    ("Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n"),
    ("values.yaml", "color: green\npassword: ''\napiKey: ''\n"),
    (
        "templates/secret.yaml",
        r#"{{- $password := .Values.password | default (randAlphaNum 24) }}
{{- $old := lookup "v1" "Secret" .Release.Namespace (printf "%s-db" .Release.Name) }}
{{- if and $old (not .Values.password) }}{{ $password = index $old.data "password" | b64dec }}{{ end }}
# The database's.
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-db
type: Opaque
data:
  password: {{ $password | b64enc | quote }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-conf
stringData:
  apiKey: {{ .Values.apiKey | quote }}
"#,
    ),
    (
        "templates/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-map\ndata:\n  color: {{ .Values.color }}\n",
    ),
    (
        "templates/hook.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {{ .Release.Name }}-hook\n  labels: {app.kubernetes.io/instance: {{ .Release.Name }}}\n  annotations: {helm.sh/hook: 'pre-install,pre-upgrade'}\nstringData: {key: {{ .Values.apiKey | quote }}}\n",
    ),
    (
        "templates/test.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-test\n  annotations: {helm.sh/hook: test}\ndata: {a: b}\n",
    ),
    ("templates/NOTES.txt", "Color {{ .Values.color }}, key {{ .Values.apiKey }}.\n"),
];

/// helm as a job runs it, and as an administrator does.
struct Twins<'a> {
    stack: &'a Stack,
    ours: Kubectl,
    admin: Kubectl,
    chart: String,
    name: String,
    twin: String,
}

impl<'a> Twins<'a> {
    fn new(stack: &'a Stack, version: &str) -> Self {
        let program = program(version);
        let ours = stack.kubectl(Version::Newest).program(&program).namespace(stack.namespace());
        let facts = stack.namespace().cluster().facts();
        let admin = Kubectl::new(Version::Newest).program(&program).kubeconfig(&facts.admin_kubeconfig);
        let admin = admin.namespace(stack.namespace());
        for (file, text) in CHART {
            let path = ours.home().join("chart").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let chart = ours.home().join("chart").display().to_string();
        Self { stack, ours, admin, chart, name: format!("ours{version}"), twin: format!("twin{version}") }
    }

    fn words(&self, words: &[&str], name: &str) -> Vec<String> {
        words.iter().map(|word| word.replace("NAME", name).replace("CHART", &self.chart)).collect()
    }

    /// Runs the same for both, and gives what ours said.
    async fn both(&self, words: &[&str]) -> Output {
        self.admin.run(&self.words(words, &self.twin)).await.ok();
        self.run(words).await
    }

    async fn run(&self, words: &[&str]) -> Output {
        let output = self.ours.run(&self.words(words, &self.name)).await;
        assert_eq!(output.code, Some(0), "helm {words:?}: {}{}", output.stderr, output.stdout);
        clean(&output);
        output
    }

    /// Both have the same in the cluster: each revision, opened, and each Secret.
    #[track_caller]
    fn assert_alike(&self, revisions: u64) {
        for revision in 1..=revisions {
            let (ours, twin) = (self.release(&self.name, revision), self.release(&self.twin, revision));
            let places = differences(&ours, &twin);
            assert!(places.is_empty(), "revision {revision}: {places:?}");
        }
        for suffix in ["db", "conf", "hook"] {
            let data = |name: &str| self.secret(&format!("{name}-{suffix}"))["data"].clone();
            assert_eq!(data(&self.name), data(&self.twin), "{suffix}");
        }
    }

    fn secret(&self, name: &str) -> Value {
        self.stack.namespace().cluster().get_json(&["-n", self.stack.namespace(), "secret", name])
    }

    /// A revision as it is stored, with what must differ made alike.
    fn release(&self, name: &str, revision: u64) -> Value {
        let secret = self.secret(&format!("sh.helm.release.v1.{name}.v{revision}"));
        assert_eq!(secret["type"], "helm.sh/release.v1");
        let bytes = STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*STANDARD.decode(bytes).unwrap()).read_to_string(&mut text).unwrap();
        let mut release: Value = serde_json::from_str(&text.replace(name, "NAME")).unwrap();
        assert!(!text.contains("c2FsbHlwb3J0") && !text.contains("sallyport"), "a mask was stored: {text}");
        for time in ["first_deployed", "last_deployed", "deleted"] {
            release["info"].as_object_mut().unwrap().remove(time);
        }
        for hook in release["hooks"].as_array_mut().into_iter().flatten() {
            let run = hook["last_run"].as_object_mut().unwrap();
            run.remove("started_at");
            run.remove("completed_at");
        }
        for file in ["templates", "files"] {
            for file in release["chart"][file].as_array_mut().into_iter().flatten() {
                file.as_object_mut().unwrap().remove("modtime");
            }
        }
        for time in ["modtime", "schemamodtime"] {
            release["chart"].as_object_mut().unwrap().remove(time);
        }
        let mut labels = secret["metadata"]["labels"].clone();
        for time in ["modifiedAt", "createdAt"] {
            labels.as_object_mut().unwrap().remove(time);
        }
        labels["name"] = Value::from("NAME");
        release["labels"] = labels;
        release
    }

    /// The value that the cluster really has.
    fn password(&self) -> String {
        let data = self.secret(&format!("{}-db", self.name));
        String::from_utf8(STANDARD.decode(data["data"]["password"].as_str().unwrap()).unwrap()).unwrap()
    }
}

fn differences(one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            let pairs = one.iter().zip(other.values());
            pairs
                .flat_map(|((name, one), other)| {
                    differences(one, other).into_iter().map(move |at| format!("/{name}{at}"))
                })
                .collect()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs
                .flat_map(|(at, (one, other))| {
                    differences(one, other).into_iter().map(move |rest| format!("/{at}{rest}"))
                })
                .collect()
        }
        _ if one == other => Vec::new(),
        _ => vec![format!(": {one} and {other}")],
    }
}

fn program(version: &str) -> PathBuf {
    let output = Command::new(root().join("scripts/cluster")).args(["helm", version]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Path::new(String::from_utf8(output.stdout).unwrap().trim()).to_owned()
}

/// All forms of the values that are looked for.
fn forms() -> Vec<String> {
    let forms = |value: &str| {
        let once = STANDARD.encode(value);
        [value.to_owned(), STANDARD.encode(&once), once, Value::from(value).to_string().trim_matches('"').to_owned()]
    };
    [FIRST, SECOND, KEY].into_iter().flat_map(forms).map(|form| form.trim_end_matches('=').to_owned()).collect()
}

/// No value in what helm prints, debug lines and all, nor in what it was sent.
#[track_caller]
fn clean(output: &Output) {
    for form in forms() {
        for text in [&output.stdout, &output.stderr] {
            let found = text.find(&form).map(|at| &text[at.saturating_sub(80)..]);
            assert!(found.is_none(), "{form} in {found:?}");
        }
    }
}

fn stack() -> Stack {
    let stack = Stack::with_policy("helm", Some(POLICY));
    stack.namespace().cluster().admin_with(&["-n", stack.namespace(), "apply", "-f", "-"], RIGHTS);
    stack
}

/// Values that helm reads from a file, so that they are not in its own words.
fn values(twins: &Twins<'_>, values: &Value) -> String {
    let path = twins.ours.home().join("values.json");
    std::fs::write(&path, values.to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_3_installs_upgrades_rolls_back_and_uninstalls() {
    life("3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_4_installs_upgrades_rolls_back_and_uninstalls() {
    life("4").await;
}

/// The life of a release.
async fn life(version: &str) {
    let stack = &stack();
    let twins = &Twins::new(stack, version);
    let given = values(twins, &serde_json::json!({"password": FIRST, "apiKey": KEY}));
    // Its notes have the key in them, which it got from us.
    let words = ["install", "NAME", "CHART", "-f", &given, "--hide-notes"];
    twins.both(&words).await;
    twins.assert_alike(1);
    assert_eq!(twins.password(), FIRST);

    for words in READS {
        let read = twins.run(words).await;
        assert!(!read.stdout.is_empty(), "helm {version} {words:?}");
    }
    let listed = twins.run(&["list", "-o", "json"]).await.ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().iter().filter(|release| release["status"] == "deployed").count(), 2);
    let got = twins.run(&["get", "values", "NAME", "-o", "json"]).await.ok();
    let got: Value = serde_json::from_str(&got).unwrap();
    assert!(got["apiKey"].as_str().unwrap().starts_with("sallyport: masked value"), "{got}");

    // The password is kept by the chart, which looks it up.
    let color = values(twins, &serde_json::json!({"color": "blue", "apiKey": KEY}));
    twins.both(&["upgrade", "NAME", "CHART", "-f", &color, "--hide-notes"]).await;
    twins.assert_alike(2);
    assert_eq!(twins.password(), FIRST, "kept");
    // Nothing given: the values of before, as they were shown, and all that is rendered from them.
    twins.both(&["upgrade", "NAME", "CHART"]).await;
    twins.assert_alike(3);
    twins.both(&["upgrade", "--install", "NAME", "CHART", "--reuse-values", "--set", "color=red"]).await;
    twins.assert_alike(4);
    // Another value, and the older one again.
    let other = values(twins, &serde_json::json!({"password": SECOND, "apiKey": KEY}));
    twins.both(&["upgrade", "NAME", "CHART", "-f", &other, "--hide-notes"]).await;
    twins.assert_alike(5);
    assert_eq!(twins.password(), SECOND);
    twins.both(&["rollback", "NAME", "1"]).await;
    twins.assert_alike(6);
    assert_eq!(twins.password(), FIRST, "rolled back");
    twins.both(&["rollback", "NAME"]).await;
    twins.assert_alike(7);
    assert_eq!(twins.password(), SECOND, "rolled back again");

    twins.both(&["test", "NAME"]).await;
    twins.assert_alike(7);
    for words in READS {
        twins.run(words).await;
    }
    twins.both(&["uninstall", "NAME", "--keep-history"]).await;
    let release = |name: &str| twins.release(name, 7);
    assert_eq!(differences(&release(&twins.name), &release(&twins.twin)), Vec::<String>::new());
    twins.both(&["uninstall", "NAME"]).await;
    let left = stack.namespace().admin(&["get", "secrets", "-o", "name"]);
    assert!(!left.contains(&twins.name) || left.contains("-hook"), "{left}");
    let ours = |left: &str| left.lines().filter(|line| line.contains(&twins.name)).count();
    let twin = |left: &str| left.lines().filter(|line| line.contains(&twins.twin)).count();
    assert_eq!(ours(&left), twin(&left), "{left}");
    nothing_is_written_down(stack);
}

/// A password that the chart draws by itself stays what it is, and nobody but the cluster knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_helm_drew_is_kept() {
    let stack = &stack();
    for version in ["3", "4"] {
        let twins = &Twins::new(stack, version);
        twins.run(&["install", "NAME", "CHART"]).await;
        let drawn = twins.password();
        assert_eq!(drawn.len(), 24);
        for words in [
            &["upgrade", "NAME", "CHART", "--set", "color=blue"][..],
            &["upgrade", "NAME", "CHART", "--install", "--reset-values", "--debug"],
            &["rollback", "NAME", "1", "--debug"],
            &["get", "all", "NAME"],
            &["get", "manifest", "NAME", "--revision", "2"],
        ] {
            let output = twins.run(words).await;
            for form in [drawn.clone(), STANDARD.encode(&drawn)] {
                assert!(!output.stdout.contains(&form) && !output.stderr.contains(&form), "{words:?}: {output:?}");
            }
            assert_eq!(twins.password(), drawn, "helm {version} {words:?}");
        }
        let stored = |revision| twins.release(&twins.name, revision)["manifest"].to_string();
        for revision in 1..=4 {
            assert!(stored(revision).contains(&STANDARD.encode(&drawn)), "revision {revision} has another");
        }
    }
}

/// What is in a release as a client gets it, and a Secret with it after a change.
fn opened(secret: &Value) -> Value {
    let bytes = STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*STANDARD.decode(bytes).unwrap()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Without gzip, as the first helms wrote them and all read them.
fn packed(name: &str, release: &Value) -> String {
    let payload = STANDARD.encode(STANDARD.encode(release.to_string()));
    serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": payload},
        "metadata": {"name": name, "labels": {"owner": "helm", "name": "other"}},
    })
    .to_string()
}

/// Ways by which a job might get at a value, or at another place for one, with what it is shown of a release.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_a_release_is_no_way_to_a_value() {
    let stack = &stack();
    let twins = &Twins::new(stack, "4");
    let given = values(twins, &serde_json::json!({"password": FIRST, "apiKey": KEY}));
    twins.run(&["install", "NAME", "CHART", "-f", &given, "--hide-notes"]).await;
    let kubectl = stack.kubectl(Version::Newest);
    let own = format!("sh.helm.release.v1.{}.v1", twins.name);
    let got = kubectl.run(&["get", "secret", &own, "-o", "json"]).await;
    let release = opened(&serde_json::from_str(&got.ok()).unwrap());
    for form in forms() {
        assert!(!release.to_string().contains(&form), "{form} in {release}");
    }
    let send = async |words: &[&str], body: &str| {
        let output = kubectl.run_with(words, body).await;
        clean(&output);
        output
    };
    let users = release["config"]["password"].as_str().unwrap();
    let with = |pointer: &str, value: Value| {
        let mut release = release.clone();
        *release.pointer_mut(pointer).unwrap() = value;
        release
    };
    let next = format!("sh.helm.release.v1.{}.v2", twins.name);
    let manifest = release["manifest"].as_str().unwrap();
    let conf = format!("{}-conf", twins.name);
    let patch = serde_json::json!({"stringData": {"apiKey": users}}).to_string();
    let refused = send(&["patch", "secret", &conf, "-p", &patch], "").await.refused();
    assert!(refused.contains("/stringData/apiKey holds a placeholder"), "another value's place: {refused}");
    let create = ["create", "-f", "-"];
    for (what, body) in [
        ("a value where it would be seen", serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"p": users}}).to_string()),
        ("in another Secret", serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"password": users}}).to_string()),
        ("its Secret renamed", packed(&next, &with("/manifest", Value::from(manifest.replace("-db", "-dc"))))),
        ("its Secret as another kind", packed(&next, &with("/manifest", Value::from(manifest.replace("kind: Secret", "kind: ConfigMap"))))),
        ("its Secret left out", packed(&next, &with("/manifest", Value::from("")))),
        ("another release", packed("sh.helm.release.v1.other.v1", &release)),
        ("as a name", packed(&next, &with("/name", Value::from(users)))),
        ("what nobody can read", packed(&next, &Value::from(5))),
    ] {
        let refused = send(&create, &body).await.refused();
        // Refusals tell something, so there are not many.
        let rationed = refused.contains("too many of helm's releases with placeholders were refused");
        assert!(rationed || refused.contains("holds a placeholder of Sallyport"), "{what}: {refused}");
        assert!(!rationed || matches!(what, "another release" | "as a name"), "{what}: {refused}");
    }
    let patch = serde_json::json!([{"op": "replace", "path": "/data/release", "value": "x"}]).to_string();
    let refused = send(&["patch", "secret", &own, "--type=json", "-p", &patch], "").await.refused();
    assert!(refused.contains("holds a placeholder"), "{refused}");
    // Read in every way, it stays hidden, and nothing of all this was stored.
    for words in [
        &["get", "secrets", "-o", "json"][..],
        &["get", "secrets", "-l", "owner=helm", "-o", "wide", "-v=9"],
        &["describe", "secret", &own],
        &["get", "secrets", "-w", "-o", "yaml", "--request-timeout=2s"],
    ] {
        send(words, "").await.ok();
    }
    let names = stack.namespace().admin(&["get", "secrets,configmaps", "-o", "name"]);
    assert!(!names.contains("other") && !names.contains(".v2") && !names.contains("secret/x"), "{names}");
    assert_eq!(twins.password(), FIRST);
    nothing_is_written_down(stack);
    crate::stories::assert_agreed(stack);
}

const READS: &[&[&str]] = &[
    &["list", "--debug"],
    &["status", "NAME", "-o", "yaml", "--debug"],
    &["history", "NAME", "--debug"],
    &["get", "values", "NAME", "--debug"],
    &["get", "values", "NAME", "--all", "-o", "yaml", "--debug"],
    &["get", "manifest", "NAME", "--debug"],
    &["get", "manifest", "NAME", "--revision", "1", "--debug"],
    &["get", "hooks", "NAME", "--debug"],
    &["get", "notes", "NAME", "--debug"],
    &["get", "all", "NAME", "--debug"],
];

/// Logs, database, recordings.
fn nothing_is_written_down(stack: &Stack) {
    for form in forms() {
        for process in ["control-plane", "agent", "sidecar"] {
            stack.log(process).assert_without(&form);
        }
    }
    stack.assert_data_without(&forms());
}
