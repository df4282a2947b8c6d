//! What can't be read as a whole.

use shared::limits::BODY_DEPTH;

use super::*;

/// With `spec.token` masked, and so many lists in one another in the first of two.
fn listed(lists: usize, inside: &str) -> String {
    let deep = format!("{}{inside}{}", "[".repeat(lists), "]".repeat(lists));
    format!(
        r#"{{"kind":"LoginList","apiVersion":"example.com/v1","metadata":{{"continue":"c"}},"items":[{{"metadata":{{"name":"a"}},"spec":{{"token":"CANARY-1","x":{deep},"y":1.10}}}},{{"metadata":{{"name":"b"}},"spec":{{"token":"CANARY-2"}}}}]}}"#
    )
}

#[test]
fn m7_one_deep_object_does_not_spoil_a_list() {
    let context = masking("logins", Verb::List, &["spec.token"]);
    let show = |text: &str| run(&context, Format::Json, &[text.as_bytes()]).map(|out| String::from_utf8(out).unwrap());
    // The list, its items, an object and its `spec` are around it.
    let room = BODY_DEPTH - 1 - 4;
    for lists in [room - 1, room, room + 1, 300] {
        let text = listed(lists, r#""]\\\"[{",{"p":1.50}"#);
        let out = show(&text).unwrap();
        let cut = lists >= room;
        // Together with what is around it.
        assert_eq!(out.matches("1.50").count(), usize::from(!cut), "{lists}");
        assert!(!out.contains("CANARY") && out.contains(r#""y":1.10"#) && out.contains(r#""continue":"c""#), "{out}");
        let mut expected = vec!["/items/0/spec/token", "/items/1/spec/token"];
        let found = masked(&serde_json::from_str(&out).unwrap());
        if cut {
            let deep = found.iter().find(|place| place.starts_with("/items/0/spec/x/0/")).unwrap();
            expected.insert(1, deep);
        }
        assert_eq!(found, expected, "{lists}");
    }
    // Many of them, with others beside them, in an event that ends with its line.
    let event = |text: &str| format!("{{\"type\":\"ADDED\",\"object\":{text}}}\n");
    let many = listed(300, "").replace(
        r#""y":1.10"#,
        &format!(r#""y":1.10,"z":[{}0]"#, format!("{}{},", "[".repeat(200), "]".repeat(200)).repeat(1000)),
    );
    let watch = masking("logins", Verb::Watch, &["spec.token"]);
    let events = [event(&many), event(&listed(1, "2")), event(&many)].concat();
    let pieces: Vec<&[u8]> = events.as_bytes().chunks(10_000).collect();
    let out = String::from_utf8(run(&watch, Format::Json, &pieces).unwrap()).unwrap();
    assert!(!out.contains("CANARY") && out.len() < events.len() && out.lines().count() == 3 && out.ends_with('\n'));
    for line in out.lines() {
        let _parses: Value = serde_json::from_str(line).unwrap();
    }
    // Deeper than any answer may be.
    assert!(show(&listed(600, "")).is_err());
}

#[test]
fn m6_what_was_too_deep_is_not_written_back() {
    let context = masking("logins", Verb::List, &["spec"]);
    let out = run(&context, Format::Json, &[listed(300, "1").as_bytes()]).unwrap();
    let shown: Value = serde_json::from_slice(&out).unwrap();
    let mut live = shown["items"][0].clone();
    live["spec"] = json!({"x": "y"});
    let read = ReadObject::new(text(&live).as_bytes(), &context).unwrap();
    let restorer =
        Restorer { secret: false, release: None, dry_run: false, live: Some(&read), more: &[], mask: &context };
    assert!(restorer.restore(crate::body::Encoding::Json, &shown["items"][0]).is_err());
}
