use proptest::prelude::*;

use super::*;

fn parse(raw: &str) -> Result<Vec<(String, String)>, QueryError> {
    Query::parse(raw).map(|query| query.0)
}

fn pairs(list: &[(&str, &str)]) -> Result<Vec<(String, String)>, QueryError> {
    Ok(list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

#[test]
fn reads_as_go_does() {
    assert_eq!(parse(""), pairs(&[]));
    assert_eq!(parse("&&"), pairs(&[]));
    assert_eq!(parse("watch"), pairs(&[("watch", "")]));
    assert_eq!(parse("b=1&a=x%20y+z"), pairs(&[("a", "x y z"), ("b", "1")]));
    assert_eq!(parse("a=b=c"), pairs(&[("a", "b=c")]));
    assert_eq!(parse("a=%2B"), pairs(&[("a", "+")]));
    // Decoded once only.
    assert_eq!(parse("a=%252F"), pairs(&[("a", "%2F")]));
    assert_eq!(parse("command=z&command=a"), pairs(&[("command", "z"), ("command", "a")]));
}

#[test]
fn refuses_what_go_drops_or_others_read_differently() {
    let semicolon = |got: &str| Err(QueryError::Semicolon { got: got.to_owned() });
    let escape = |got: &str| Err(QueryError::Escape { got: got.to_owned() });
    assert_eq!(parse("a=b;watch=true"), semicolon("a=b;watch=true"));
    assert_eq!(parse("watch=1&;"), semicolon(";"));
    assert_eq!(parse("a=%"), escape("a=%"));
    assert_eq!(parse("a=%2"), escape("a=%2"));
    assert_eq!(parse("a=%zz"), escape("a=%zz"));
    assert_eq!(parse("a=%+1"), escape("a=%+1"));
    assert_eq!(parse("%ff=1"), escape("%ff=1"));
    assert_eq!(parse("a=%00"), Err(QueryError::Character { got: '\0' }));
    assert_eq!(parse("a=é"), Err(QueryError::Character { got: 'é' }));
    assert_eq!(parse("a=b c"), Err(QueryError::Character { got: ' ' }));
    assert_eq!(parse("a=b#c"), Err(QueryError::Character { got: '#' }));
    assert_eq!(parse("=x"), Err(QueryError::NoKey { got: "x".to_owned() }));
    for twice in ["watch=false&watch=true", "dryRun=All&dryRun=All", "a&a", "%61=1&a=2"] {
        assert!(matches!(parse(twice), Err(QueryError::Duplicate { .. })), "{twice}");
    }
    let long = "a".repeat(limits::URI_BYTES + 1);
    assert!(matches!(parse(&long), Err(QueryError::TooLong { .. })));
}

#[test]
fn booleans_are_the_api_servers() {
    for (raw, expected) in [
        ("", false),
        ("watch", true),
        ("watch=", true),
        ("watch=no", true),
        ("watch=1", true),
        ("watch=0", false),
        ("watch=00", true),
        ("watch=FALSE", false),
        ("watch=f", true),
        ("Watch=true", false),
    ] {
        assert_eq!(Query::parse(raw).unwrap().flag("watch"), expected, "{raw}");
    }
}

#[test]
fn debug_shows_no_values() {
    assert_eq!(format!("{:?}", Query::parse("command=hunter2").unwrap()), r#"["command"]"#);
}

proptest! {
    #[test]
    fn canonical_is_canonical(raw in "[a-c=&+%0-9A-F\\-_.~:/,]{0,40}") {
        if let Ok(query) = Query::parse(&raw) {
            let canonical = query.canonical();
            let again = Query::parse(&canonical).unwrap();
            prop_assert_eq!(&again, &query);
            prop_assert_eq!(again.canonical(), canonical);
        }
    }

    #[test]
    fn any_text_survives(key in "[^\0]{1,12}", value in "[^\0]{0,12}") {
        let query = Query::from_pairs(vec![(key, value)]).unwrap();
        prop_assert_eq!(Query::parse(&query.canonical()), Ok(query));
    }
}
