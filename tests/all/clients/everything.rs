//! Every resource of a real cluster that can be listed, asked for twice: directly by an administrator, and through us. Field by field the
//! two are the same but for what is masked, and all of that is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::canary;
use tests::kubectl::{Kubectl, Version};
use tests::stack::Stack;

const OBJECTS: &str = include_str!("everything.yaml");

/// Nothing is held; what is masked besides Secrets is what a team would name.
fn policy(group: &str) -> String {
    format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {{holdAt: 99, denyAt: 100}}
mask:
- apiGroups: ['']
  resources: [configmaps]
  fields: ['data.*PASSWORD*']
- apiGroups: ['{group}']
  resources: [logins]
  fields: ['spec.token', 'spec.users[*].password']
"
    )
}

/// All objects, and a role that lets the agent's groups read the resource that is the story's own.
fn fill(stack: &Stack, group: &str) {
    let own = stack.namespace();
    let cluster = own.cluster();
    let objects = OBJECTS.replace("GROUP", group);
    let (definition, objects) = objects.split_once("\n---\n").unwrap();
    cluster.apply(definition);
    cluster.admin(&["wait", "--for=condition=Established", &format!("crd/logins.{group}"), "--timeout=30s"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let login = format!(
        "\n---\napiVersion: {group}/v1\nkind: Login\nmetadata: {{name: l}}\nspec: {{token: canary-51f0-token, colour: blue, users: [{{name: u, \
         password: canary-51f0-a}}, {{name: v, password: canary-51f0-b}}]}}\n"
    );
    std::fs::write(file.path(), [objects, &login].concat()).unwrap();
    // With the annotation of an apply, in which the values stand once more.
    own.admin(&["apply", "-f", file.path().to_str().unwrap()]);
    own.admin(&["create", "role", "logins", "--verb=get,list,watch", &format!("--resource=logins.{group}")]);
    own.admin(&["create", "rolebinding", "logins", "--role=logins", "--group=sallyport:read"]);
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn items<'a>(list: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    list[key].as_array().into_iter().flatten()
}

/// Paths of all lists: in the namespace where the resource has one. Groups of other stories come and go.
fn lists(stack: &Stack, group: &str) -> BTreeSet<String> {
    let own = stack.namespace();
    let direct = |path: &str| parsed(&own.cluster().admin(&["get", "--raw", path]));
    let groups = direct("/apis");
    let name = |found: &Value| found["name"].as_str().unwrap_or_default().to_owned();
    let own_or_built_in = |found: &&Value| name(found) == group || !name(found).ends_with(".example.com");
    let groups = items(&groups, "groups").filter(own_or_built_in);
    let versions = groups.flat_map(|group| items(group, "versions"));
    let roots = versions.map(|version| format!("/apis/{}", version["groupVersion"].as_str().unwrap()));
    let mut paths = BTreeSet::new();
    for root in roots.chain(["/api/v1".to_owned()]) {
        for resource in items(&direct(&root), "resources") {
            let name = resource["name"].as_str().unwrap();
            let within = if resource["namespaced"] == true { format!("/namespaces/{}", &**own) } else { String::new() };
            // These are made up anew for each request, in any order.
            if name != "componentstatuses" && items(resource, "verbs").any(|verb| verb == "list") {
                paths.insert(format!("{root}{within}/{name}"));
            }
        }
    }
    paths
}

/// What an administrator and a runner get at this path while nothing changes there; none where the runner's role ends.
async fn both(stack: &Stack, kubectl: &Kubectl, path: &str) -> Option<(Value, Value)> {
    for _ in 0..60 {
        let direct = || {
            let mut list = parsed(&stack.namespace().cluster().admin(&["get", "--raw", path]));
            list["metadata"]["resourceVersion"] = Value::Null;
            list
        };
        let before = direct();
        let through = kubectl.run(&["get", "--raw", path]).await;
        if through.code != Some(0) {
            assert!(through.stderr.contains("sallyport:read may not read it"), "{path}: {through:?}");
            return None;
        }
        let mut through = parsed(&through.ok());
        through["metadata"]["resourceVersion"] = Value::Null;
        if before == direct() {
            return Some((before, through));
        }
    }
    panic!("{path} never stands still");
}

/// Whether something at this place of an object may differ, and must.
fn is_masked(object: &Value, place: &str, group: &str) -> bool {
    let value = object.pointer(place).and_then(Value::as_str).unwrap_or_default();
    if place == "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration" {
        return canary::found(value.as_bytes()).is_some();
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Secret" => place.starts_with("/data/"),
        "ConfigMap" => place == "/data/DB_PASSWORD",
        "Login" => {
            object["apiVersion"].as_str().unwrap().starts_with(group)
                && (place == "/spec/token" || place.starts_with("/spec/users/") && place.ends_with("/password"))
        }
        _ => false,
    }
}

/// Every leaf of an object, by its JSON pointer.
fn leaves<'a>(at: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                leaves(&format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), value, found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                leaves(&format!("{at}/{index}"), value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            found.insert(at.to_owned(), value);
        }
    }
}

/// The places where one object's two readings differ. They have the same fields, and differ where they must.
#[track_caller]
fn compare(direct: &Value, shown: &Value, group: &str) -> Vec<String> {
    let (mut real, mut seen) = (BTreeMap::new(), BTreeMap::new());
    leaves("", direct, &mut real);
    leaves("", shown, &mut seen);
    let name = &direct["metadata"]["name"];
    assert!(real.keys().eq(seen.keys()), "{name} has other fields: {seen:?}");
    let differ: Vec<_> =
        real.iter().zip(&seen).filter(|(real, seen)| real != seen).map(|((place, _), _)| place.clone()).collect();
    let must: Vec<_> = real.keys().filter(|place| is_masked(direct, place, group)).cloned().collect();
    assert_eq!(differ, must, "{name}");
    differ
}

/// A list without its items, and these, each with the kind that it has when it stands alone.
fn taken_apart(mut list: Value) -> (Value, Vec<Value>) {
    let kind: Value = list["kind"].as_str().unwrap().trim_end_matches("List").into();
    let version = list["apiVersion"].clone();
    let mut objects: Vec<Value> = serde_json::from_value(list["items"].take()).unwrap();
    for object in &mut objects {
        (object["kind"], object["apiVersion"]) = (kind.clone(), version.clone());
    }
    (list, objects)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_reads_the_same_but_for_what_is_masked() {
    let group = format!("everything-{}.example.com", std::process::id());
    let stack = Stack::with_policy("everything", Some(&policy(&group)));
    fill(&stack, &group);
    let kubectl = stack.kubectl(Version::Newest);
    let (mut kinds, mut masked, mut closed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for path in lists(&stack, &group) {
        let Some((direct, through)) = both(&stack, &kubectl, &path).await else {
            closed.insert(path);
            continue;
        };
        let ((list, direct), (shown_list, through)) = (taken_apart(direct), taken_apart(through));
        assert_eq!((list, direct.len()), (shown_list, through.len()), "{path}");
        for (direct, shown) in direct.iter().zip(&through) {
            let kind = direct["kind"].as_str().unwrap();
            kinds.insert(kind.to_owned());
            masked.extend(compare(direct, shown, &group).into_iter().map(|place| format!("{kind} {place}")));
        }
    }
    assert!(kinds.len() >= 36, "{kinds:?}");
    assert!(masked.len() >= 15, "{masked:?}");
    assert_eq!(closed, BTreeSet::new());
    stack.namespace().cluster().admin(&["delete", "crd", &format!("logins.{group}")]);
}
