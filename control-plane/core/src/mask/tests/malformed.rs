//! What can't be read is refused (SECURITY.md M4), wherever it is cut.

use super::*;

fn fails(text: &[u8]) -> MaskError {
    let context = context("widgets", Verb::Get);
    let pieces: Vec<&[u8]> = text.chunks(1).collect();
    let single = run(&context, &pieces);
    let whole = run(&context, &[text]);
    assert!(single.is_err(), "{}", String::from_utf8_lossy(text));
    whole.unwrap_err()
}

#[test]
fn m4_other_encodings() {
    // Protobuf, CBOR, gzip, YAML, HTML.
    let bodies: [&[u8]; 5] = [
        b"k8s\0\n\x0c\n\x02v1\x12\x06Secret",
        b"\xd9\xd9\xf7\xa2dkindfSecret",
        b"\x1f\x8b\x08\0\0\0",
        b"kind: Secret\n",
        b"<html>",
    ];
    for body in bodies {
        fails(body);
    }
}

#[test]
fn m4_every_truncation_is_an_error() {
    for text in [SECRET, r#"{"a":[1,{"b":"\u00e9"},null,true,-1.5e+3]}"#] {
        for at in 0..text.len() {
            let error = fails(&text.as_bytes()[..at]);
            assert_eq!(error, MaskError::Truncated { length: at as u64 });
        }
    }
}

#[test]
fn m4_syntax() {
    for text in [
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "[,]",
        "[1 2]",
        "{]",
        "[}",
        "}",
        "]",
        ":",
        ",",
        "tru",
        "truE",
        "nulL",
        "falsey",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "1.2.3",
        "NaN",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\t\"",
        "{\"a\nb\":1}",
        "// x\n1",
        "{\"a\":1}}",
        "\u{feff}{}",
        "{\"long enough for a second word\u{1}\":1}",
    ] {
        fails(text.as_bytes());
    }
    assert_eq!(fails(b"{} {}"), MaskError::Trailing { offset: 3 });
    assert!(matches!(fails(b"{\"a\": x}"), MaskError::Syntax { offset: 6, byte: b'x' }));
}

#[test]
fn m4_wherever_a_block_ends() {
    let long = "l".repeat(70);
    for (stop, offset) in [("\u{1}", Some(0)), ("\\x", Some(1)), ("\\\"", None), ("\\u00e9", None), ("é", None)] {
        let text =
            format!(r#"{{"kind":"Secret","a":"{long}","{long}":{{"b":"{stop}{long}"}},"data":{{"p":"{CANARY}"}}}}"#);
        let at = text.find(stop).unwrap() as u64;
        for before in 0..130 {
            let result = run(&context("widgets", Verb::Get), &[" ".repeat(before).as_bytes(), text.as_bytes()]);
            let joined = run(&context("widgets", Verb::Get), &[(" ".repeat(before) + &text).as_bytes()]);
            assert_eq!(result, joined, "{stop} after {before}");
            match (offset, joined) {
                (None, Ok((out, summary))) => assert!(!out.contains(CANARY) && summary.masked == 1, "{out}"),
                (Some(offset), Err(MaskError::Syntax { offset: told, .. })) => {
                    assert_eq!(told, before as u64 + at + offset, "{stop}");
                }
                (_, other) => panic!("{stop} after {before}: {other:?}"),
            }
        }
    }
}

#[test]
fn m4_long_inputs_are_read_in_pieces() {
    // What is looked over at once ends within a value, a name and a string that passes.
    for before in [16 * 1024 - 200, 16 * 1024 - 60, 16 * 1024 - 20, 32 * 1024 - 90] {
        let text = format!(
            r#"{{"kind":"Secret","a":"{}","metadata":{{"name":"n","labels":{{"app":"web"}}}},"data":{{"first-key":"{CANARY}","second-key":"{CANARY}"}}}}"#,
            "x".repeat(before),
        );
        let whole = run(&context("secrets", Verb::Get), &[text.as_bytes()]).unwrap();
        assert!(!whole.0.contains(CANARY) && whole.1.masked == 2, "{}", whole.0);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(1000).collect();
        assert_eq!(run(&context("secrets", Verb::Get), &pieces).unwrap(), whole);
    }
}

#[test]
fn m4_utf8() {
    for text in [
        &b"\"\xff\""[..],
        b"\"\xc3\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf0\x9f\x98\"",
        b"\"\xc0\x80\"",
        b"\"\xf8\x88\x80\x80\x80\"",
    ] {
        assert!(matches!(fails(text), MaskError::Utf8 { .. }), "{text:?}");
    }
    passes("widgets", "{\"ключ\":\"значение 🦀 é\"}");
}

#[test]
fn m4_depth() {
    let limit = shared::limits::MASK_DEPTH;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(run(&context("widgets", Verb::Get), &[deep(limit).as_bytes()]).is_ok());
    assert_eq!(fails(deep(limit + 1).as_bytes()), MaskError::Depth { limit });
    // The same inside a value that is dropped anyway.
    let hidden = format!(r#"{{"kind":"Secret","data":{{"p":{}}}}}"#, "{\"a\":".repeat(limit + 1));
    assert_eq!(fails(hidden.as_bytes()), MaskError::Depth { limit });
}

#[test]
fn m4_names_too_long_to_tell_apart() {
    let name = "n".repeat(shared::limits::MASK_KEY_BYTES + 1);
    let limit = shared::limits::MASK_KEY_BYTES;
    let secret = format!(r#"{{"kind":"Secret","data":{{"{name}":"{CANARY}"}}}}"#);
    assert_eq!(fails(secret.as_bytes()), MaskError::Key { limit });
    passes("widgets", &format!(r#"{{"kind":"Widget","spec":{{"{name}":1}}}}"#));
}

#[test]
fn m4_a_request_for_secrets_is_answered_by_objects() {
    let context = context("secrets", Verb::Get);
    for text in [r#""Q0FOQVJZLXZhbHVl""#, "12", "null"] {
        assert!(run(&context, &[text.as_bytes()]).is_err());
    }
    for text in ["\"x\"", "[1]", "{}x"] {
        assert!(run(&super::context("pods", Verb::Watch), &[text.as_bytes()]).is_err());
    }
    // A watch may end before its first event; another answer may not be empty.
    assert!(run(&super::context("pods", Verb::Watch), &[b"\n"]).is_ok());
    assert_eq!(fails(b" "), MaskError::Truncated { length: 1 });
}

#[test]
fn m4_half_a_pair_does_not_leak_into_the_next_string() {
    // Go's decoder makes U+FFFD of it; what follows is read as if it had not been there, wherever the pieces are cut.
    let text = r#"{"a":"\ud83dx","data":{"p":"Q0FOQVJZLXZhbHVl","\ud83d":1},"b":["\ud83d"],"stringData":{"q":"Q0FOQVJZLXZhbHVl"}}"#;
    for resource in ["secrets", "widgets"] {
        let (out, summary) = mask(&context(resource, Verb::Get), text).unwrap();
        assert!(!out.contains(CANARY) && summary.masked == 3, "{out}");
    }
}
