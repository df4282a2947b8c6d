use super::*;
use crate::body::ScalarProblem;

const YAML: &str = "application/yaml";

/// sigs.k8s.io/yaml over many documents: nothing is read in two ways. It refuses a few that we read (`{a: ?}`, surrogate escapes); those
/// are forwarded as JSON. We refuse more, but not what a person would write.
#[test]
fn yaml_is_read_like_the_api_server_or_refused() {
    let cases = std::fs::read_to_string(folder("testdata/body/yaml.jsonl")).unwrap();
    let (mut same, mut refused, mut both, mut more, mut wrong) = (0, Vec::new(), 0, Vec::new(), Vec::new());
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let document = case["yaml"].as_str().unwrap();
        let theirs = case.get("json").and_then(Value::as_str);
        // Lists count as well as objects here; other texts are no body in any reader.
        let ours = super::super::yaml::read(document.as_bytes(), &mut Default::default());
        let ours =
            ours.and_then(|ours| if ours.is_object() || ours.is_array() { Ok(ours) } else { Err(BodyError::Empty) });
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) => {
                let theirs = super::super::json::read(theirs.as_bytes(), &mut Default::default()).unwrap();
                if canonical(&ours) == canonical(&theirs) {
                    same += 1;
                } else {
                    wrong.push(format!("{document:?}: we read {ours}, the API server {theirs}"));
                }
            }
            (Ok(ours), None) => more.push(format!("{document:?}: {ours}")),
            (Err(error), Some(_)) => refused.push(format!("{document:?}: {error}")),
            (Err(_), None) => both += 1,
        }
    }
    assert!(wrong.is_empty(), "{} read otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(more.len() < 40, "{} read by us alone:\n{}", more.len(), more.join("\n"));
    let refused_alone = refused.join("\n");
    assert!(same > 1200 && refused.len() < 320, "{same} alike, {both} refused by both, by us alone:\n{refused_alone}");
}

#[test]
fn plain_scalars_are_yaml_1_1() {
    let text =
        "{a: yes, b: 'yes', c: 0644, d: ~, e: 1.20, f: 2024-01-01, g: 1e3, h: n, i: 12:30, j: 1.2.3, k: Null, l: 500m}";
    let expected = json!({"a": true, "b": "yes", "c": 420, "d": null, "e": 1.2, "f": "2024-01-01", "g": 1000, "h": false, "i": "12:30",
        "j": "1.2.3", "k": null, "l": "500m"});
    assert_eq!(value(YAML, text), expected);
}

#[test]
fn what_hides_or_multiplies_is_refused() {
    for text in [
        "a: &x 1\nb: *x\n",
        "a: &x {b: 1}\n",
        "a: *x\n",
        "a: {<<: {b: 1}}\n",
        "a: !!str 1\n",
        "a: !x {}\n",
        "%YAML 1.1\n---\na: 1\n",
        "a: 1\n---\nb: 1\n",
    ] {
        assert!(matches!(read(YAML, text), Err(BodyError::Yaml { .. } | BodyError::Syntax { .. })), "{text}");
    }
    for text in ["a: 1\na: 2\n", "{a: 1, 'a': 2}", "{\"a\": 1, \"\\u0061\": 2}"] {
        assert!(matches!(read(YAML, text), Err(BodyError::DuplicateKey { .. })), "{text}");
    }
    for text in ["a: 0x1F\n", "a: 1_000\n", "a: +1\n", "a: .5\n", "a: .inf\n", "a: 0b1\n", "a: 0o17\n", "a: 089\n"] {
        assert!(matches!(read(YAML, text), Err(BodyError::Scalar { problem: ScalarProblem::Notation, .. })), "{text}");
    }
    for text in
        ["a: 0b-1\n", "a: -0b1_0\n", "a: 0B1\n", "a: 0xffffffffffffffff\n", "a: 0x000000000000000001\n", "a: 0_x1\n"]
    {
        assert!(matches!(read(YAML, text), Err(BodyError::Scalar { problem: ScalarProblem::Notation, .. })), "{text}");
    }
    for text in ["yes: 1\n", "1: a\n", "~: a\n", "? [a]\n: b\n", "{a: 1}: b\n"] {
        assert!(
            matches!(
                read(YAML, text),
                Err(BodyError::Scalar { problem: ScalarProblem::Key, .. } | BodyError::Syntax { .. })
            ),
            "{text}"
        );
    }
    for c in ['\u{85}', '\u{2028}', '\u{feff}', '\u{0}', '\u{7f}', '\u{1b}'] {
        assert!(matches!(read(YAML, format!("{{\"a\": \"x{c}y\"}}")), Err(BodyError::Yaml { .. })), "{c:?}");
    }
}

/// What begins like a number and is none is text: digests, above all.
#[test]
fn digests_are_texts() {
    for text in [
        "0b4243df68618aaec291657b9887b8a73d3fcb8cb005d8475fd78b9a0b2ade90",
        "0b7cdc3",
        "0b2",
        "0b",
        "0x",
        "0o8",
        "0xab5801a7d398351b8be11c439e05c5b3259aec9b",
        "0x1ffffffffffffffff",
        "12e4567",
        "-1e309",
        "012e4567",
    ] {
        assert_eq!(value(YAML, format!("a: {text}\n")), json!({"a": text}));
    }
    for text in [format!("0.{}1e300", "0".repeat(300)), format!("1{}e-300", "0".repeat(300))] {
        let read = read(YAML, format!("a: {text}\n"));
        assert!(matches!(read, Err(BodyError::Scalar { problem: ScalarProblem::Notation, .. })), "{text}");
    }
}

#[test]
fn bombs_are_refused_at_once() {
    let aliases = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n";
    assert!(read(YAML, aliases).is_err());
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("a:\n", "")] {
        let text = format!("x:\n {}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(read(YAML, &text).is_err(), "{open:?}");
    }
    let many = "- \n".repeat(shared::limits::BODY_NODES);
    assert_eq!(read(YAML, &many), Err(BodyError::Nodes { limit: shared::limits::BODY_NODES }));
}

#[test]
fn an_apply_patch_may_not_hold_integers_that_the_api_server_rounds() {
    const APPLY: &str = "application/apply-patch+yaml";
    assert!(read(APPLY, "{\"a\": 9007199254740992}").is_ok());
    for text in ["{\"a\": 9007199254740993}", "a: [-9007199254740993]\n", "a: 18446744073709551615\n"] {
        assert!(
            matches!(read(APPLY, text), Err(BodyError::Scalar { problem: ScalarProblem::BeyondApply, .. })),
            "{text}"
        );
    }
    assert!(matches!(read(APPLY, "[]"), Err(BodyError::Shape { .. })));
    assert_eq!(
        value(APPLY, "kind: Pod\nspec: {hostNetwork: on}\n"),
        json!({"kind": "Pod", "spec": {"hostNetwork": true}})
    );
}
