//! Entry point for a fuzzer, and for the replay of its corpus as a plain test.

use serde_json::json;
use shared::limits;

use super::{Body, Live, Policy, Question, SessionFacts, decide};
use crate::decision::Effect;
use crate::identity::Identity;
use crate::request_info::{RequestInfo, Verb};

/// `data` is a policy file. Nothing panics; a file is refused with mistakes, a bounded number of them, or it answers; and no file lets
/// through what is forbidden whatever policy says.
///
/// # Panics
/// If that does not hold: a bug.
#[doc(hidden)]
pub fn fuzz_policy(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(mistakes) => {
            assert!((1..=limits::POLICY_MISTAKES).contains(&mistakes.len()), "{} mistakes", mistakes.len());
            return false;
        }
    };
    let identity = Identity::of_agent("cluster", "ci", "runner");
    let object =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}});
    let session = SessionFacts::default();
    for (verb, namespace, resource, subresource) in [
        (Verb::Create, "default", "pods", ""),
        (Verb::Get, "default", "secrets", ""),
        (Verb::Create, "default", "pods", "exec"),
        (Verb::DeleteCollection, "default", "pods", ""),
        (Verb::Delete, "sallyport", "pods", ""),
    ] {
        let info = RequestInfo {
            is_resource_request: true,
            non_resource_path: String::new(),
            verb,
            api_group: String::new(),
            api_version: "v1".to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: if verb == Verb::DeleteCollection { String::new() } else { "x".to_owned() },
            proxy_path: String::new(),
        };
        let read = Body::Read { content_type: "application/json", value: &object };
        let body = if verb == Verb::Create { read } else { Body::Absent };
        let (query, live, cluster) = (&[][..], Live::Present(&object), "cluster");
        let question = Question { info: &info, identity: &identity, query, body, live, session: &session, cluster };
        let verdict = decide(&policy, &question, &|| false);
        let explained = verdict.explanation();
        assert_eq!(explained.effect == Effect::Hold, verdict.terms().is_some(), "a hold that waits for nobody");
        assert!(namespace != "sallyport" || explained.effect != Effect::Allow, "our own namespace is open");
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests as corpus;

    /// Files named `ok-…` must be taken, or the corpus has rotted and covers nothing.
    #[test]
    fn the_corpus() {
        let files = corpus::files("policy");
        assert!(files.len() >= 15, "{} files", files.len());
        for (name, data) in files {
            assert_eq!(fuzz_policy(&data), name.starts_with("ok-"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in corpus::changes()) {
            fuzz_policy(&corpus::changed("policy", &choice, &changes));
        }
    }
}
