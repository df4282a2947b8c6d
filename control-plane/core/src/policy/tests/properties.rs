//! What holds for every policy, request and body.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Body, Live, Policy, SessionFacts, decide, needs_live};
use super::support::{built_in, person, request, with_rules};
use crate::decision::{Effect, Group, Verdict};

/// Any JSON, made mostly of words that policy looks for.
fn body() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "metadata",
        "spec",
        "template",
        "containers",
        "initContainers",
        "ephemeralContainers",
        "securityContext",
        "privileged",
        "capabilities",
        "add",
        "volumes",
        "hostPath",
        "path",
        "secret",
        "projected",
        "sources",
        "env",
        "envFrom",
        "valueFrom",
        "secretKeyRef",
        "rules",
        "verbs",
        "resources",
        "roleRef",
        "subjects",
        "kind",
        "name",
        "labels",
        "annotations",
        "finalizers",
        "replicas",
        "type",
        "op",
        "value",
        "data",
        "stringData",
        "items",
        "jobTemplate",
        "nodeName",
        "tolerations",
        "key",
        "image",
        "/spec/containers/0",
        "adminAccess",
        "$patch",
        "dryRun",
        "All",
        "",
        "\u{202e}",
        "a",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 96, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()
            )),
        ]
    })
}

fn line() -> impl Strategy<Value = String> {
    let verb =
        prop::sample::select(vec!["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]);
    let rows: Vec<(&str, &str)> = crate::risk::table::all()
        .filter(|row| !row.resource.starts_with('/') && !row.resource.contains('*'))
        .map(|row| (row.group, row.resource))
        .collect();
    let place = prop::sample::select(vec![
        "-",
        "x",
        "default/",
        "default/x",
        "kube-system/x",
        "sallyport/x",
        "default/sallyport-x",
    ]);
    (verb, prop::sample::select(rows), place).prop_map(|(verb, (group, resource), place)| {
        let (main, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        format!("{verb} {main}{group}{subresource} {place}")
    })
}

fn content_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "",
    ])
}

fn rule() -> impl Strategy<Value = String> {
    let matches = prop::sample::select(vec![
        "{}",
        "{verbs: [create, patch]}",
        "{resources: [pods]}",
        "{resources: ['*']}",
        "{namespaces: [default]}",
        "{names: [x]}",
        "{apiGroups: [apps, '']}",
        "{identities: ['*/*/*']}",
    ]);
    let whens = prop::sample::select(vec![
        "",
        ", when: 'request.namespace == \"default\"'",
        ", when: 'object != null && has(object.spec)'",
        ", when: 'object != null && oldObject != null && object == oldObject'",
        ", when: 'session.operations > 1'",
    ]);
    let effects = prop::sample::select(vec![
        "effect: deny, budget: 1000000",
        "effect: hold, budget: 1000000",
        "risk: 45",
        "risk: +30",
        "risk: 100",
        "budget: 1",
    ]);
    (matches, whens, effects)
        .prop_map(|(matches, when, effect)| format!("- {{name: added, match: {matches}{when}, {effect}}}\n"))
}

fn check(verdict: &Verdict) {
    let explanation = verdict.explanation();
    assert!(explanation.risk <= 100);
    assert_eq!(verdict.terms().is_some(), explanation.effect == Effect::Hold);
    if let Some(terms) = verdict.terms() {
        assert!(terms.quorum >= 1 && !terms.groups.is_empty());
        assert_eq!(verdict.group(), Group::Approved);
    }
    if explanation.effect == Effect::Allow {
        assert!(explanation.risk < explanation.hold_at, "{explanation}");
        assert_ne!(verdict.group(), Group::Approved);
    }
    for part in &explanation.contributions {
        let text = part.to_string();
        assert!(text.chars().all(|sign| matches!(sign, ' '..='~' | '…')), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any body, any type, any live object: an answer, explained, and never an allowed one over the threshold.
    #[test]
    fn any_body_gets_an_answer(line in line(), body in body(), live in body(), content_type in content_type()) {
        let policy = policy();
        let request = request(&line).content_type(content_type).body(body);
        check(&request.decide(policy));
        check(&request.decide_live(policy, Live::Present(&live)));
        check(&request.decide_live(policy, Live::Absent));
        let (identity, session) = (person(), SessionFacts::default());
        let mut question = request.question(&identity, &session, Live::NotRead);
        needs_live(policy, &question);
        question.body = Body::Unknown;
        check(&decide(policy, &question, &|| false));
        // What nobody could read is no less strict than what could be read as nothing.
        question.body = Body::Unreadable;
        let unreadable = decide(policy, &question, &|| false);
        check(&unreadable);
        prop_assert_ne!(unreadable.explanation().effect, Effect::Allow);
    }

    /// A stricter rule, wherever it matches, never makes an answer less strict.
    #[test]
    fn a_stricter_rule_never_lowers_the_effect(line in line(), body in body(), rule in rule()) {
        let request = request(&line).body(body);
        let base = "- {name: bots, match: {resources: [serviceaccounts, pods]}, effect: allow, accept: [\"table/serviceaccounts:create\", \
                    modifier/pod-privileged], risk: +0}\n";
        let before = request.effect(&with_rules(base));
        let first = request.effect(&with_rules(&format!("{rule}{base}")));
        prop_assert!(first >= before, "{:?} before {:?}", first, before);
        // In the end only what is not a matter of order counts: denials, risks, budgets.
        let last = request.effect(&with_rules(&format!("{base}{rule}")));
        prop_assert!(last >= before, "{:?} before {:?}", last, before);
    }

    /// What a session spent, and running out of time, only ever make it stricter.
    #[test]
    fn time_and_budget_only_make_it_stricter(line in line(), body in body(), spent in 0_u64..500) {
        let policy = with_rules(
            "- {name: b, match: {}, budget: 200}
- {name: c, match: {verbs: [create]}, when: 'has(object.spec) && object.spec.containers.exists(c, c.image == \"x\")', effect: deny}
",
        );
        let request = request(&line).body(body);
        let identity = person();
        let fresh = SessionFacts::default();
        let used = SessionFacts { risk_spent: spent, ..SessionFacts::default() };
        let calm = decide(&policy, &request.question(&identity, &fresh, Live::NotRead), &|| false);
        let hurried = decide(&policy, &request.question(&identity, &fresh, Live::NotRead), &|| true);
        let poor = decide(&policy, &request.question(&identity, &used, Live::NotRead), &|| false);
        prop_assert!(hurried.explanation().effect >= calm.explanation().effect);
        prop_assert!(poor.explanation().effect >= calm.explanation().effect);
    }

    /// No text is a policy by accident, and none makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z:\\[\\]{}\\-\"'|>&*!#\n ,+0-9]{0,200}") {
        prop_assert!(Policy::parse(&text).is_err());
        let mistakes = Policy::parse(&format!("apiVersion: sallyport.dev/v1alpha1\nrules:\n- name: x\n  when: {text}\n"));
        prop_assert!(mistakes.is_err());
    }
}

fn policy() -> &'static Policy {
    static POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(built_in);
    &POLICY
}

#[test]
fn a_deep_body_is_no_stack_overflow() {
    let mut deep = json!({"containers": []});
    for _ in 0..500 {
        deep = json!({"a": [deep]});
    }
    let request = request("create widgets.example.com default/-").body(deep);
    assert!(request.effect(policy()) >= Effect::Hold);
}
