use super::*;
use crate::body::ScalarProblem;
use shared::limits;

const JSON: &str = "application/json";

#[test]
fn integers_keep_all_their_digits() {
    let body = value(JSON, r#"{"a":9007199254740993,"b":-9223372036854775808,"c":18446744073709551615,"d":-0}"#);
    assert_eq!(body["a"].as_i64(), Some(9_007_199_254_740_993));
    assert_eq!(body["b"].as_i64(), Some(i64::MIN));
    assert_eq!(body["c"].as_u64(), Some(u64::MAX));
    assert_eq!(body["d"].as_i64(), Some(0));
}

#[test]
fn a_number_is_read_exactly_or_refused() {
    for text in [
        "1.5",
        "0.1",
        "1e3",
        "1E+3",
        "1.50",
        "100000000000000000000",
        "0.30000000000000004",
        "5e-324",
        "-0.0",
        "0e99",
        "1.7976931348623157e308",
    ] {
        assert!(value(JSON, format!("{{\"a\":[\"1.25\\\"\",{text},\"-9e9\"]}}"))["a"][1].is_number(), "{text}");
    }
    for text in [
        "18446744073709551616",
        "-9223372036854775809",
        "9007199254740993.0",
        "0.1000000000000000055",
        "123456789012345678901234567890",
    ] {
        let got = read(JSON, format!("{{\"a\":[\"1.25\\\\\",1.25,{text},2.5]}}"));
        assert!(matches!(got, Err(BodyError::Scalar { problem: ScalarProblem::Inexact, .. })), "{text}: {got:?}");
    }
    for text in ["1e400", "01", "+1", "1.", ".5", "0x1", "NaN", "Infinity", "1_0", "--1"] {
        assert!(matches!(read(JSON, format!("{{\"a\":{text}}}")), Err(BodyError::Syntax { .. })), "{text}");
    }
}

#[test]
fn a_key_twice_is_refused_however_it_is_written() {
    for text in
        [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"data":1,"d\u0061ta":2}}"#, r#"{"x":[{"":1,"":2}]}"#]
    {
        assert!(matches!(read(JSON, text), Err(BodyError::DuplicateKey { line: 1, .. })), "{text}");
    }
    assert_eq!(read(JSON, "{\n\"k\":1,\n\"k\":2}"), Err(BodyError::DuplicateKey { key: "k".to_owned(), line: 3 }));
    assert!(read(JSON, r#"{"a":{"k":1},"b":{"k":1},"A":[{"k":1},{"k":1}]}"#).is_ok());
}

#[test]
fn only_one_strict_json_object_is_a_body() {
    for text in [
        "{} {}",
        "{}x",
        "{}\0",
        "{\"a\":1,}",
        "[1,]",
        "{'a':1}",
        "{a:1}",
        "// c\n{}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{",
        "\"",
        "nul",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"a\":TRUE}",
    ] {
        assert!(matches!(read(JSON, text), Err(BodyError::Syntax { .. })), "{text}");
    }
    assert!(matches!(read(JSON, b"{\"a\":\"\xff\"}"), Err(BodyError::Syntax { .. })));
    assert!(matches!(read(JSON, b"{\"a\":\"\xc0\x80\"}"), Err(BodyError::Syntax { .. })));
    for text in ["[]", "null", "1", "\"a\"", "true"] {
        assert!(matches!(read(JSON, text), Err(BodyError::Shape { .. })), "{text}");
    }
    assert_eq!(value(JSON, " \r\n\t{} \n"), json!({}));
}

#[test]
fn nesting_and_number_of_values_are_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(read(JSON, nested(limits::BODY_DEPTH - 1)).is_ok());
    for depth in [limits::BODY_DEPTH, limits::BODY_DEPTH + 1, 100_000] {
        assert_eq!(read(JSON, nested(depth)), Err(BodyError::Depth { limit: limits::BODY_DEPTH }));
    }
    let many = |count: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(count - 3));
    assert!(read(JSON, many(limits::BODY_NODES)).is_ok());
    assert_eq!(read(JSON, many(limits::BODY_NODES + 1)), Err(BodyError::Nodes { limit: limits::BODY_NODES }));
}

#[test]
fn errors_hold_no_values_of_the_body() {
    for text in [r#"{"a":"hunter2","a":1}"#, r#"{"a":"hunter2" x}"#, r#"{"a":"hunter2\x"}"#, "{\"hunter\":\"hunter2"] {
        let error = read(JSON, text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let number = read(JSON, r#"{"a":12345678901234567890123}"#).unwrap_err();
    assert!(!format!("{number} {number:?}").contains("12345"), "{number:?}");
}

#[test]
fn a_json_patch_is_a_list_of_known_operations() {
    const PATCH: &str = "application/json-patch+json";
    let good = r#"[{"op":"add","path":"/a/~1b","value":null},{"op":"remove","path":"/c","value":1},{"op":"test","path":"","value":{}},
        {"op":"move","from":"/a","path":"/b"},{"op":"copy","from":"","path":"/b"},{"op":"replace","path":"/a/-","value":[1]}]"#;
    assert!(read(PATCH, good).is_ok());
    assert!(read(PATCH, "[]").is_ok());
    for bad in [
        r#"[1]"#,
        r#"[{}]"#,
        r#"[{"op":"Add","path":"/a","value":1}]"#,
        r#"[{"op":"add","path":"/a"}]"#,
        r#"[{"op":"add","path":"a","value":1}]"#,
        r#"[{"op":"add","path":1,"value":1}]"#,
        r#"[{"op":"move","path":"/a"}]"#,
        r#"[{"op":"copy","path":"/a","from":"b/c"}]"#,
        r#"[{"op":"merge","path":"/a","value":1}]"#,
        r#"[{"op":"remove","path":"/a","Path":"/b"}]"#,
        r#"{"op":"remove","path":"/a"}"#,
    ] {
        assert!(matches!(read(PATCH, bad), Err(BodyError::Shape { .. })), "{bad}");
    }
    assert!(matches!(
        read(PATCH, r#"[{"op":"remove","op":"remove","path":"/a"}]"#),
        Err(BodyError::DuplicateKey { .. })
    ));
    let many = |count: usize| format!("[{}]", vec![r#"{"op":"remove","path":"/a"}"#; count].join(","));
    assert!(read(PATCH, many(limits::JSON_PATCH_OPERATIONS)).is_ok());
    let one_more = limits::JSON_PATCH_OPERATIONS + 1;
    let expected = BodyError::Operations { limit: limits::JSON_PATCH_OPERATIONS, got: one_more };
    assert_eq!(read(PATCH, many(one_more)), Err(expected));
}
