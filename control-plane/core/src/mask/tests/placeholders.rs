//! Placeholders say nothing of the value (SECURITY.md M5) and are recognised when they come back (M6).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use super::super::placeholder::{Field, PLACEHOLDER_BYTES, Scope};
use super::*;

fn of(resource: &str, text: &str) -> String {
    masked(resource, text)["data"]["p"].as_str().unwrap().to_owned()
}

#[test]
fn m5_neither_length_nor_equality_of_values_shows() {
    let one = of("secrets", SECRET);
    assert_eq!(one.len(), PLACEHOLDER_BYTES);
    // Another value in the same place: the same. The same value in another place: another.
    for value in ["", "x", "Q0FOQVJZLXZhbHVlCg==", "\\u0041"] {
        assert_eq!(of("secrets", &SECRET.replace(CANARY, value)), one);
    }
    let mut seen = vec![one];
    for (from, to) in
        [("\"db\"", "\"eb\""), ("default", "other"), ("\"data\"", "\"stringData\""), ("{\"p\"", "{\"q\":\"\",\"p\"")]
    {
        let text = SECRET.replace(from, to);
        let out = masked("secrets", &text);
        for section in ["data", "stringData"] {
            for value in out[section].as_object().into_iter().flat_map(|fields| fields.values()) {
                seen.push(value.as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(seen.len(), 6);
    // The neighbour's name changes nothing, so p is there twice.
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let other = MaskContext::response(keys(), "staging", &info("secrets", Verb::Get));
    assert!(!seen.iter().any(|text| mask(&other, SECRET).unwrap().0.contains(text.as_str())));
}

#[test]
fn m5_one_place_one_placeholder_however_it_was_read() {
    let one = of("secrets", SECRET);
    let item = SECRET.replace(r#""kind":"Secret","apiVersion":"v1","#, "");
    for (resource, verb, text) in [
        ("secrets", Verb::List, format!(r#"{{"kind":"SecretList","apiVersion":"v1","items":[{item}]}}"#)),
        ("secrets", Verb::Watch, format!(r#"{{"type":"ADDED","object":{SECRET}}}"#)),
        ("secrets", Verb::Patch, SECRET.to_owned()),
        ("pods", Verb::Get, format!(r#"{{"kind":"List","items":[{SECRET}]}}"#)),
    ] {
        assert!(mask(&context(resource, verb), &text).unwrap().0.contains(&one), "{text}");
    }
    // The reference agrees.
    let mut value = secret();
    assert_eq!(mask_value(&mut value, &context("secrets", Verb::Get)), 1);
    assert_eq!(value["data"]["p"], one);
}

/// What kubectl writes into last-applied must look as it was written when it is read again, or every apply would find a difference.
#[test]
fn m5_last_applied_has_the_fields_own_placeholders() {
    let one = of("secrets", SECRET);
    let applied = |document: &str| {
        let text = Value::from(document).to_string();
        let text =
            SECRET.replace(r#""name":"db""#, &format!(r#""name":"db","annotations":{{"{LAST_APPLIED}":{text}}}"#));
        let (out, _) = mask(&context("secrets", Verb::Get), &text).unwrap();
        let mut reference: Value = serde_json::from_str(&text).unwrap();
        mask_value(&mut reference, &context("secrets", Verb::Get));
        let out: Value = serde_json::from_str(&out).unwrap();
        let inner = |out: &Value| -> Value {
            serde_json::from_str(out["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap()).unwrap()
        };
        assert_eq!(inner(&out), inner(&reference), "{document}");
        inner(&out)
    };
    // As kubectl writes it, with `data` in front of the names; whatever it says of those, it is this object's.
    for name in ["db", "other"] {
        let document = json!({"apiVersion": "v1", "data": {"p": CANARY}, "kind": "Secret", "metadata": {"name": name}});
        assert_eq!(applied(&document.to_string())["data"]["p"], one);
        assert_eq!(applied(SECRET.replace("db", name).as_str())["data"]["p"], one);
    }
    let text = json!({"kind": "Secret", "stringData": {"p": CANARY}}).to_string();
    let plain = applied(&text)["stringData"]["p"].clone();
    assert_eq!(plain, of_string_data(&SECRET.replace("\"data\"", "\"stringData\"")));
    // Of what stands deeper in it nobody knows whose it is.
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret", "data": {"p": CANARY}}]});
    assert_ne!(applied(&list.to_string())["items"][0]["data"]["p"], one);
    // Another annotation is another place.
    let other =
        SECRET.replace(r#""name":"db""#, &format!(r#""name":"db","annotations":{{"x":{}}}"#, Value::from(SECRET)));
    assert_eq!(mask(&context("secrets", Verb::Get), &other).unwrap().0.matches(&one).count(), 1);
}

fn of_string_data(text: &str) -> Value {
    masked("secrets", text)["stringData"]["p"].clone()
}

#[test]
fn m5_unnamed_objects_do_not_share_placeholders() {
    let out = masked(
        "pods",
        &format!(r#"{{"kind":"List","items":[{{"data":{{"p":"{CANARY}"}}}},{{"data":{{"p":"{CANARY}"}}}}]}}"#),
    );
    assert_ne!(out["items"][0]["data"]["p"], out["items"][1]["data"]["p"]);
}

#[test]
fn m5_valid_base64_of_a_sentence() {
    let text = of("secrets", SECRET);
    let decoded = String::from_utf8(STANDARD.decode(&text).unwrap()).unwrap();
    assert!(decoded.starts_with("sallyport: masked value; write it back unchanged or leave the field out "));
    assert_eq!(URL_SAFE.decode(&text).unwrap(), decoded.as_bytes(), "the same in both alphabets");
    assert!(is_placeholder(&text) && is_placeholder(&decoded));
    assert!(
        !is_placeholder(text.trim_start_matches('c'))
            && !is_placeholder("")
            && !is_placeholder(&"A".repeat(PLACEHOLDER_BYTES))
    );
}

#[test]
fn m5_two_keys_during_a_rotation() {
    let (old, new) = (PlaceholderKey::new([1; 32]), PlaceholderKey::new([2; 32]));
    let scope = Scope { cluster: "prod", namespace: "default", kind: "Secret", ..Scope::default() };
    let field = Field { name: b"db", ordinal: 0, section: "data", key: b"p" };
    let before = PlaceholderKeys::new(old.clone(), None).placeholder(&scope, &field);
    let rotating = PlaceholderKeys::new(new.clone(), Some(old));
    assert!(rotating.fits(&scope, &field, &before));
    assert_ne!(rotating.placeholder(&scope, &field), before);
    assert!(!rotating.fits(&scope, &Field { key: b"q", ..field }, &before));
    assert!(!rotating.fits(&Scope { cluster: "staging", ..scope }, &field, &before));
    assert!(!PlaceholderKeys::new(new, None).fits(&scope, &field, &before));
    // Parts don't run together, also where they are long.
    let long = "l".repeat(300);
    let keys = keys();
    let all = [("ab", "c"), ("a", "bc"), (long.as_str(), ""), ("", long.as_str())]
        .map(|(name, key)| keys.placeholder(&scope, &Field { name: name.as_bytes(), key: key.as_bytes(), ..field }));
    for (index, one) in all.iter().enumerate() {
        assert_eq!(one.len(), PLACEHOLDER_BYTES);
        assert!(!all[index + 1..].contains(one));
    }
}

#[test]
fn m6_found_in_whatever_is_written_back() {
    let text = of("secrets", SECRET);
    let decoded = String::from_utf8(STANDARD.decode(&text).unwrap()).unwrap();
    for before in ["", "x", "ab", "{\"auths\":\""] {
        for piece in [&text, &decoded] {
            let plain = format!("{before}{piece}\"}}");
            let again = STANDARD.encode(&plain);
            let wrapped: String =
                again.as_bytes().chunks(76).map(|line| format!("{}\n", str::from_utf8(line).unwrap())).collect();
            for written in [&plain, &again, &wrapped] {
                let body = json!({"kind": "ConfigMap", "data": {"a/b": ["x", written]}});
                assert_eq!(find_placeholder(&body).unwrap().to_string(), "/data/a~1b/1", "{written}");
                assert!(contains_placeholder(written.as_bytes()));
            }
        }
    }
    assert_eq!(
        find_placeholder(&json!({"metadata": {"labels": {text.as_str(): "x"}}})).unwrap().to_string(),
        format!("/metadata/labels/{text}")
    );
    assert_eq!(
        find_placeholder(&json!({"data": {"p": CANARY, "q": "c2FsbHlwb3J0", "r": ["sallyport", 1, null]}})),
        None
    );
}

/// What charts and scripts make of a value that they look up, each also in the base64 of a Secret's data.
#[test]
fn m6_found_in_whatever_is_made_of_it() {
    let code = of("secrets", SECRET);
    let sentence = String::from_utf8(STANDARD.decode(&code).unwrap()).unwrap();
    let escaped = |keeps: &str, escape: &dyn Fn(char) -> String| -> String {
        let kept = |char: char| char.is_ascii_alphanumeric() || keeps.contains(char);
        sentence.chars().map(|char| if kept(char) { char.to_string() } else { escape(char) }).collect()
    };
    let percent = escaped("-_.~", &|char| format!("%{:02X}", u32::from(char)));
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    let mut cases = vec![
        percent.replace("%20", "+"),
        percent.to_lowercase(),
        escaped("-_.~:", &|char| format!("%{:02X}", u32::from(char))),
        escaped("-_.~:;", &|char| format!("%{:02x}", u32::from(char))),
        escaped("-_.", &|char| format!("\\{char}")),
        escaped("-_.:", &|char| format!("\\{char}")),
        Value::from(escaped("-_.:", &|char| format!("\\{char}"))).to_string(),
        hex(&sentence),
        hex(&code).to_uppercase(),
        sentence.to_uppercase(),
        code.to_lowercase(),
        sentence.replace("masked value", "Masked Value"),
        sentence.chars().take(20).collect(),
        sentence.chars().skip(25).take(35).collect(),
        code.chars().take(24).collect(),
        STANDARD.encode(format!("{{\"auth\":\"{}\"}}", STANDARD.encode(format!("u:{code}")))),
        percent,
    ];
    let (mut once, mut twice) = (code, sentence);
    for _ in 0..3 {
        cases.extend([once.clone(), twice.clone()]);
        (once, twice) = (STANDARD.encode(format!("a{once}")), STANDARD.encode(format!("ab{twice}")));
    }
    for text in cases {
        for written in [format!("postgres://web:{text}@db"), format!("x{text}"), text] {
            assert!(contains_placeholder(written.as_bytes()), "{written}");
            assert!(contains_placeholder(STANDARD.encode(&written).as_bytes()), "{written}, encoded");
        }
    }
}

/// A line break leaves a piece whole, wherever it falls.
#[test]
fn m6_found_in_whatever_is_wrapped() {
    let code = of("secrets", SECRET);
    let decoded = String::from_utf8(STANDARD.decode(&code).unwrap()).unwrap();
    for plain in [decoded, code.clone(), STANDARD.encode(&code), STANDARD.encode(format!("u:{code}"))] {
        for before in 0..64 {
            let text = format!("{}{plain}", "x".repeat(before));
            for (text, width) in
                [(&STANDARD.encode(&text), 64), (&STANDARD.encode(&text), 76), (&text, 64), (&text, 76)]
            {
                let lines: Vec<&str> =
                    text.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
                for written in [lines.join("\n"), lines.join("\r\n  ")] {
                    assert!(contains_placeholder(written.as_bytes()), "{before} before, {width} wide: {written}");
                    assert!(contains_placeholder(STANDARD.encode(&written).as_bytes()), "the same encoded: {written}");
                }
            }
        }
    }
}

/// However short its lines are.
#[test]
fn m6_found_in_lines_shorter_than_any_piece() {
    let code = of("secrets", SECRET);
    for width in [1, 5, 8, 20] {
        for end in ["\n", "\r\n", "\n    ", " ", "\t"] {
            let lines: Vec<&str> = code.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
            let written = lines.join(end);
            assert!(contains_placeholder(written.as_bytes()), "{written}");
            assert!(!is_placeholder(&written));
            for encoded in [STANDARD.encode(&written), URL_SAFE_NO_PAD.encode(&written)] {
                assert!(contains_placeholder(encoded.as_bytes()), "{written:?}, encoded: {encoded}");
                assert!(contains_placeholder(STANDARD.encode(&encoded).as_bytes()), "{written:?}, encoded twice");
            }
        }
    }
}

#[test]
fn what_only_sounds_like_a_placeholder_passes() {
    for text in [
        "",
        "sallyport",
        "sallyport: a gateway; masked values",
        "read the value; write it to disk, or leave the field out of the object",
        "put it back unchanged or leave the field out",
        "unchanged",
        "sallyport%3A%20gateway",
        "73616c6c79706f72743a",
        &STANDARD.encode("sallyport: "),
        &STANDARD.encode("or leave the field out"),
        &STANDARD.encode([0_u8; 600]),
    ] {
        assert!(!contains_placeholder(text.as_bytes()), "{text}");
    }
}

#[test]
fn m8_request_bodies_for_the_record() {
    let masked = |verb, name: &str, resource: &str, mut body: Value| {
        let mut info = info(resource, verb);
        info.name = name.to_owned();
        let count = mask_value(&mut body, &MaskContext::request(keys(), "prod", &info));
        (body.to_string(), count)
    };
    for body in [
        secret(),
        json!({"data": {"p": CANARY}}),
        json!({"stringData": {"p": CANARY, "q": null}}),
        json!([{"op": "replace", "path": "/data/p", "value": CANARY}]),
        json!([{"op": "add", "path": "", "value": {"data": {"p": CANARY}}}]),
    ] {
        let (out, count) = masked(Verb::Patch, "db", "secrets", body);
        assert!(count == 1 && !out.contains(CANARY), "{out}");
    }
    let labels = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]);
    assert_eq!(masked(Verb::Patch, "db", "secrets", labels.clone()), (labels.to_string(), 0));
    let patch = json!({"data": {"log": "debug"}});
    assert_eq!(masked(Verb::Patch, "settings", "configmaps", patch.clone()), (patch.to_string(), 0));
}
