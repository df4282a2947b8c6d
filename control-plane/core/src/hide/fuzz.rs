//! Entry point for a fuzzer, and for the replay of its corpus as a plain test.

use serde_json::Value;

use super::{Filter, Hidden, HideError, HideRule};
use crate::request_info::{RequestInfo, Verb};

/// Names that begin so are hidden.
const HIDDEN: &str = "db-";

/// A list, or after `W` a watch. It must not panic, must leave the same for every chunking, and nothing of what is hidden.
pub(super) fn fuzz(data: &[u8]) -> bool {
    let (watch, body) = data.strip_prefix(b"W").map_or((false, data), |body| (true, body));
    let whole = filtered(watch, body, usize::MAX);
    for piece in [1, 3, 64] {
        assert_eq!(filtered(watch, body, piece), whole, "in pieces of {piece}");
    }
    let Ok(left) = whole else { return false };
    let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&left).into_iter().collect();
    // What is no JSON the masker behind it refuses.
    let Ok(documents) = documents else { return false };
    for document in &documents {
        let list = if watch { document.get("object") } else { Some(document) };
        let elements =
            |name: &str| list.and_then(|list| list.get(name)).and_then(Value::as_array).into_iter().flatten();
        let says = |name: &str| list.and_then(|list| list.get(name)).and_then(Value::as_str).unwrap_or_default();
        let table = !watch || says("kind") == "Table" && says("apiVersion").starts_with("meta.k8s.io/");
        let rows = elements("rows").filter_map(|row| row.get("object")).filter(|_| table);
        let one = list.filter(|object| watch && object.get("kind").and_then(Value::as_str) != Some("Status"));
        let shown: Vec<&Value> =
            if watch { rows.chain(one).collect() } else { rows.chain(elements("items")).collect() };
        for object in shown {
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            assert!(!name.starts_with(HIDDEN), "{name} is hidden and was shown");
        }
        assert!(watch || document.pointer("/metadata/remainingItemCount").is_none(), "what is left was counted");
    }
    true
}

fn filtered(watch: bool, body: &[u8], piece: usize) -> Result<Vec<u8>, HideError> {
    let info = RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb: if watch { Verb::Watch } else { Verb::List },
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: String::new(),
        resource: "pods".to_owned(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    };
    let rule = HideRule { names: vec![format!("{HIDDEN}*")], ..HideRule::default() };
    let hidden = Hidden::parse(&[rule], &info).map_err(|_| HideError::Unnamed)?;
    let mut filter = if watch { Filter::watch(hidden) } else { Filter::list(hidden) };
    let mut out = Vec::new();
    for piece in body.chunks(piece) {
        filter.push(piece, &mut out)?;
    }
    filter.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests as corpus;

    /// Files named `ok-…` must be accepted, or the corpus has rotted and covers nothing.
    #[test]
    fn the_corpus() {
        for (name, bytes) in corpus::files("hide") {
            assert_eq!(fuzz(&bytes), name.starts_with("ok-"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in corpus::changes()) {
            fuzz(&corpus::changed("hide", &choice, &changes));
        }
    }
}
