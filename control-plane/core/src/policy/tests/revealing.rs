//! Which values a rule lets people disclose, and what a rule may not say of that.

use super::super::{Live, Mistake, Policy};
use super::support::{request, with_rules};
use crate::decision::Effect;

const RULE: &str = "- name: database
  match: {apiGroups: [''], resources: [secrets], verbs: [get], namespaces: [shop], names: [db]}
  effect: hold
  reveal: [password, tls.crt]
";

#[test]
fn only_the_read_that_the_rule_settles_shows_values() {
    let policy = &with_rules(RULE);
    let verdict = request("get secrets shop/db").decide(policy);
    assert_eq!(verdict.explanation().effect, Effect::Hold);
    assert_eq!(verdict.reveal().iter().collect::<Vec<_>>(), ["password", "tls.crt"]);
    let lines = verdict.explanation().lines().join("\n");
    assert!(lines.contains("REAL VALUES of data[\"password\"], data[\"tls.crt\"]"), "{lines}");
    assert!(request("get secrets shop/db").needs_live(policy), "people approve one state of it");
    for line in [
        "get secrets shop/other",
        "get secrets dev/db",
        "list secrets shop/",
        "watch secrets shop/db",
        "delete secrets shop/db",
        "get configmaps shop/db",
        "get /api",
    ] {
        assert!(request(line).decide(policy).reveal().is_empty(), "{line}");
    }
    for line in ["get secrets shop/other", "list secrets shop/", "get pods shop/db"] {
        assert!(!request(line).needs_live(policy), "{line}");
    }
}

#[test]
fn a_stricter_word_shows_nothing() {
    let denied =
        "- {name: no, match: {apiGroups: [''], resources: [secrets], identities: ['prod/ci/*']}, effect: deny}\n";
    let earlier =
        "- {name: first, match: {apiGroups: [''], resources: [secrets], identities: ['prod/ci/*']}, effect: hold}\n";
    for more in [denied, earlier] {
        let policy = &with_rules(&[more, RULE].concat());
        assert!(request("get secrets shop/db").decide(policy).reveal().is_empty(), "{more}");
    }
    // Whatever is raised by thresholds alone was not said by a rule that reveals.
    let policy = &with_rules(&RULE.replace("effect: hold\n", "effect: hold\n  risk: 100\n"));
    let verdict = request("get secrets shop/db").decide_live(policy, Live::NotRead);
    assert_eq!((verdict.explanation().effect, verdict.reveal().len()), (Effect::Deny, 0));
}

#[test]
fn what_a_rule_may_not_say() {
    for (from, to, says) in [
        ("effect: hold", "effect: allow", "only after people have said yes"),
        ("effect: hold", "risk: 50", "only after people have said yes"),
        ("verbs: [get]", "verbs: [get, list]", "only of one object at a time"),
        ("verbs: [get]", "verbs: [watch]", "lists and watches stay masked"),
        (" verbs: [get],", "", "only of one object at a time"),
        ("resources: [secrets]", "resources: ['*']", "only of one object at a time"),
        ("resources: [secrets]", "resources: [secrets, configmaps]", "only of one object at a time"),
        ("resources: [secrets]", "resources: [pods/log]", "only of one object at a time"),
        ("resources: [secrets]", "resources: [configmaps]", "no entry of `mask` names it there"),
        ("apiGroups: ['']", "apiGroups: ['*']", "only of one object at a time"),
        ("password", "'*'", "is no key of a Secret"),
        ("password", "data.password/x", "is no key of a Secret"),
        ("[password, tls.crt]", "[]", "names nothing to show"),
    ] {
        let rule = RULE.replacen(from, to, 1);
        let text = format!("apiVersion: sallyport.dev/v1alpha1\nkind: Policy\nrules:\n{rule}");
        let mistakes = Policy::parse(&text).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.to_string().contains(says)), "{to}: {mistakes:?}");
    }
}

const FIELDS: &str = "- name: users
  match: {apiGroups: [example.com], resources: [logins], verbs: [get]}
  effect: hold
  reveal: ['spec.users[name=ann].token', spec.admin.password]
";
const MASK: &str = "mask:
- {apiGroups: [example.com, ''], resources: [logins, configmaps], fields: ['spec.users[*].token', 'spec.admin']}
";

fn with_mask(rule: &str) -> Result<Policy, Vec<Mistake>> {
    Policy::parse(&format!("apiVersion: sallyport.dev/v1alpha1\nkind: Policy\n{MASK}rules:\n{rule}"))
}

#[test]
fn fields_that_are_masked_can_be_shown() {
    let policy = &with_mask(FIELDS).unwrap();
    let verdict = request("get logins.example.com shop/l").decide(policy);
    let names = ["spec.admin.password", "spec.users[name=ann].token"];
    assert_eq!(verdict.reveal().iter().collect::<Vec<_>>(), names);
    let lines = verdict.explanation().lines().join("\n");
    assert!(lines.contains("REAL VALUES of spec.admin.password, spec.users[name=ann].token of the object"), "{lines}");
    for line in ["list logins.example.com shop/", "get configmaps shop/l", "get secrets shop/l"] {
        assert!(request(line).decide(policy).reveal().is_empty(), "{line}");
    }
}

#[test]
fn fields_that_are_not_masked_are_not_shown() {
    for (name, says) in [
        ("spec.users[*].token", None),
        ("spec.users", Some("no entry of `mask`")),
        ("spec.users[*].name", Some("no entry of `mask`")),
        ("spec.users[0].token", Some("in brackets stand")),
        ("spec.users[name=a*].token", Some("named whole")),
        ("spec.*", Some("named whole")),
        ("spec..a", Some("empty name")),
        ("", Some("names no field")),
    ] {
        let rule = FIELDS.replace("'spec.users[name=ann].token'", &format!("'{name}'"));
        let said = with_mask(&rule).err().into_iter().flatten().map(|mistake| mistake.to_string()).collect::<String>();
        assert_eq!(said.is_empty(), says.is_none(), "{name}: {said}");
        assert!(said.contains(says.unwrap_or_default()), "{name}: {said}");
    }
}
