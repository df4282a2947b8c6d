use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::limits::RELEASE_SEARCHED;

use super::*;
use crate::mask::placeholder::without_codes;
use crate::mask::tests::{context, info, keys, run};
use crate::mask::{is_placeholder, mask_value};
use crate::request_info::Verb;

/// Secret values: of all in these tests nothing may be left.
const PASSWORD: &str = "canary-9f-horse";

/// A Secret's document in a manifest, as charts write them.
fn secret_document(name: &str, password: &str) -> String {
    let password = STANDARD.encode(password);
    format!(
        "---\n# Source: web/templates/secret.yaml\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  labels: {{app: web}}\ntype: Opaque\ndata:\n  password: {password}\n"
    )
}

const CONFIG_MAP: &str = "---\n# Source: web/templates/map.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata:\n  image: postgres:16 # a comment\n";

fn release(manifest: &str) -> Value {
    json!({
        "name": "web", "version": 1, "namespace": "default", "manifest": manifest,
        "info": {"status": "deployed", "notes": "Welcome", "description": "Install complete", "first_deployed": "2026-01-01T00:00:00Z"},
        "config": {"password": PASSWORD, "replicas": 3, "ratio": 0.5},
        "chart": {
            "metadata": {"name": "web", "version": "0.1.0"}, "lock": null, "schema": null, "files": [],
            "values": {"password": "", "replicas": 1},
            "templates": [{"name": "templates/secret.yaml", "data": STANDARD.encode("kind: Secret # {{ .Values.password }}")}],
        },
    })
}

/// As it stands in JSON.
pub(crate) fn field(document: &Value) -> String {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(document.to_string().as_bytes()).unwrap();
    STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()))
}

pub(crate) fn secret_named(name: &str, field: &str) -> String {
    format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"default","uid":"u","resourceVersion":"7"}},"data":{{"release":"{field}"}},"type":"helm.sh/release.v1"}}"#
    )
}

/// What a client makes of a release that it got.
pub(crate) fn opened(secret: &Value) -> Value {
    Payload::open(secret["data"]["release"].as_str().unwrap()).expect("it can be opened").document
}

fn shown(document: &Value) -> Value {
    let secret = secret_named("sh.helm.release.v1.web.v1", &field(document));
    let (out, summary) = run(&context("secrets", Verb::Get), &[secret.as_bytes()]).unwrap();
    assert!(summary.masked > 0);
    let shown = opened(&serde_json::from_str(&out).unwrap());
    clean(&shown, PASSWORD);
    shown
}

/// Nothing of a value is in a text, in whatever form, nor in the files of the chart.
#[track_caller]
pub(crate) fn clean(document: &Value, value: &str) {
    let mut text = document.to_string();
    for template in document["chart"]["templates"].as_array().into_iter().flatten() {
        text.push_str(&String::from_utf8(STANDARD.decode(template["data"].as_str().unwrap()).unwrap()).unwrap());
    }
    let forms = [value.to_owned(), STANDARD.encode(value), STANDARD.encode(STANDARD.encode(value))];
    for form in forms {
        assert!(!text.contains(form.trim_end_matches('=')), "{form} in {text}");
    }
}

#[test]
fn m7_secrets_in_manifests_and_hooks_are_masked() {
    let mut document = release(&format!("{}{CONFIG_MAP}", secret_document("db", PASSWORD)));
    document["hooks"] = json!([{"name": "hook", "kind": "Secret", "manifest": secret_document("hook", "other-canary-77"), "events": ["pre-install"]}]);
    let shown = shown(&document);
    clean(&shown, "other-canary-77");
    let manifest = shown["manifest"].as_str().unwrap();
    let pieces = pieces(manifest).unwrap();
    assert_eq!(pieces.len(), 2, "{manifest}");
    let secret = pieces[0].document.as_ref().unwrap();
    assert!(is_placeholder(secret["data"]["password"].as_str().unwrap()), "{manifest}");
    assert_eq!((&secret["metadata"]["name"], &secret["type"]), (&json!("db"), &json!("Opaque")));
    assert!(manifest.starts_with("---\n# Source: web/templates/secret.yaml\n"), "{manifest}");
    assert!(manifest.ends_with(CONFIG_MAP), "what is no Secret keeps its text");
    assert!(shown["hooks"][0]["manifest"].as_str().unwrap().contains("name: hook"));
    // What stands for the value by itself is decoded as that is.
    let plain = shown["config"]["password"].as_str().unwrap();
    assert!(plain.starts_with("sallyport: masked value") && is_placeholder(plain), "{plain}");
    for same in ["/config/replicas", "/config/ratio", "/chart", "/info", "/name", "/version", "/namespace"] {
        assert_eq!(shown.pointer(same), document.pointer(same), "{same}");
    }
}

#[test]
fn m7_values_are_looked_for_in_all_texts() {
    let mut document = release(&secret_document("db", PASSWORD));
    document["config"] =
        json!({"dsn": format!("postgres://u:{PASSWORD}@db"), "encoded": STANDARD.encode(PASSWORD), "list": [PASSWORD]});
    document["info"]["notes"] = json!(format!("Your password is {PASSWORD}.\nKeep it."));
    document["info"]["description"] = json!(format!("failed: \"{}\"", STANDARD.encode(PASSWORD)));
    document["chart"]["values"] = json!({"deep": {"password": PASSWORD}});
    document["chart"]["templates"][0]["data"] = json!(STANDARD.encode(format!("password: {PASSWORD} # hard")));
    document["chart"]["schema"] = json!(STANDARD.encode(format!(r#"{{"default": "{PASSWORD}"}}"#)));
    document["manifest"] = json!(format!("{}{CONFIG_MAP}  url: {PASSWORD}\n", secret_document("db", PASSWORD)));
    let shown = shown(&document);
    assert!(!STANDARD.decode(shown["chart"]["schema"].as_str().unwrap()).unwrap().windows(6).any(|w| w == b"canary"));
    assert!(shown["info"]["notes"].as_str().unwrap().starts_with("Your password is c2FsbHlw"), "{shown}");
    assert!(is_placeholder(shown["config"]["encoded"].as_str().unwrap()));
    assert!(shown["manifest"].as_str().unwrap().contains("image: postgres:16 # a comment\n  url: c2FsbHlwb3J0O"));
}

/// A value that is the name of something, or short, must not take helm's bearings.
#[test]
fn m7_names_and_short_words_stay() {
    let mut document = release(&format!(
        "{}{CONFIG_MAP}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web-production-db}}\nspec: {{selector: {{a: b}}}}\n",
        secret_document("db", PASSWORD).replace(
            "type: Opaque\ndata:\n",
            &format!(
                "data:\n  host: {}\n  user: {}\n",
                STANDARD.encode("web-production-db"),
                STANDARD.encode("postgres")
            )
        )
    ));
    document["config"]["user"] = json!("postgres");
    let shown = shown(&document);
    let manifest = shown["manifest"].as_str().unwrap();
    assert!(manifest.contains("metadata: {name: web-production-db}") && manifest.contains("image: postgres:16"));
    assert!(is_placeholder(shown["config"]["user"].as_str().unwrap()), "what a user gave is a text of its own");
}

/// Lists of Secrets, Secrets by number, in JSON, in stringData, without namespace or with another.
#[test]
fn m7_whatever_is_a_secret_in_a_manifest() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Secret, metadata: {{name: a}}, stringData: {{p: {PASSWORD}, pin: 12345678}}}}\n"
    );
    let json = format!(
        "--- {{\"kind\": \"Secret\", \"apiVersion\": \"v1\", \"metadata\": {{\"name\": \"b\", \"namespace\": \"x\"}}, \"data\": {{\"p\": \"{}\"}}}}\n",
        STANDARD.encode(PASSWORD)
    );
    let comment = format!(
        "---\nkind: Secret\n# the password is {PASSWORD}\napiVersion: v1\ndata: {{p: {}}}\n",
        STANDARD.encode(PASSWORD)
    );
    let mut document = release(&[list, json, comment].concat());
    document["config"]["number"] = json!(12_345_678);
    let shown = shown(&document);
    clean(&shown, "12345678");
    assert_eq!(shown["config"]["password"].as_str().map(is_placeholder), Some(true));
}

/// In lists and watches too, and the same in each.
#[test]
fn m7_lists_and_watches() {
    let release = field(&release(&secret_document("db", PASSWORD)));
    let one = secret_named("sh.helm.release.v1.web.v1", &release);
    let (alone, _) = run(&context("secrets", Verb::Get), &[one.as_bytes()]).unwrap();
    let alone: Value = serde_json::from_str(&alone).unwrap();
    let list = format!(r#"{{"kind":"SecretList","apiVersion":"v1","metadata":{{}},"items":[{one},{one}]}}"#);
    let pieces: Vec<&[u8]> = list.as_bytes().chunks(7).collect();
    let (out, _) = run(&context("secrets", Verb::List), &pieces).unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(opened(&out["items"][1]), opened(&alone));
    let event = format!("{{\"type\":\"ADDED\",\"object\":{one}}}\n");
    let (out, _) = run(&context("secrets", Verb::Watch), &[event.as_bytes()]).unwrap();
    assert_eq!(opened(&serde_json::from_str::<Value>(&out).unwrap()["object"]), opened(&alone));
}

/// Another revision has other placeholders for the same field, so that an older value can be told from a newer one.
#[test]
fn m7_each_revision_has_its_own() {
    let release = field(&release(&secret_document("db", PASSWORD)));
    let of = |name: &str| {
        let (out, _) = run(&context("secrets", Verb::Get), &[secret_named(name, &release).as_bytes()]).unwrap();
        opened(&serde_json::from_str(&out).unwrap())["manifest"].as_str().unwrap().to_owned()
    };
    let (one, two) = (of("sh.helm.release.v1.web.v1"), of("sh.helm.release.v1.web.v2"));
    assert_ne!(one, two);
    assert_eq!(without_codes(one.as_bytes()), without_codes(two.as_bytes()));
    assert_eq!(one, of("sh.helm.release.v1.web.v1"));
}

#[test]
fn m7_what_can_not_be_opened_is_masked_whole() {
    let good = release(&secret_document("db", PASSWORD));
    let bytes = STANDARD.decode(STANDARD.decode(field(&good)).unwrap()).unwrap();
    let packed = |bytes: &[u8]| STANDARD.encode(STANDARD.encode(bytes));
    let with = |pointer: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        field(&document)
    };
    let mut hooks = good.clone();
    hooks["hooks"] = json!([{"manifest": 5}]);
    let mut named = good.clone();
    named["config"] = json!({PASSWORD: 1});
    for (what, field) in [
        ("truncated", packed(&bytes[..bytes.len() - 9])),
        ("two members and a half", packed(&[&bytes[..], &bytes[..30]].concat())),
        ("not gzip after all", packed(&[&bytes[..8], b"CANARY"].concat())),
        ("not base64", STANDARD.encode(PASSWORD)),
        ("base64 once", STANDARD.encode(&bytes)),
        ("no object", packed(b"[]")),
        ("cut JSON", packed(good.to_string().split_at(100).0.as_bytes())),
        ("no release", packed(format!(r#"{{"password":"{PASSWORD}"}}"#).as_bytes())),
        ("a key twice", packed(format!(r#"{{"name":"web","version":1,"name":"{PASSWORD}"}}"#).as_bytes())),
        ("a manifest that is none", with("/manifest", json!(5))),
        ("hooks that are none", field(&hooks)),
        ("YAML with an anchor", with("/manifest", json!(format!("kind: Secret\ndata: &x {{p: {PASSWORD}}}\n")))),
        ("YAML that is none", with("/manifest", json!(format!("kind: Secret\n\tdata: {{p: {PASSWORD}}}\n")))),
        (
            "a kind in escapes",
            with("/manifest", json!(format!("kind: \"\\x53ecret\"\ndata: !!map {{p: {PASSWORD}}}\n"))),
        ),
        ("a value as a name", field(&named)),
        ("much of nothing", field(&json!({"name": "web", "version": 1, "x": " ".repeat(9 << 20)}))),
        ("more than can be looked for", with("/manifest", json!(secret_document("db", &PASSWORD.repeat(20_000))))),
    ] {
        let secret = secret_named("sh.helm.release.v1.web.v1", &field);
        let (out, summary) = run(&context("secrets", Verb::Get), &[secret.as_bytes()]).unwrap();
        let out: Value = serde_json::from_str(&out).unwrap();
        assert!(is_placeholder(out["data"]["release"].as_str().unwrap()), "{what}");
        assert_eq!(summary.masked, 1, "{what}");
    }
    // Only where helm keeps it, by name, in the object that was asked for.
    for name in ["web", "sh.helm.release.v1.web", "sh.helm.release.v1.web.vx"] {
        let (out, _) = run(&context("secrets", Verb::Get), &[secret_named(name, &field(&good)).as_bytes()]).unwrap();
        assert!(is_placeholder(serde_json::from_str::<Value>(&out).unwrap()["data"]["release"].as_str().unwrap()));
    }
}

#[test]
fn m7_the_first_helms_did_not_compress() {
    let plain = STANDARD.encode(STANDARD.encode(release(&secret_document("db", PASSWORD)).to_string()));
    let secret = secret_named("sh.helm.release.v1.web.v1", &plain);
    let (out, _) = run(&context("secrets", Verb::Get), &[secret.as_bytes()]).unwrap();
    clean(&opened(&serde_json::from_str(&out).unwrap()), PASSWORD);
}

/// What is no Secret comes out as it went in, to the byte.
#[test]
fn a_release_without_secrets_passes() {
    let secret = secret_named("sh.helm.release.v1.web.v1", &field(&release(CONFIG_MAP)));
    let (out, summary) = run(&context("secrets", Verb::Get), &[secret.as_bytes()]).unwrap();
    assert_eq!((out, summary.masked), (secret, 0));
}

/// What we don't read costs the release only where it may be a Secret.
#[test]
fn m7_other_documents_may_be_written_in_any_way() {
    let other = "---\nkind: Deployment\nspec: &a\n  secret: {secretName: db, secretKeyRef: x} # secrets, SecretStore\n  8080: on\n";
    let document = release(&format!("{other}{}", secret_document("db", PASSWORD)));
    assert!(shown(&document)["manifest"].as_str().unwrap().starts_with(other));
    for hidden in [
        "kind: &a Secret\n",
        "kind: \"\\x53ecret\"\nx: &a b\n",
        "kind: !!binary U2VjcmV0\n",
        "x: &a SecretList\nkind: *a\n",
    ] {
        assert!(pieces(hidden).is_none(), "{hidden}");
    }
    let mode = "---\nkind: Pod\nspec: {defaultMode: 0400, at: 2026-01-01, big: 1e3}\n";
    assert!(pieces(mode).unwrap()[0].document.is_some());
}

/// A value and how a chart writes it.
fn document_with(section: &str, values: &[String]) -> String {
    let mut text = format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\n{section}:\n");
    for (index, value) in values.iter().enumerate() {
        let written = if section == "data" { STANDARD.encode(value) } else { Value::from(value.as_str()).to_string() };
        text.push_str(&format!("  key-{index}: {written}\n"));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m7_no_value_is_left_wherever_it_stands(
        values in prop::collection::vec("CANARY[ -~é\n]{0,20}X", 1..4),
        data in any::<bool>(),
        before in "[ -~]{0,8}", after in "[ -~]{0,8}",
        size in 1_usize..400,
    ) {
        let section = if data { "data" } else { "stringData" };
        let mut document = release(&document_with(section, &values));
        document["config"] = json!({"whole": values, "part": values.iter().map(|value| format!("{before}{value}{after}")).collect::<Vec<_>>()});
        document["info"]["notes"] = json!(values.concat());
        let secret = secret_named("sh.helm.release.v1.web.v1", &field(&document));
        let pieces: Vec<&[u8]> = secret.as_bytes().chunks(size).collect();
        let (out, _) = run(&context("secrets", Verb::Get), &pieces).unwrap();
        let shown = opened(&serde_json::from_str(&out).unwrap());
        prop_assert!(!shown.to_string().contains("CANARY"), "{shown}");
        for value in &values {
            clean(&shown, value);
        }
    }
}

/// The control plane's masker of requests masks it whole, and the reader of answers keeps to what it knows of the object.
#[test]
fn m7_a_request_body_is_masked_whole() {
    let secret = secret_named("sh.helm.release.v1.web.v1", &field(&release(&secret_document("db", PASSWORD))));
    let mut value: Value = serde_json::from_str(&secret).unwrap();
    mask_value(&mut value, &MaskContext::request(keys(), "prod", &info("secrets", Verb::Create)));
    assert!(is_placeholder(value["data"]["release"].as_str().unwrap()));
}

/// Go's decoder knows no line breaks: charts write blocks, and wrap long values.
#[test]
fn m7_base64_in_lines_is_read_as_go_reads_it() {
    let code = STANDARD.encode(PASSWORD);
    let (first, rest) = code.split_at(8);
    for block in
        [format!("|\n    {code}\n"), format!("|\n    {first}\n    {rest}\n"), format!("\"{first}\\n{rest}\"\n")]
    {
        let manifest = format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {block}");
        let shown = shown(&release(&manifest));
        assert!(is_placeholder(shown["config"]["password"].as_str().unwrap()), "{shown}");
    }
}

/// A document that is masked is searched too.
#[test]
fn m7_a_secret_beside_its_value_in_one_document() {
    let code = STANDARD.encode(PASSWORD);
    let manifest = format!(
        "---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {{name: db, annotations: {{note: {PASSWORD}}}}}\n  data: {{password: {code}}}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: map}}\n  data: {{url: 'https://u:{PASSWORD}@db'}}\n"
    );
    shown(&release(&manifest));
}

/// Many values, and many names to compare them with, are masked whole instead of searched for.
#[test]
fn m7_a_release_with_too_many_values_is_masked_whole() {
    let fields: String =
        (0..=RELEASE_SEARCHED).map(|n| format!("  k{n}: {}\n", STANDARD.encode(format!("value-{n}")))).collect();
    let manifest = format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n{fields}");
    let secret = secret_named("sh.helm.release.v1.web.v1", &field(&release(&manifest)));
    let (out, _) = run(&context("secrets", Verb::Get), &[secret.as_bytes()]).unwrap();
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert!(is_placeholder(shown["data"]["release"].as_str().unwrap()));
}

/// A password that a chart writes into an address, which is the Secret's value.
#[test]
fn m7_a_users_password_that_is_a_part_of_a_secret() {
    let address = STANDARD.encode(format!("postgres://web:{PASSWORD}@db:5432/web"));
    let manifest = format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  url: {address}\n");
    let mut release = release(&manifest);
    release["config"] =
        json!({"database": {"adminPassword": PASSWORD, "host": "db:5432", "passwords": ["db:5432/web"]}});
    let shown = shown(&release);
    assert!(is_placeholder(shown["config"]["database"]["adminPassword"].as_str().unwrap()), "{shown}");
    assert!(is_placeholder(shown["config"]["database"]["passwords"][0].as_str().unwrap()), "{shown}");
    assert_eq!(shown["config"]["database"]["host"], "db:5432");
}

/// A short one can take long, too, and so can one that nobody sees yet.
#[test]
fn m7_whatever_may_open_a_release_is_said_to_take_long() {
    use crate::mask::{AnswerMasker, Format};
    let json = |resource: &str| AnswerMasker::new(context(resource, Verb::List), Format::Json);
    let secret = secret_named("sh.helm.release.v1.web.v1", &field(&release("")));
    let (start, end) = secret.as_bytes().split_at(secret.find("lease\":").unwrap());
    assert!(json("secrets").takes_long(Some(secret.as_bytes())));
    assert!(!json("secrets").takes_long(Some(start)) && !json("pods").takes_long(Some(secret.as_bytes())));
    let mut cut = json("secrets");
    cut.push(start, &mut Vec::new()).unwrap();
    assert!(cut.takes_long(Some(end)), "its name came in two pieces");
    for split in [r#""release""#, r#""release":"#, r#""release": "#, r#""release":""#, r#""release":"S"#] {
        let at = secret.find(r#""release""#).unwrap() + split.len();
        let (start, end) = (&secret.as_bytes()[..at], &secret.as_bytes()[at..]);
        let mut cut = json("secrets");
        cut.push(start, &mut Vec::new()).unwrap();
        assert!(cut.takes_long(Some(end)), "cut behind {split}");
    }
    assert!(json("secrets").inflating().takes_long(Some(b"\x1f")));
    // What is left out first hands on more than came last.
    let secrets = info("secrets", Verb::List);
    let rule = crate::hide::HideRule { names: vec!["db-*".to_owned()], ..crate::hide::HideRule::default() };
    let filter = crate::hide::Filter::list(crate::hide::Hidden::parse(&[rule], &secrets).unwrap());
    assert!(json("secrets").hiding(filter).takes_long(Some(b"}")));
    // Events in which fields are masked are as long as documents.
    let fields = crate::mask::MaskedFields::parse(&["spec"]).unwrap();
    let mut events = AnswerMasker::new(context("logins", Verb::Watch).with_fields(fields), Format::Json);
    events
        .push(format!(r#"{{"type":"ADDED","object":{{"a":"{}"#, "x".repeat(40_000)).as_bytes(), &mut Vec::new())
        .unwrap();
    assert!(events.takes_long(Some(b"\"}}\n")));
    // What has come of a payload is held, and given back when it ends.
    let at = secret.find(r#""release":""#).unwrap() + 100;
    let mut held = json("secrets");
    held.push(&secret.as_bytes()[..at], &mut Vec::new()).unwrap();
    assert!(held.held() > 50, "{}", held.held());
    held.push(&secret.as_bytes()[at..], &mut Vec::new()).unwrap();
    assert_eq!(held.held(), 0);
    assert!(AnswerMasker::new(context("secrets", Verb::Get), Format::Protobuf).takes_long(None));
    assert!(!AnswerMasker::new(context("pods", Verb::Get), Format::Protobuf).takes_long(Some(b"k8s")));
}
