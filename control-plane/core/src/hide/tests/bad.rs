//! Input that an API server doesn't send: refused, however it is cut, and nothing of what is hidden gets out.

use super::*;

const CANARY: &str = "db-canary";

fn filter() -> Filter {
    Filter::list(hidden(&json!([{"names": ["db-*"]}, {"labels": ["tier"]}]), "/api/v1/pods"))
}

/// What gets out before the stream ends.
fn out_of(body: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut filter, mut out) = (filter(), Vec::new());
    for piece in body.chunks(piece) {
        let mut more = Vec::new();
        if filter.push(piece, &mut more).is_err() {
            assert!(filter.push(b"{}", &mut Vec::new()).is_err() && filter.finish().is_err());
            return (out, false);
        }
        out.extend(more);
    }
    (out, filter.finish().is_ok())
}

#[test]
fn what_is_no_list_is_refused() {
    let ok = r#"{"metadata":{"name":"x"}}"#;
    let secret = format!(r#"{{"metadata":{{"name":"{CANARY}"}}}}"#);
    for body in [
        // Twice, or in another spelling.
        format!(r#"{{"items":[{ok}],"items":[{secret}]}}"#),
        format!(r#"{{"items":[{ok}],"rows":[{secret}]}}"#),
        format!(r#"{{"items":[],"\u0069tems":[{secret}]}}"#),
        format!(r#"{{"items":[],"Items":[{secret}]}}"#),
        r#"{"metadata":{},"metadata":{"remainingItemCount":1},"items":[]}"#.to_owned(),
        // An object in two readings.
        format!(r#"{{"items":[{{"metadata":{{"name":"x"}},"metadata":{{"name":"{CANARY}"}}}}]}}"#),
        format!(r#"{{"items":[{{"metadata":{{"name":"x"}},"metad\u0061ta":{{"name":"{CANARY}"}}}}]}}"#),
        format!(r#"{{"items":[{{"metadata":{{"name":"{CANARY}","name":"x"}}}}]}}"#),
        format!(r#"{{"items":[{{"metadata":{{"name":"{CANARY}","n\u0061me":"x"}}}}]}}"#),
        r#"{"items":[{"metadata":{"name":"x","labels":{"a":"b","a":"c"}}}]}"#.to_owned(),
        r#"{"items":[{"metadata":{"name":"x","labels":{"tier":null}}}]}"#.to_owned(),
        r#"{"items":[{"metadata":{"name":"x","labels":["tier"]}}]}"#.to_owned(),
        // None at all.
        r#"{"items":[{"metadata":{}}]}"#.to_owned(),
        r#"{"items":[{"metadata":{"name":""}}]}"#.to_owned(),
        r#"{"items":[{"metadata":{"name":null}}]}"#.to_owned(),
        r#"{"items":[{"metadata":null}]}"#.to_owned(),
        r#"{"items":[{"name":"x"}]}"#.to_owned(),
        // A list in a list.
        format!(r#"{{"items":[{{"kind":"List","metadata":{{}},"items":[{secret}]}}]}}"#),
        // Other forms.
        format!(r#"{{"items":[[{secret}]]}}"#),
        format!(r#"{{"items":{{"a":{secret}}}}}"#),
        format!(r#"{{"items":"{CANARY}"}}"#),
        format!(r#"[{secret}]"#),
        format!(r#"{{"object":{{"items":[]}}}}"#),
        secret.clone(),
        r#"{"kind":"Status"}"#.to_owned(),
        "null".to_owned(),
        String::new(),
        // Syntax.
        format!(r#"{{"items":[{ok} {secret}]}}"#),
        format!(r#"{{"items":[,{secret}]}}"#),
        format!(r#"{{"items":[{ok},]}}"#),
        format!(r#"{{"items":[{ok}],}}"#),
        format!(r#"{{,"items":[{ok}]}}"#),
        format!(r#"{{"items":[{ok}]}}{secret}"#),
        format!(r#"{{"items" "":[{ok}]}}"#),
        format!(r#"{{"items":[{{"metadata":{{"name":"x"}}]}}]}}"#),
        format!(r#"{{"ite\qms":[{secret}],"items":[]}}"#),
        format!(r#"{{"items":[{secret}"#),
        format!(r#"{{"items":[{ok}]"#),
        format!("{{\"items\":[{{\"metadata\":{{\"name\":\"x\",\"\u{0}\":1}}}}]}}"),
    ] {
        for piece in [1, 2, 5, usize::MAX] {
            let (out, ended) = out_of(body.as_bytes(), piece);
            assert!(!ended, "{body}");
            let out = String::from_utf8_lossy(&out).into_owned();
            assert!(!out.contains(CANARY), "{body}: {out}");
        }
    }
    assert!(out_of(format!(r#"{{"items":[{ok},{secret}]}}"#).as_bytes(), 3).1);
}

#[test]
fn what_is_no_utf8_is_refused() {
    let (out, ended) = out_of(b"{\"items\":[{\"metadata\":{\"name\":\"\xff\"}}]}", 4);
    assert!(!ended, "{out:?}");
}

/// Deep nesting costs nothing, and is none of the filter's business where it is shown.
#[test]
fn nesting_is_not_recursion() {
    let deep = |name: &str| {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        format!(r#"{{"items":[{{"metadata":{{"name":"{name}"}},"x":{open}{close}}}]}}"#)
    };
    assert_eq!(filtered(filter(), &deep("db-1"), 1000), Ok(r#"{"items":[]}"#.to_owned()));
    assert_eq!(filtered(filter(), &deep("x"), 1000), Ok(deep("x")));
}

/// Between pieces no more is held than one object; and of that not more than the bound.
#[test]
fn an_object_has_a_bound() {
    let long = "x".repeat(1024 * 1024);
    let mut filter = filter();
    let mut out = Vec::new();
    filter.push(br#"{"items":["#, &mut out).unwrap();
    for index in 0..64 {
        out.clear();
        let comma = if index == 0 { "" } else { "," };
        filter.push(format!(r#"{comma}{{"metadata":{{"name":"x"}},"l":"{long}"}}"#).as_bytes(), &mut out).unwrap();
        assert!(out.len() > long.len());
    }
    filter.push(br#",{"metadata":{"name":"x"},"l":""#, &mut out).unwrap();
    let limit = shared::limits::HIDDEN_OBJECT_BYTES;
    let end = (0..limit / long.len() + 1).find_map(|_| filter.push(long.as_bytes(), &mut out).err());
    assert_eq!(end, Some(HideError::TooLong { limit }));
}
