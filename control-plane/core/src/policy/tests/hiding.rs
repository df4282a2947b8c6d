//! What rules hide, and from which requests.

use serde_json::json;

use super::super::{Live, Policy};
use super::support::{request, with_rules};
use crate::decision::Effect;
use crate::hide::HideRule;

const RULES: &str = "- name: theirs
  match: {apiGroups: [''], resources: [pods, namespaces]}
  hide:
  - {namespaces: [kube-system, 'team-*']}
  - {names: ['db-*']}
- name: labels
  match: {identities: ['prod/ci/*'], apiGroups: ['*'], resources: ['*']}
  hide: [{labels: [tier=back]}]
- {name: reads, match: {verbs: [get, list, watch], apiGroups: [''], resources: [pods]}, effect: allow, hide: [{names: [x]}]}
";

fn hidden(policy: &Policy, line: &str) -> Vec<String> {
    request(line).decide(policy).hide().iter().map(HideRule::text).collect()
}

#[test]
fn what_all_matching_rules_hide_is_hidden() {
    let policy = &with_rules(RULES);
    let (labels, names, namespaces) = ("labels tier=back", "names db-*", "namespaces kube-system or team-*");
    assert_eq!(hidden(policy, "list pods -"), [labels, names, "names x", namespaces]);
    assert_eq!(hidden(policy, "list pods default/"), [labels, names, "names x"]);
    assert_eq!(hidden(policy, "watch pods team-a/"), [labels, names, "names x", namespaces]);
    assert_eq!(hidden(policy, "get pods default/y"), [labels]);
    assert_eq!(hidden(policy, "delete pods default/y"), [labels]);
    assert_eq!(hidden(policy, "get deployments.apps default/db-1"), [labels]);
    assert!(hidden(policy, "get /apis").is_empty());
    let verdict = request("list pods default/").decide(policy);
    assert_eq!((verdict.explanation().rule.as_str(), verdict.explanation().effect), ("reads", Effect::Allow));
    let lines = verdict.explanation().lines().join("\n");
    assert!(lines.contains("note: hidden from this job: names db-*"), "{lines}");
}

/// The same whether or not the object is there, for nobody looks.
#[test]
fn what_is_hidden_by_name_is_not_changed() {
    let policy = &with_rules(RULES);
    let named = |name: &str| json!({"metadata": {"name": name}});
    for (line, body, denied) in [
        ("delete pods default/db-1", None, true),
        ("delete pods default/web", None, false),
        ("delete pods team-a/web", None, true),
        ("patch pods/status default/db-1", Some(json!({})), true),
        ("create pods default/-", Some(named("db-1")), true),
        ("create pods default/-", Some(named("web")), false),
        ("create pods team-a/-", Some(json!({"metadata": {"generateName": "a"}})), true),
        ("create namespaces -", Some(named("team-b")), true),
        ("deletecollection pods default/", None, true),
        ("deletecollection pods team-a/", None, true),
        // Read, it is not there: the agent says so.
        ("get pods default/db-1", None, false),
        ("get pods/log default/db-1", None, false),
        ("list pods team-a/", None, false),
    ] {
        let mut request = request(line);
        request.body = body;
        let verdict = request.decide(policy);
        let explanation = verdict.explanation();
        assert_eq!(explanation.rule == "default/hidden", denied, "{line}: {explanation}");
        assert!(!denied || explanation.effect == Effect::Deny, "{line}");
    }
}

#[test]
fn an_object_that_was_read_is_judged_by_its_labels() {
    let policy = &with_rules(RULES);
    let verdict = request("delete pods default/web").decide_live(policy, Live::Absent);
    let info = request("delete pods default/web").info;
    for (object, expected) in [
        (json!({"metadata": {"name": "web", "labels": {"tier": "back"}}}), true),
        (json!({"metadata": {"name": "web", "labels": {"tier": "front"}}}), false),
        (json!({"metadata": {"name": "web"}}), false),
        (json!({"metadata": {"name": "web", "labels": "?"}}), true),
    ] {
        assert_eq!(verdict.hides(&info, &object), expected, "{object}");
    }
    assert!(!request("get /apis").decide(policy).hides(&info, &json!({})));
}

/// A condition that nobody can answer hides, and so does a rule about a part of what a list shows.
#[test]
fn what_may_be_hidden_is() {
    let policy = &with_rules(
        "- {name: broken, match: {apiGroups: [''], resources: [pods]}, when: \"identity.claims.nothing == 'x'\", hide: [{labels: [a]}]}\n\
         - {name: part, match: {apiGroups: [''], resources: [pods], namespaces: [b]}, hide: [{labels: [c]}]}\n\
         - {name: other, match: {apiGroups: [''], resources: [services]}, hide: [{labels: [d]}]}\n",
    );
    assert_eq!(hidden(policy, "list pods -"), ["labels a", "labels c"]);
    assert_eq!(hidden(policy, "list pods a/"), ["labels a"]);
    assert_eq!(request("list pods -").effect(policy), Effect::Hold);
}

#[test]
fn mistakes_in_what_is_hidden() {
    let found = |rule: &str| {
        let text =
            format!("apiVersion: sallyport.dev/v1alpha1\nrules:\n- name: x\n  match: {{resources: [pods]}}\n{rule}");
        let mistakes = Policy::parse(&text).map_or_else(|mistakes| mistakes, |_| Vec::new());
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (rule, expected) in [
        ("  hide: [{names: ['a?']}]\n", "5:19: rules[0].hide[0].names[0]: `?` has no meaning in patterns"),
        (
            "  hide: [{labels: ['tier = ']}, {labels: [tier>1]}]\n",
            "5:46: rules[0].hide[1].labels[0]: \"tier>1\" is no label",
        ),
        (
            "  hide: [{labels: ['a=b,c=d']}]\n",
            "5:21: rules[0].hide[0].labels[0]: \"b,c=d\" is no value of a label; one label in each",
        ),
        ("  hide: [{labels: [a], names: [b]}]\n", "5:10: rules[0].hide[0]: labels stand alone"),
        ("  hide: [{}]\n", "5:10: rules[0].hide[0]: hides nothing"),
        (
            "  hide: [{name: [b]}]\n",
            "5:11: rules[0].hide[0]: there is no field \"name\" here, only namespaces, names, labels; did you mean",
        ),
        ("  hide: []\n", "5:9: rules[0].hide: an empty list"),
        ("  hide: [{names: [b]}]\n  effect: deny\n", "5:9: rules[0].hide: what is denied shows nothing"),
        (
            "  hide: [{names: [b]}]\n  when: oldObject != null && oldObject.metadata.name == 'x'\n",
            "5:9: rules[0].hide: what is hidden can't depend on oldObject",
        ),
    ] {
        let found = found(rule);
        assert!(found.contains(expected), "{rule}: expected {expected}\nfound {found}");
    }
    assert_eq!(found("  hide: [{labels: ['!a', 'b in (c, d)']}, {namespaces: ['*-x'], names: [y]}]\n"), "");
    let paths = "apiVersion: sallyport.dev/v1alpha1\nrules:\n- {name: x, match: {nonResourceURLs: [/metrics]}, effect: allow, hide: [{names: [a]}]}\n";
    assert!(Policy::parse(paths).unwrap_err()[0].message.contains("only answers about resources"));
    let many = (0..65).map(|index| format!("n{index}")).collect::<Vec<_>>().join(", ");
    assert!(found(&format!("  hide: [{{names: [{many}]}}]\n")).contains("more than 64 patterns"));
    let long = "x".repeat(4097);
    assert!(found(&format!("  hide: [{{names: [{long}]}}]\n")).contains("or 4096 bytes"));
}
