//! Objects of a list that are like one before them are compared, not read: nobody may see that.

use super::super::key::NAMES as NAMES_THAT_MATTER;
use super::*;

fn list(kind: &str, items: &[String]) -> String {
    format!(
        r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"1"}},"items":[{}]}}"#,
        items.join(",")
    )
}

/// In pieces of any size it comes out as byte by byte, where nothing is seen whole; and so does what leaves before an error.
fn same(resource: &str, text: &str) -> Option<String> {
    same_in(resource, text, &[7, 200, 1000, text.len()])
}

fn same_in(resource: &str, text: &str, sizes: &[usize]) -> Option<String> {
    let context = context(resource, Verb::List);
    let in_pieces = |size| {
        let (mut masker, mut out) = (Masker::new(context.clone()), Vec::new());
        let result = text.as_bytes().chunks(size).try_for_each(|piece| masker.push(piece, &mut out));
        (result.and_then(|()| masker.finish()), String::from_utf8(out).unwrap())
    };
    let (expected, out) = in_pieces(1);
    for &size in sizes {
        let (result, piecewise) = in_pieces(size);
        assert!(result == expected, "{result:?}, and byte by byte {expected:?}, {size} at a time: {text}");
        // Nothing leaves of the piece in which an error is.
        let left = if result.is_ok() { piecewise == out } else { out.starts_with(&piecewise) };
        assert!(left, "{piecewise}, and byte by byte {out}, {size} at a time: {text}");
    }
    expected.ok().map(|_| out)
}

/// How many objects of a list are stepped over.
fn stepped_over(resource: &str, text: &str) -> usize {
    let mut masker = Masker::new(context(resource, Verb::List));
    masker.push(text.as_bytes(), &mut Vec::new()).unwrap();
    masker.alike.stepped_over()
}

fn secret(name: &str, keys: &[&str], value: &str) -> String {
    let data: Vec<_> = keys.iter().map(|key| format!(r#""{key}":"{value}""#)).collect();
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"team-{name}","uid":"uid-{name}","labels":{{"app":"web"}},"managedFields":[{{"manager":"kubectl","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{"f:data":{{".":{{}},"f:p":{{}}}}}}}}]}},"data":{{{}}},"type":"Opaque"}}"#,
        data.join(",")
    )
}

#[test]
fn m1_secrets_that_are_alike_are_masked_each_with_its_own_placeholders() {
    let kinds: [&[&str]; 3] = [&["p"], &["p", "user"], &["ca.crt", "p", "tls.key"]];
    let items: Vec<_> = (0..60)
        .map(|index| secret(&format!("é-{index}"), kinds[index % kinds.len()], &format!("{CANARY}{index}")))
        .collect();
    let text = list("SecretList", &items);
    assert!(stepped_over("secrets", &text) > 40);
    let out = same("secrets", &text).unwrap();
    assert!(!out.contains(CANARY), "{out}");
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(mask_value(&mut expected, &context("secrets", Verb::List)), 120);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
}

#[test]
fn m8_no_value_is_kept_of_an_object_that_is_remembered() {
    let mut masker = Masker::new(context("secrets", Verb::List));
    let items = ["a", "b", "c"].map(|name| secret(name, &["p", "user"], CANARY));
    let text = list("SecretList", &items);
    masker.push(text.trim_end_matches("]}").as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(masker.alike.stepped_over(), 1);
    let kept = format!("{:?}", masker.alike);
    let of = |text: &str| text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!((kept.contains(&of("kubectl")), kept.contains(&of(CANARY))), (true, false), "{kept}");
}

/// Of one that is like the others but for a text, whatever stands in that.
#[test]
fn m1_a_text_that_is_not_plain_is_read() {
    let usual: Vec<_> = ["a", "b", "c"].map(|name| secret(name, &["p", "user"], CANARY)).to_vec();
    for name in ["", "d", "\u{e9}", r"\u0061", r#"\""#, r"\\", r#"e","name":"f"#, "\n", r"\ud800", "]}", "{"] {
        for value in ["", CANARY, r"Q0FOQVJZ\/\/\/\/", r#"","p":"Q0FOQVJZLXZhbHVl"#, "\t"] {
            let odd = secret(name, &["p", "user"], value);
            let text = list("SecretList", &[usual.clone(), vec![odd.clone(), odd, usual[0].clone()]].concat());
            if let Some(out) = same("secrets", &text) {
                assert!(!out.contains(CANARY) && !out.contains("Q0FOQVJZ"), "{out}");
            }
        }
    }
    let first = list("SecretList", &usual);
    for other in [r#"{"p":1}"#, r#"{"p":null}"#, r#"{"p":{"a":"Q0FOQVJZLXZhbHVl"}}"#, r#""Q0FOQVJZLXZhbHVl""#, "{}"] {
        let odd = secret("o", &["p", "user"], CANARY);
        let odd = odd.replace(r#"{"p":"Q0FOQVJZLXZhbHVl","user":"Q0FOQVJZLXZhbHVl"}"#, other);
        let text = first.replace("]}", &format!(",{odd},{odd},{}]}}", usual[0]));
        assert!(!same("secrets", &text).unwrap().contains(CANARY), "{other}");
    }
}

/// What a container printed is found where the Event or pod before has none of it, and the other way round.
#[test]
fn m7_what_was_printed_is_read_each_time() {
    let event = |name: &str, said: &str| {
        let member = if name == "b" { "note" } else { "message" };
        format!(r#"{{"metadata":{{"name":"{name}"}},"reason":"Unhealthy","{member}":"{said}"}}"#)
    };
    let pod = |name: &str, state: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"volumes":[{{"secret":{{"secretName":"s"}}}}]}},"status":{{"containerStatuses":[{{"state":{{{state}}}}}]}}}}"#
        )
    };
    let printed = format!("Liveness probe failed: {CANARY}");
    let words = [&printed, "Started", "Started", &printed, "probe failed: ", "Killing", &printed];
    let said = |reason: &str| format!(r#""waiting":{{"reason":"{reason}","message":"{CANARY}"}}"#);
    let hook = said("PostStartHookError");
    let waiting = [&hook, &hook, &said("ErrImagePull"), &hook, r#""running":{}"#, &hook];
    for names in [["a"; 7], ["a", "a", "b", "b", "a", "b", "a"]] {
        let events: Vec<String> = names.into_iter().zip(words).map(|(name, said)| event(name, said)).collect();
        let out = same("events", &list("EventList", &events)).unwrap();
        assert!(!out.contains(CANARY), "{out}");
        let pods: Vec<String> = names.into_iter().zip(waiting).map(|(name, state)| pod(name, state)).collect();
        let out = same("pods", &list("PodList", &pods)).unwrap();
        assert_eq!(out.matches(CANARY).count(), 1, "{out}");
    }
}

/// What depends on more than the object's bytes is read, or told from what was the same under another rule.
#[test]
fn m1_what_came_before_counts() {
    let renamed = |object: &str| ["a", "b", "c", "a", "b"].map(|name| object.replace("\"a\"", &format!("\"{name}\"")));
    let lines = |objects: &[&str]| objects.iter().map(|object| (*object).to_owned()).collect::<Vec<_>>();
    let status = r#"{"kind":"Status","apiVersion":"v1","message":"CANARY is wrong","reason":"Odd"}"#;
    let details = r#"{"kind":"Status","apiVersion":"v1","details":{"kind":"secrets"}}"#;
    let own = r#"{"spec":{"containers":[]},"status":{"containerStatuses":[{"state":{"terminated":{"exitCode":1,"message":"CANARY"}}}]}}"#;
    let takes = r#"{"spec":{"volumes":[{"secret":{"secretName":"s"}}]}}"#;
    let unnamed = r#"{"kind":"Secret","apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"}}"#;
    let late = r#"{"apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"},"kind":"Secret","metadata":{"name":"a"}}"#;
    let nested = r#"{"metadata":{"name":"a"},"spec":{"template":{"kind":"Secret","apiVersion":"v1","metadata":{"name":"b"},"data":{"p":"Q0FOQVJZLXZhbHVl"}}}}"#;
    let noted = r#"{"metadata":{"name":"a","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"data\":{\"p\":\"Q0FOQVJZLXZhbHVl\"}}"}},"data":{"p":"Q0FOQVJZLXZhbHVl"}}"#;
    let list_in = r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"Secret","apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"}}]}"#;
    let plain = r#"{"metadata":{"name":"a"},"data":{"p":"plain"}}"#;
    // What is emptied, or written otherwise, is not counted as masked.
    let owned =
        r#"{"metadata":{"name":"a","managedFields":[{"fieldsV1":{"f:data":{"f:p":{"x":"Q0FOQVJZLXZhbHVl"}}}}]}}"#;
    let escaped = r#"{"metadata":{"name":"a","annotations":{"x":"[\u0022\u00e9\u0022]"}}}"#;
    // What is masked may look as before.
    let shown = same("secrets", &list("SecretList", &lines(&[noted]))).unwrap();
    let shown = shown.split_once(r#""items":["#).unwrap().1.trim_end_matches("]}");
    let inside = r#"{"metadata":{"name":"a"},"spec":{"kind":"Odd","apiVersion":"v1","metadata":{"name":"n"}},"data":{"p":"Q0FOQVJZLXZhbHVl"}}"#;
    let empty = r#"{"kind":"Secret","apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"},"stringData":{}}"#;
    let long = r#"{"metadata":{"name":"NAME-a","namespace":"a"},"data":{"p":"Q0FOQVJZLXZhbHVl"}}"#;
    let [cut, within] = ["x".repeat(1030), "x".repeat(1021) + "\u{e9}\u{e9}"].map(|name| long.replace("NAME", &name));
    let twice = r#"{"metadata":{"name":"a"},"data":{"p":"Q0FOQVJZLXZhbHVl"},"DATA":{"p":"x"},"data":{"p":"Q0FOQVJZLXZhbHVl"},"metadata":{"name":"z-a"}}"#;
    let pod = takes.replace(r#"{"spec""#, r#"{"metadata":{"name":"a"},"spec""#).replace(
        r#"}]}}"#,
        r#"}]},"status":{"containerStatuses":[{"state":{"terminated":{"exitCode":1,"message":"CANARY"}}}]}}"#,
    );
    let token = r#"{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"a"},"status":{"token":"Q0FOQVJZLXZhbHVl"}}"#;
    for objects in [
        renamed(&cut).to_vec(),
        renamed(&within).to_vec(),
        renamed(twice).to_vec(),
        renamed(&pod).to_vec(),
        renamed(token).to_vec(),
        lines(&["[]", plain, "[1]", plain, plain, "null", plain]),
        lines(&[status, status, status, details, status, status]),
        lines(&[own, own, own, takes, own, own]),
        lines(&[unnamed; 5]),
        lines(&[late; 5]),
        renamed(nested).to_vec(),
        renamed(&nested.replace("\"a\"", "\"o\"").replace("\"b\"", "\"a\"")).to_vec(),
        renamed(noted).to_vec(),
        lines(&[list_in; 4]),
        renamed(owned).to_vec(),
        renamed(escaped).to_vec(),
        renamed(shown).to_vec(),
        renamed(inside).to_vec(),
        lines(&[empty; 5]),
        lines(&[plain, plain, plain, list_in, plain, unnamed, plain]),
    ] {
        for kind in ["List", "SecretList", "PodList", "ConfigMapList", "Status"] {
            for resource in ["secrets", "pods", "configmaps"] {
                let one = list(kind, &objects);
                let out = same(resource, &one);
                // The same objects once more, in a list that is another: of another kind, deeper, or with another's name.
                let again = one.replace("]}", &format!(r#"],"items":[{}],"kind":"SecretList"}}"#, objects.join(",")));
                same(resource, &again);
                same(resource, &list("List", &[one.clone(), list("SecretList", &objects), one.clone()]));
                // Its objects behind it, in the list that it stands in.
                let inside = |item: &str| list(kind, &[vec![item.replace("LIST", &one)], objects.clone()].concat());
                for item in ["LIST", r#"{"metadata":{"name":"0"},"x":LIST}"#] {
                    same(resource, &inside(item));
                    same(resource, &inside(item).replacen(kind, "SecretList", 1));
                    same(resource, &inside(item).replacen(kind, "List", 1));
                }
                if kind == "SecretList" || resource == "secrets" {
                    assert!(out.is_none_or(|out| !out.contains(CANARY)), "{one}");
                }
            }
        }
    }
}

#[test]
fn m6_an_unnamed_secret_has_the_placeholders_of_its_place_in_the_list() {
    let unnamed =
        r#"{"kind":"Secret","apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"},"stringData":{"q":"Q0FOQVJZLXZhbHVl"}}"#;
    let text = list("SecretList", &vec![unnamed.to_owned(); 5]);
    assert_eq!(stepped_over("secrets", &text), 4);
    let out: Value = serde_json::from_str(&same("secrets", &text).unwrap()).unwrap();
    let items = out["items"].as_array().unwrap().iter();
    let values: Vec<_> = items.flat_map(|item| [item["data"]["p"].clone(), item["stringData"]["q"].clone()]).collect();
    let mut different: Vec<_> = values.iter().map(Value::to_string).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!((different.len(), values.iter().all(|value| is_placeholder(value.as_str().unwrap()))), (10, true));
}

/// More kinds than are remembered, then long ones, then many that nothing is like.
#[test]
fn m4_lists_of_many_kinds() {
    let key = |number: usize| format!("key-{number}");
    let of_kind = |kind: usize, index: usize| {
        let keys: Vec<_> = (0..=kind).map(key).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        secret(&format!("n-{index}"), &keys, CANARY)
    };
    let many: Vec<_> = (0..80).map(|index| of_kind(index * 7 % 13, index)).collect();
    let unlike: Vec<_> = (0..80).map(|index| of_kind(index, index)).collect();
    let alike: Vec<_> = (0..300).map(|index| of_kind(2, index)).collect();
    let text = list("SecretList", &[unlike, many, alike].concat());
    let stepped = stepped_over("secrets", &text);
    assert!(stepped > 50, "{stepped}, after the pause");
    assert!(!same("secrets", &text).unwrap().contains(CANARY));
}

/// What is passed on as it is may be so because of its object's name.
#[test]
fn m1_a_release_is_one_by_its_name() {
    // Base64 of base64 of `{"name":"web","version":1}`.
    let payload = "ZXlKdVlXMWxJam9pZDJWaUlpd2lkbVZ5YzJsdmJpSTZNWDA9";
    let named = |name: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"d","uid":"uid-{name}"}},"data":{{"release":"{payload}"}},"type":"t"}}"#
        )
    };
    let items = ["sh.helm.release.v1.web.v1", "sh.helm.release.v1.web.v2", "x", "sh.helm.release.v1.web.v3"].map(named);
    let out = same("secrets", &list("SecretList", &items)).unwrap();
    assert_eq!(out.matches(payload).count(), 3, "{out}");
}

/// Whatever a text says, wherever it stands, under whichever name: if anything follows from it, it is read.
#[test]
fn m1_texts_that_mean_something_are_read() {
    const TEXTS: [&str; 11] = [
        "",
        "Secret",
        "List",
        "Status",
        "v1",
        "apps/v1",
        "secrets",
        "StartError",
        CANARY,
        r#"{\"kind\":\"Secret\",\"data\":{\"p\":\"Q0FOQVJZLXZhbHVl\"}}"#,
        "sh.helm.release.v1.web.v1",
    ];
    let own = r#""metadata":{"name":"n"},"data":{"p":"Q0FOQVJZLXZhbHVl"},"details":{"kind":"x","causes":[{"message":"x"}]},"message":"x""#;
    let places = [
        format!(r#"{{MEMBER,{own}}}"#),
        format!(r#"{{"apiVersion":"v1",MEMBER,{own},MEMBER}}"#),
        r#"{"metadata":{"name":"n",MEMBER,"annotations":{"a":"x",MEMBER}},"data":{"p":"x",MEMBER}}"#.to_owned(),
        r#"{"metadata":{"managedFields":[{MEMBER,"fieldsV1":{MEMBER,"f:data":{"f:p":{},MEMBER}}}]},"data":{"p":"x"}}"#.to_owned(),
        format!(r#"{{"spec":{{MEMBER,"x":{{MEMBER,{own}}}}},"status":{{MEMBER}},{own}}}"#),
        r#"{"metadata":{"name":"n"},"spec":{"volumes":[{MEMBER}]},"status":{"state":{"terminated":{MEMBER,"message":"x"}}}}"#.to_owned(),
        r#"{"kind":"Status","apiVersion":"v1",MEMBER,"details":{MEMBER,"causes":[{MEMBER,"message":"x"}]},"message":"x"}"#.to_owned(),
        r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1",MEMBER,"spec":{MEMBER},"status":{MEMBER}}"#.to_owned(),
    ];
    let names = NAMES_THAT_MATTER.iter().map(|(name, _)| *name).chain(["x", "release", "uid", "tlsSecretRef", "DATA"]);
    for (name, place) in names.flat_map(|name| places.iter().map(move |place| (name, place))) {
        let with = |text: &str| place.replace("MEMBER", &format!(r#""{name}":"{text}""#));
        for text in TEXTS {
            let items = [with("a"), with("b"), with("c"), with(text), with("d"), with(text)];
            for (kind, resource) in [("List", "pods"), ("SecretList", "secrets")] {
                let text = list(kind, &items);
                same_in(resource, &text, &[text.len()]);
            }
        }
    }
}
