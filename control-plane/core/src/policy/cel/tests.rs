//! Limits of conditions. Names and places are tested with the policy file.

use serde_json::{Value, json};
use shared::limits;
use shared::time::Timestamp;

use super::*;
use crate::identity::{Identity, PodIdentity};
use crate::policy::question::{Body, Live, Question, SessionFacts};
use crate::request_info::{RequestInfo, Verb};

fn test_with(source: &str, object: &Value, out_of_time: &(dyn Fn() -> bool + Sync)) -> Result<bool, Broken> {
    let mut patterns = Patterns::new();
    let condition =
        Condition::compile(source, &mut patterns).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}"));
    let info = RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb: Verb::Create,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: "default".to_owned(),
        resource: "pods".to_owned(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    };
    let word = || "x".to_owned();
    let pod = PodIdentity { cluster: word(), namespace: word(), service_account: word(), pod: word(), pod_uid: word() };
    let identity = Identity { pod, ci: None, expires: Timestamp::default() };
    let session = SessionFacts::default();
    let question = Question {
        info: &info,
        identity: &identity,
        query: &[],
        body: Body::Read { content_type: "application/json", value: object },
        live: Live::NotRead,
        session: &session,
        cluster: "prod",
    };
    let facts = Facts::new(&question, &patterns, out_of_time);
    condition.test(&facts)
}

fn test(source: &str, object: &Value) -> Result<bool, Broken> {
    test_with(source, object, &|| false)
}

#[test]
fn macros_answer_as_without_the_counting() {
    let object =
        json!({"l": [1, 2, 3], "e": [], "m": {"a": 1, "b": 2}, "n": null, "s": "text", "f": 1.5, "big": u64::MAX});
    for (source, expected) in [
        ("object.l.all(x, x > 0)", true),
        ("object.l.all(x, x > 1)", false),
        ("object.e.all(x, false)", true),
        ("object.l.exists(x, x == 3)", true),
        ("object.l.exists(x, x == 4)", false),
        ("object.l.exists_one(x, x > 2)", true),
        ("object.l.exists_one(x, x > 1)", false),
        ("object.l.map(x, x * 2) == [2, 4, 6]", true),
        ("object.l.map(x, x > 1, x * 2) == [4, 6]", true),
        ("object.l.filter(x, x > 1) == [2, 3]", true),
        ("size(object.l.filter(x, object.l.exists(y, y == x + 1))) == 2", true),
        ("object.m.all(k, object.m[k] > 0)", true),
        ("has(object.m.a) && !has(object.m.c)", true),
        ("object.n == null && object.f == 1.5 && object.l[0] == 1", true),
        ("object.s.matches('^t.*t$') && !matches(object.s, 'x$')", true),
        ("'a' in object.m && 2 in object.l", true),
        ("object.big > 5", true),
        ("object.l.all(x, 6 / (2 - x) == 6)", false),
    ] {
        assert_eq!(test(source, &object), Ok(expected), "{source}");
    }
}

#[test]
fn loops_stop_at_the_limit_even_where_errors_are_swallowed() {
    let object = json!({"l": vec![1; 200]});
    let nested = "object.l.exists(a, object.l.exists(b, object.l.exists(c, a + b + c == 0)))";
    assert_eq!(test(nested, &object), Err(Broken::TooLong));
    assert_eq!(test(&format!("{nested} || true"), &object), Err(Broken::TooLong));
    assert_eq!(test(&format!("true || {nested}"), &object), Ok(true));
    assert_eq!(
        test("object.l.all(a, object.l.all(b, object.l.map(c, a + b + c) != []))", &object),
        Err(Broken::TooLong)
    );
    assert_eq!(test("object.l.all(a, a == 1)", &object), Ok(true));
    // One step before the limit is enough, one after is not.
    let ticks = usize::try_from(limits::CEL_TICKS).unwrap();
    assert_eq!(test("object.l.all(a, a == 1)", &json!({"l": vec![1; ticks]})), Ok(true));
    assert_eq!(test("object.l.all(a, a == 1)", &json!({"l": vec![1; ticks + 1]})), Err(Broken::TooLong));
}

#[test]
fn the_callers_deadline_is_looked_at() {
    let calls = std::sync::atomic::AtomicU64::new(0);
    let late = || calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 10;
    let object = json!({"l": vec![1; 100]});
    assert_eq!(test_with("object.l.all(a, a == 1)", &object, &late), Err(Broken::TooLong));
    assert!(calls.into_inner() < 20);
}

#[test]
fn what_goes_in_is_bounded() {
    let large = json!({"l": vec![0; limits::CEL_INPUT_VALUES]});
    assert_eq!(test("has(object.l)", &large), Err(Broken::TooLarge));
    assert_eq!(test("has(object.l) || true", &large), Err(Broken::TooLarge));
    assert_eq!(test("request.verb == 'create'", &large), Ok(true));
    assert_eq!(test("oldObject == null", &json!({})), Err(Broken::NotRead));
}

#[test]
fn sources_that_would_recurse_too_deep_are_refused_before_they_are_parsed() {
    let refuse = |source: String| {
        // On a stack as small as any thread's that loads a policy.
        let small = std::thread::Builder::new().stack_size(1024 * 1024);
        let refused = small.spawn(move || Condition::compile(&source, &mut Patterns::new()).is_err()).unwrap();
        refused.join().unwrap()
    };
    for (piece, end) in [
        ("1+", "1==1"),
        ("true||", "true"),
        ("!", "true"),
        ("-", "1==1"),
        ("true?1:", "1"),
        ("[", "1"),
        ("(", "1"),
        ("{1:", "1"),
        ("object.a.exists(x,", "true"),
    ] {
        for times in [50, 99, 133, 199, 399, 1000, 2000] {
            // Whatever is accepted was parsed and walked on that stack.
            refuse(format!("{}{end}", piece.repeat(times)));
        }
        assert!(refuse(format!("{}{end}", piece.repeat(2000))), "{piece}");
    }
    for piece in [".a", "[0]", ".size()"] {
        assert!(refuse(format!("object{}", piece.repeat(1000))), "{piece}");
    }
    assert!(refuse("a".repeat(limits::CEL_SOURCE_BYTES + 1)));
}

#[test]
fn patterns_are_compiled_once_and_bounded() {
    let mut patterns = Patterns::new();
    Condition::compile("request.name.matches('^a+$') || request.namespace.matches('b')", &mut patterns).unwrap();
    assert_eq!(patterns.len(), 2);
    assert!(Condition::compile("request.name.matches('(a{1000}){1000}')", &mut patterns).is_err());
    assert!(Condition::compile("request.name.matches(object.pattern)", &mut patterns).is_err());
    assert!(Condition::compile("request.name.matches()", &mut patterns).is_err());
}
