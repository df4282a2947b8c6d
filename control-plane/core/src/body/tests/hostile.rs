use super::protobuf::objects;
use super::*;
use proptest::prelude::*;
use shared::limits;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The envelope ends with two empty fields, so a cut is a whole body only between or before those.
#[test]
fn a_cut_protobuf_body_is_refused() {
    let mut cuts = 0;
    for (wire, _) in objects().into_iter().filter(|(wire, _)| wire.len() < 1500) {
        for end in 0..wire.len() {
            let whole = end == wire.len() - 2 || end == wire.len() - 4;
            assert_eq!(read(PROTOBUF, &wire[..end]).is_ok(), whole, "{end} of {}", wire.len());
            cuts += 1;
        }
    }
    assert!(cuts > 100_000, "{cuts}");
}

#[test]
fn a_cut_json_body_is_refused() {
    for (_, json) in objects().into_iter().filter(|(_, json)| json.len() < 1000).step_by(5) {
        for end in 0..json.len() {
            assert!(read("application/json", &json[..end]).is_err());
            assert!(read("application/apply-patch+yaml", &json[..end]).is_err());
        }
    }
}

/// SECURITY.md P12: a body that is written to take much memory is refused in whatever form it comes, and one of ordinary density is not.
#[test]
fn p12_a_body_takes_memory_in_proportion_to_its_text() {
    const JSON: &str = "application/json";
    let refused = |content_type, bytes: &[u8]| {
        let limit = of_text(bytes.len());
        assert_eq!(read(content_type, bytes), Err(BodyError::Memory { limit }), "{content_type}");
    };
    // One of these takes 64 MiB in 693 KB, and a session had room for 22 of them.
    let maps = vec![r#"{"":0}"#; 99_000].join(",");
    let widget =
        format!(r#"{{"apiVersion":"e.com/v1","kind":"Widget","metadata":{{"name":"a"}},"spec":{{"a":[{maps}]}}}}"#);
    refused(JSON, widget.as_bytes());
    refused("application/yaml", widget.as_bytes());
    refused("application/apply-patch+yaml", widget.as_bytes());
    refused("application/yaml", format!("a:\n{}", "- ? ''\n".repeat(60_000)).replace("? ''", "'': 0").as_bytes());
    refused("application/merge-patch+json", widget.as_bytes());
    // However long the text, and however the values are laid out.
    let padded = format!("{widget}{}", " ".repeat(limits::REQUEST_BODY_BYTES - widget.len()));
    refused(JSON, padded.as_bytes());
    let nested = format!(r#"{{"a":[{}]}}"#, vec![r#"{"":{"":{"":{}}}}"#; 20_000].join(","));
    refused(JSON, nested.as_bytes());

    // What real objects are like: schemas without a word, and variables.
    let schema: Vec<_> = (0..20_000).map(|at| format!(r#""field{at}":{{"type":"string"}}"#)).collect();
    let variables: Vec<_> = (0..30_000).map(|at| format!(r#"{{"name":"VAR_{at}","value":"v{at}"}}"#)).collect();
    for text in [format!(r#"{{"a":{{{}}}}}"#, schema.join(",")), format!(r#"{{"a":[{}]}}"#, variables.join(","))] {
        assert!(text.len() > 500_000);
        assert!(read(JSON, &text).is_ok() && read("application/yaml", &text).is_ok());
    }
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(limits::REQUEST_BODY_BYTES - 8));
    assert!(read(JSON, &text).is_ok());
}

/// What is counted while a body is read is what it takes then, whoever reads it.
#[test]
fn p12_every_reader_counts_what_a_body_takes() {
    for (wire, json) in objects() {
        let mut budget = Budget::default();
        let value = super::super::protobuf::read(&wire, &mut budget).unwrap();
        assert!(budget.taken() >= memory(&value), "{} {}", budget.taken(), memory(&value));
        counted(&json);
    }
}

/// The same of JSON, which is YAML, too.
fn counted(json: &[u8]) {
    let (mut flow, mut block) = (Budget::default(), Budget::default());
    let value = super::super::json::read(json, &mut flow).unwrap();
    assert!(flow.taken() >= memory(&value), "{} {}", flow.taken(), memory(&value));
    // A comment is no JSON.
    let yaml = [b"# not JSON\n", json].concat();
    if let Ok(value) = super::super::yaml::read(&yaml, &mut block) {
        assert!(block.taken() >= memory(&value), "{} {}", block.taken(), memory(&value));
    }
}

/// A changed byte gives an error or another value, and never a body that is read differently once forwarded.
#[test]
fn flipped_bytes_never_panic() {
    for (wire, json) in objects().into_iter().step_by(37) {
        for (choice, bytes) in [(2, wire), (0, json.clone()), (6, json)] {
            for at in (0..bytes.len()).step_by(bytes.len() / 200 + 1) {
                let mut data = [&[choice][..], &bytes].concat();
                data[at + 1] ^= 1 << (at % 8);
                fuzz_body(&data);
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |float| serde_json::Number::from_f64(float).map(Value::Number)),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_body(&data);
    }

    #[test]
    fn random_messages_never_panic(raw in prop::collection::vec(any::<u8>(), 0..200), kind in prop::sample::select(vec!["Pod", "Secret", "Node"])) {
        fuzz_body(&[vec![2], protobuf::envelope("v1", kind, &raw)].concat());
    }

    #[test]
    fn random_yaml_never_panics(text in "[-a-c0-9:\\[\\]{},#&*!|>'\" \n.%?]{0,60}") {
        fuzz_body(&[b"\x01", text.as_bytes()].concat());
    }

    #[test]
    fn p12_whatever_is_in_a_body_is_counted(item in json_value()) {
        counted(&wire(&json!({ "a": item })));
    }

    #[test]
    fn written_json_is_read_back(item in json_value()) {
        // An integral float that fits is read back as an integer from YAML only.
        let body = json!({ "a": item });
        prop_assert_eq!(canonical(&value("application/json", wire(&body))), canonical(&body));
        prop_assert_eq!(value("application/json", canonical(&body)), value("application/json", wire(&body)));
        let yaml = value("application/yaml", wire(&body));
        prop_assert_eq!(value("application/yaml", wire(&yaml)), yaml);
    }
}
