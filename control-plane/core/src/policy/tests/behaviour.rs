//! How rules, thresholds, budgets, live objects and people work together.

use serde_json::json;

use super::super::{Access, AccessQuestion, Live, Policy, SessionFacts, decide, needs_live};
use super::support::{bare, built_in, nobody, person, request, with_rules};
use crate::decision::{Effect, Group, Weight};

#[test]
fn the_seed_cases_are_held() {
    let policy = built_in();
    for line in [
        "create serviceaccounts default/bot",
        "patch rolebindings.rbac.authorization.k8s.io default/x",
        "delete rolebindings.rbac.authorization.k8s.io default/x",
        "update rolebindings.rbac.authorization.k8s.io default/x",
    ] {
        let verdict = request(line).body(json!({"metadata": {"name": "x"}})).decide(&policy);
        assert_eq!(verdict.explanation().effect, Effect::Hold, "{line}: {}", verdict.explanation());
        assert!(verdict.explanation().rule.starts_with("default/"));
        assert_eq!(verdict.group(), Group::Approved);
    }
}

#[test]
fn ordinary_work_goes_through() {
    let policy = built_in();
    let pods = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example/web:1.4"}]}}}});
    for (line, body, group) in [
        ("get pods default/web", None, Group::Read),
        ("get secrets default/db", None, Group::Read),
        ("list secrets default/", None, Group::Read),
        ("watch deployments.apps default/", None, Group::Read),
        ("get /apis", None, Group::Read),
        ("create configmaps default/-", Some(json!({"metadata": {"name": "x"}, "data": {}})), Group::Write),
        ("create deployments.apps default/-", Some(pods), Group::Write),
        ("create services default/-", Some(json!({"spec": {"type": "ClusterIP"}})), Group::Write),
        ("delete pods default/web", None, Group::Write),
        ("update deployments.apps/scale default/web", Some(json!({"spec": {"replicas": 3}})), Group::Write),
        (
            "create selfsubjectaccessreviews.authorization.k8s.io -",
            Some(json!({"kind": "SelfSubjectAccessReview"})),
            Group::Read,
        ),
        ("create serviceaccounts default/-?dryRun=All", Some(json!({})), Group::DryRun),
        ("delete services default/x?dryRun=All", None, Group::DryRun),
        ("create secrets default/-?dryRun=All", Some(json!({})), Group::Write),
    ] {
        let mut request = request(line);
        request.body = body;
        let verdict = request.decide(&policy);
        assert_eq!(verdict.explanation().effect, Effect::Allow, "{line}: {}", verdict.explanation());
        assert_eq!(verdict.group(), group, "{line}");
        assert_eq!(verdict.terms(), None);
    }
}

/// What nobody described is held, also to be read: the role sallyport:read can't name it. An operator who knows it says so.
#[test]
fn custom_resources_are_read_where_the_operator_says_so() {
    let list = request("list widgets.example.com default/");
    assert_eq!(list.effect(&built_in()), Effect::Hold);
    let policy = with_rules(
        "
- name: widgets
  match: {apiGroups: [example.com], resources: [widgets], verbs: [get, list, watch]}
  effect: allow
  accept: ['table/custom:read']
",
    );
    let verdict = list.decide(&policy);
    assert_eq!((verdict.explanation().effect, verdict.group()), (Effect::Allow, Group::Read));
    assert_eq!(request("get widgets.example.com/console default/x").effect(&policy), Effect::Hold);
    assert_eq!(request("get gadgets.example.com default/x").effect(&policy), Effect::Hold);
}

/// Whoever never had the values of a Secret can't make it again.
#[test]
fn a_deletion_of_what_was_seen_masked_is_held() {
    let policy = |accept: &str| {
        let text = format!(
            "apiVersion: sallyport.dev/v1alpha1\nthresholds: {{holdAt: 99}}\nrules:\n\
             - {{name: tidy, match: {{resources: [secrets], verbs: [delete]}}, effect: allow{accept}}}\n"
        );
        Policy::parse(&text).unwrap()
    };
    let (plain, accepts) = (policy(""), policy(", accept: [modifier/secret-seen-masked]"));
    let delete = request("delete secrets default/db");
    let verdict = |policy: &Policy, seen: Option<&str>| {
        let mut session = SessionFacts::default();
        if let Some(seen) = seen {
            session.seen.note(&request(seen).info);
        }
        decide(policy, &delete.question(&person(), &session, Live::NotRead), &|| false)
    };
    for unseen in
        [None, Some("get secrets default/other"), Some("create secrets default/db"), Some("list secrets other/")]
    {
        assert_eq!(verdict(&plain, unseen).explanation().effect, Effect::Allow, "{unseen:?}");
    }
    for seen in ["get secrets default/db", "list secrets default/", "watch secrets", "patch secrets default/db"] {
        let held = verdict(&plain, Some(seen));
        assert_eq!(held.explanation().effect, Effect::Hold, "{seen}");
        assert_eq!(held.explanation().rule, "default/secret-seen");
        assert!(held.explanation().notes.iter().any(|note| note.contains("never had the values")));
        assert_eq!(verdict(&accepts, Some(seen)).explanation().effect, Effect::Allow, "{seen}");
    }
}

#[test]
fn no_rule_is_a_denial() {
    let policy = Policy::parse("apiVersion: sallyport.dev/v1alpha1\ndefaultRules: false\n").unwrap();
    let verdict = request("get pods default/web").decide(&policy);
    assert_eq!(verdict.explanation().effect, Effect::Deny);
    assert_eq!(verdict.explanation().rule, "default/no-rule");
    assert_eq!(request("get /version").effect(&policy), Effect::Deny);
}

#[test]
fn a_denying_rule_beats_all_and_the_first_other_one_settles() {
    let policy = with_rules(
        "- {name: one, match: {resources: [configmaps], namespaces: [a, b, c]}, effect: hold}
- {name: two, match: {resources: [configmaps], namespaces: [b]}, effect: deny}
",
    );
    for (namespace, effect, rule) in
        [("a", Effect::Hold, "one"), ("b", Effect::Deny, "two"), ("d", Effect::Allow, "default/read")]
    {
        let verdict = request(&format!("get configmaps {namespace}/x")).decide(&policy);
        assert_eq!((verdict.explanation().effect, verdict.explanation().rule.as_str()), (effect, rule));
    }
}

#[test]
fn an_allowing_rule_gets_under_the_threshold_only_by_the_names_it_accepts() {
    let rules = |accept: &str| {
        with_rules(&format!(
            "- {{name: bots, match: {{resources: [serviceaccounts], verbs: [create], namespaces: [ci]}}, effect: allow{accept}}}\n"
        ))
    };
    let create = request("create serviceaccounts ci/-").body(json!({"metadata": {"name": "bot"}}));
    assert_eq!(create.effect(&rules("")), Effect::Hold);
    let policy = rules(", accept: [\"table/serviceaccounts:create\"]");
    let verdict = create.decide(&policy);
    assert_eq!(verdict.explanation().effect, Effect::Allow);
    assert!(verdict.explanation().contributions.iter().any(|part| part.weight == Weight::Accepted));
    // What it doesn't name still counts, and elsewhere nothing changed.
    let unreadable = {
        let mut request = request("create serviceaccounts ci/-");
        request.unreadable = true;
        request
    };
    assert_eq!(unreadable.effect(&policy), Effect::Hold);
    assert_eq!(request("create serviceaccounts default/-").body(json!({})).effect(&policy), Effect::Hold);
}

#[test]
fn nothing_allows_what_is_forbidden() {
    let policy = with_rules("- {name: all, match: {}, effect: allow}\n");
    for (line, rule) in [
        ("create pods/exec default/web", "default/streams"),
        ("get nodes/proxy n1", "default/streams"),
        ("delete pods sallyport/agent", "default/protect-sallyport"),
        ("get secrets sallyport/key", "default/protect-sallyport"),
        ("delete namespaces sallyport", "default/protect-sallyport"),
        (
            "delete mutatingwebhookconfigurations.admissionregistration.k8s.io sallyport-injector",
            "default/protect-sallyport",
        ),
        (
            "deletecollection validatingwebhookconfigurations.admissionregistration.k8s.io -",
            "default/protect-sallyport",
        ),
        ("delete clusterroles.rbac.authorization.k8s.io sallyport:read", "default/protect-sallyport"),
        ("delete sessions.sallyport.dev default/x", "default/protect-sallyport"),
    ] {
        let verdict = request(line).decide(&policy);
        assert_eq!(verdict.explanation().effect, Effect::Deny, "{line}");
        assert_eq!(verdict.explanation().rule, rule, "{line}");
        assert!(!verdict.explanation().notes.is_empty(), "{line}");
    }
    let binding = json!({"subjects": [{"kind": "Group", "name": "sallyport:write"}], "roleRef": {"name": "view"}});
    let account = json!({"subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "sallyport"}]});
    for body in [binding, account, json!({"subjects": [{"name": "system:serviceaccounts:sallyport"}]})] {
        let verdict = request("create rolebindings.rbac.authorization.k8s.io default/-").body(body).decide(&policy);
        assert_eq!(verdict.explanation().rule, "default/protect-sallyport");
    }
    let label = json!({"metadata": {"labels": {"sallyport.dev/inject": null}}});
    let verdict = request("patch namespaces default").body(label).decide(&policy);
    assert_eq!(verdict.explanation().rule, "default/protect-sallyport");
}

#[test]
fn stricter_rules_take_what_a_request_leaves_open_and_allowing_ones_do_not() {
    let deny = with_rules("- {name: keep, match: {resources: [configmaps], names: [important]}, effect: deny}\n");
    for (line, effect) in [
        ("get configmaps default/important", Effect::Deny),
        ("get configmaps default/other", Effect::Allow),
        ("list configmaps default/", Effect::Deny),
        ("deletecollection configmaps default/", Effect::Deny),
    ] {
        assert_eq!(request(line).effect(&deny), effect, "{line}");
    }
    let create = request("create configmaps default/-");
    assert_eq!(create.clone().body(json!({"metadata": {"name": "important"}})).effect(&deny), Effect::Deny);
    assert_eq!(create.clone().body(json!({"metadata": {"name": "other"}})).effect(&deny), Effect::Allow);
    assert_eq!(create.body(json!({"metadata": {"generateName": "imp"}})).effect(&deny), Effect::Deny);

    let namespaces = with_rules("- {name: keep, match: {namespaces: [vault]}, effect: deny}\n");
    for (line, effect) in [
        ("list pods -", Effect::Deny),
        ("list pods vault/", Effect::Deny),
        ("list pods other/", Effect::Allow),
        ("list nodes -", Effect::Allow),
        ("list namespaces -", Effect::Deny),
        ("get namespaces vault", Effect::Deny),
    ] {
        assert_eq!(request(line).effect(&namespaces), effect, "{line}");
    }

    let allow = Policy::parse(
        "apiVersion: sallyport.dev/v1alpha1\ndefaultRules: false\nrules:\n\
         - {name: some, match: {resources: [configmaps], namespaces: [a], names: [x]}, effect: allow}\n",
    )
    .unwrap();
    for (line, effect) in [
        ("get configmaps a/x", Effect::Allow),
        ("list configmaps a/", Effect::Deny),
        ("list configmaps -", Effect::Deny),
        ("get configmaps b/x", Effect::Deny),
    ] {
        assert_eq!(request(line).effect(&allow), effect, "{line}");
    }
}

#[test]
fn four_eyes_needs_two_people_where_the_asker_could_be_one() {
    let policy = built_in();
    let excused = Policy::parse(
        "apiVersion: sallyport.dev/v1alpha1\nnoPersonBehind:\n- serviceAccount: prod/ci/renovate\n\
         - issuer: https://token.actions.example\n",
    )
    .unwrap();
    let create = request("create serviceaccounts default/-").body(json!({}));
    let quorum = |policy: &Policy, identity| {
        let session = SessionFacts::default();
        let verdict = decide(policy, &create.question(&identity, &session, Live::NotRead), &|| false);
        verdict.terms().unwrap().quorum
    };
    assert_eq!(quorum(&policy, person()), 1);
    assert_eq!(quorum(&policy, nobody()), 2);
    assert_eq!(quorum(&policy, bare("builder")), 2);
    assert_eq!(quorum(&policy, bare("renovate")), 2);
    assert_eq!(quorum(&excused, nobody()), 1);
    assert_eq!(quorum(&excused, bare("renovate")), 1);
    assert_eq!(quorum(&excused, bare("builder")), 2);
    // The ServiceAccount is excused, the job that somebody unnamed started on it is not.
    let only_account =
        Policy::parse("apiVersion: sallyport.dev/v1alpha1\nnoPersonBehind:\n- serviceAccount: prod/ci/builder\n")
            .unwrap();
    assert_eq!(quorum(&only_account, bare("builder")), 1);
    assert_eq!(quorum(&only_account, nobody()), 2);
    // From 90 on two people, whoever asks.
    let secret = request("create secrets default/-").body(json!({"type": "kubernetes.io/service-account-token"}));
    assert_eq!(secret.decide(&policy).terms().unwrap().quorum, 2);
}

#[test]
fn approvers_come_from_the_rule_that_holds() {
    let policy = with_rules(
        "- {name: a, match: {resources: [pods], verbs: [create]}, risk: +10, approvers: {quorum: 3}}
- {name: b, match: {resources: [pods]}, effect: hold, approvers: {groups: [platform], quorum: 2}, wait: 2h}
",
    );
    let verdict = request("create pods default/-").body(json!({"spec": {}})).decide(&policy);
    let terms = verdict.terms().unwrap();
    assert_eq!(terms.groups.iter().collect::<Vec<_>>(), ["platform"]);
    assert_eq!(terms.quorum, 3);
    assert_eq!(terms.wait.as_secs(), 7200);
    assert_eq!(verdict.explanation().risk, 40);
}

#[test]
fn a_collection_that_would_be_held_is_denied_with_help() {
    let verdict = request("deletecollection pods default/").decide(&built_in());
    assert_eq!(verdict.explanation().effect, Effect::Deny);
    assert_eq!(verdict.explanation().rule, "default/delete-by-name");
    assert!(verdict.explanation().notes[0].contains("delete by name"));
}

#[test]
fn a_broken_condition_holds_or_denies_and_never_allows() {
    let rule = |effect: &str, when: &str| {
        with_rules(&format!(
            "- {{name: c, match: {{resources: [configmaps], verbs: [create]}}, when: {when:?}, effect: {effect}}}\n"
        ))
    };
    let create = request("create configmaps default/-").body(json!({"data": {}}));
    for when in ["object.spec.replicas > 1", "object.data.a.b.c == 1", "1 / size(object.data) > 0"] {
        for (effect, expected) in [("allow", Effect::Hold), ("hold", Effect::Hold), ("deny", Effect::Deny)] {
            // A division by zero is found when the policy is loaded, unless the object could have it otherwise.
            if when.starts_with('1') {
                continue;
            }
            let verdict = create.decide(&rule(effect, when));
            assert_eq!(verdict.explanation().effect, expected, "{effect} {when}: {}", verdict.explanation());
            assert!(verdict.explanation().notes.iter().any(|note| note.contains("condition of rule c")));
        }
    }
    // An absorbed error is no error.
    assert_eq!(create.effect(&rule("deny", "request.verb == \"get\" && object.spec.x == 1")), Effect::Allow);
    // What the condition needs and nobody could read.
    let old = with_rules(
        "- {name: o, match: {resources: [configmaps], verbs: [update]}, when: oldObject.data.a == 'b', effect: allow}\n",
    );
    let update = request("update configmaps default/x").body(json!({"data": {}}));
    assert_eq!(update.effect(&old), Effect::Hold);
    assert!(update.decide(&old).explanation().notes[0].contains("live object"));
    let live = json!({"data": {"a": "b"}});
    assert_eq!(update.decide_live(&old, Live::Present(&live)).explanation().effect, Effect::Allow);
    let mut unreadable = request("create configmaps default/-");
    unreadable.unreadable = true;
    assert_eq!(unreadable.effect(&rule("allow", "object.data.a == 'x'")), Effect::Hold);
    assert_eq!(unreadable.effect(&rule("deny", "object.data.a == 'x'")), Effect::Deny);
}

#[test]
fn a_condition_out_of_time_holds() {
    let policy = with_rules(
        "- {name: slow, match: {resources: [configmaps], verbs: [create]}, when: \"object.list.exists(a, a == 0)\", effect: deny}\n",
    );
    let create = request("create configmaps default/-").body(json!({"list": [1, 2, 3]}));
    let (identity, session) = (person(), SessionFacts::default());
    let question = create.question(&identity, &session, Live::NotRead);
    assert_eq!(decide(&policy, &question, &|| false).explanation().effect, Effect::Allow);
    let verdict = decide(&policy, &question, &|| true);
    assert_eq!(verdict.explanation().effect, Effect::Deny);
    assert!(verdict.explanation().notes.iter().any(|note| note.contains("took too long")), "{}", verdict.explanation());
    let long = request("create configmaps default/-").body(json!({"list": vec![1; 30_000]}));
    assert_eq!(long.effect(&policy), Effect::Deny);
}

#[test]
fn a_budget_holds_when_it_is_spent() {
    let policy = with_rules("- {name: small, match: {identities: [prod/ci/*]}, budget: 100}\n");
    let create = request("create configmaps default/-").body(json!({}));
    let identity = person();
    let effect = |risk_spent, request: &super::support::Request| {
        let session = SessionFacts { risk_spent, ..SessionFacts::default() };
        let verdict = decide(&policy, &request.question(&identity, &session, Live::NotRead), &|| false);
        (verdict.explanation().effect, verdict.explanation().rule.clone(), verdict.cost())
    };
    assert_eq!(effect(80, &create), (Effect::Allow, "default/write".to_owned(), 20));
    assert_eq!(effect(81, &create), (Effect::Hold, "small".to_owned(), 20));
    assert_eq!(effect(1000, &request("get pods default/x")), (Effect::Allow, "default/read".to_owned(), 0));
    assert_eq!(effect(90, &request("get secrets default/x")).0, Effect::Hold);
}

#[test]
fn the_live_object_is_asked_for_when_it_matters() {
    let policy = built_in();
    let (identity, session) = (person(), SessionFacts::default());
    let asks = |policy: &Policy, request: &super::support::Request| {
        needs_live(policy, &request.question(&identity, &session, Live::NotRead))
    };
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}});
    let patch = request("patch deployments.apps default/web").body(image.clone());
    assert!(asks(&policy, &patch));
    assert!(asks(&policy, &request("delete services default/web")));
    assert!(!asks(&policy, &request("get pods default/web")));
    assert!(!asks(&policy, &request("create serviceaccounts default/-").body(json!({}))));
    assert!(!asks(&policy, &request("patch configmaps default/x").body(json!({}))));
    let condition = with_rules(
        "- {name: o, match: {resources: [configmaps], verbs: [patch]}, when: \"has(oldObject.immutable)\", effect: deny}\n",
    );
    assert!(asks(&condition, &request("patch configmaps default/x").body(json!({}))));
    // And what it says decides: the same image is no change.
    assert_eq!(patch.effect(&policy), Effect::Hold);
    assert_eq!(patch.decide_live(&policy, Live::Present(&image)).explanation().effect, Effect::Allow);
    let other = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}}});
    assert_eq!(patch.decide_live(&policy, Live::Present(&other)).explanation().effect, Effect::Hold);
}

#[test]
fn rules_choose_groups_and_add_risk() {
    let policy = with_rules(
        "- {name: m, match: {resources: [configmaps]}, risk: +5}
- {name: g, match: {resources: [configmaps], verbs: [create]}, effect: allow, impersonate: \"sallyport:read\"}
",
    );
    let verdict = request("create configmaps default/-").body(json!({})).decide(&policy);
    assert_eq!(verdict.group(), Group::Read);
    assert_eq!(verdict.explanation().risk, 25);
    assert!(verdict.explanation().contributions.iter().any(|part| part.source == "rule/m"));
}

#[test]
fn conditions_see_identity_session_query_and_no_secret_values() {
    let policy = with_rules(
        "- name: all
  match: {resources: [secrets], verbs: [create]}
  when: |
    identity.claims.repository_id == '42' && identity.person == '7001' && identity.namespace == 'ci' &&
    session.did.exists(d, d == 'create serviceaccounts') && session.operations < 10 &&
    request.cluster == 'prod' && request.query.fieldManager[0].matches('^k[a-z]+l$') &&
    object.data.password == '(masked)' && !request.dryRun
  effect: deny
",
    );
    let create =
        request("create secrets default/-?fieldManager=kubectl").body(json!({"data": {"password": "aHVudGVyMg=="}}));
    let identity = person();
    let session = SessionFacts { did: ["create serviceaccounts".to_owned()].into(), ..SessionFacts::default() };
    let verdict = decide(&policy, &create.question(&identity, &session, Live::NotRead), &|| false);
    assert_eq!(verdict.explanation().effect, Effect::Deny, "{}", verdict.explanation());
    let fresh = SessionFacts::default();
    let verdict = decide(&policy, &create.question(&identity, &fresh, Live::NotRead), &|| false);
    assert_eq!(verdict.explanation().effect, Effect::Allow, "{}", verdict.explanation());
}

#[test]
fn can_i_is_answered_from_policy() {
    let policy = built_in();
    let (identity, session) = (person(), SessionFacts::default());
    let ask = |verb: &str, group: &str, resource: &str| {
        let asked = AccessQuestion { verb, group, resource, namespace: "default", ..AccessQuestion::default() };
        policy.access_review(&asked, &identity, "prod", &session, &|| false).access
    };
    assert_eq!(ask("get", "", "pods"), Access::Yes);
    assert_eq!(ask("create", "", "configmaps"), Access::Yes);
    assert_eq!(ask("create", "", "serviceaccounts"), Access::YesAfterApproval);
    assert_eq!(ask("patch", "rbac.authorization.k8s.io", "rolebindings"), Access::YesAfterApproval);
    assert_eq!(ask("create", "", "pods/exec"), Access::No);
    assert_eq!(ask("deletecollection", "", "pods"), Access::No);
    for verb in ["*", "impersonate", "escalate", "bind", "GET", ""] {
        assert_eq!(ask(verb, "", "pods"), Access::No, "{verb}");
    }
    assert_eq!(ask("get", "*", "pods"), Access::No);
    assert_eq!(ask("get", "", "*"), Access::No);
    let path = AccessQuestion { verb: "get", path: Some("/version"), ..AccessQuestion::default() };
    assert_eq!(policy.access_review(&path, &identity, "prod", &session, &|| false).access, Access::Yes);
    let objects = with_rules(
        "- {name: o, match: {resources: [configmaps], verbs: [create]}, when: \"has(object.data)\", effect: deny}\n",
    );
    let asked =
        AccessQuestion { verb: "create", resource: "configmaps", namespace: "default", ..AccessQuestion::default() };
    let answer = objects.access_review(&asked, &identity, "prod", &session, &|| false);
    assert_eq!(answer.access, Access::Yes);
    assert!(answer.explanation.notes.iter().any(|note| note.contains("depends on the object")));
}

#[test]
fn an_explanation_is_read_from_the_riskiest_fact_down() {
    let body = json!({"spec": {"containers": [
        {"name": "a\u{202e}b", "image": "x", "securityContext": {"privileged": true}}], "nodeName": "n1"}});
    let verdict = request("create pods kube-system/-").body(body).decide(&built_in());
    let text = verdict.explanation().to_string();
    assert_eq!(
        text,
        "held until people approve by rule default/hold-at, risk 99 of 100
  at least 90: container \"a\\u{202e}b\" is privileged (modifier/pod-privileged)
  at least 30: runs code (table/pods:create)
  +20: chooses the node \"n1\" itself (modifier/pod-node)
  +10: in a namespace of the control plane (modifier/system-namespace)
  +3: image \"x\" has no fixed tag (modifier/image-unpinned)
  note: from risk 90 on, two people"
    );
}
