//! The policy file: every mistake at once, each with its place.

use super::super::Policy;
use super::support::{bare, built_in, person, request, with_rules};
use crate::decision::Effect;
use crate::mask::MaskedFields;

fn mistakes(text: &str) -> Vec<String> {
    Policy::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_built_in_policy_is_read_and_an_empty_file_is_not() {
    assert_eq!(
        built_in().rule_names().collect::<Vec<_>>(),
        ["default/serviceaccounts", "default/rbac", "default/discovery", "default/read", "default/write"]
    );
    assert!(Policy::parse("apiVersion: sallyport.dev/v1alpha1\n").is_ok());
    for text in ["", "{}", "[]", "x", "null", "apiVersion: v2\n"] {
        assert!(!mistakes(text).is_empty(), "{text:?}");
    }
}

#[test]
fn all_mistakes_come_at_once_with_line_and_column() {
    let text = "apiVersion: sallyport.dev/v1alpha1
threshold: {holdAt: 40}
thresholds: {holdAt: 140, denyAt: yes}
defaults: {approvers: {quorum: 0, group: [x]}, wait: 15}
rules:
- name: one
  match: {verb: [get], resources: [deployment], apiGroups: [core]}
  effect: alow
- name: one
  match: {verbs: [gett, impersonate], resources: [pods/exe]}
  effect: hold
  risk: -10
- match: {}
  effect: deny
- name: three
  match: {nonResourceURLs: [metrics], namespaces: [a]}
  effect: allow
  accept: [table/secret:get, modifier/sallyport]
  when: request.verbs == 'get'
- name: nothing
  match:
";
    let expected = [
        "2:1: there is no field \"threshold\" here, only apiVersion, kind, thresholds, defaults, defaultRules, protect, \
         noPersonBehind, defaultMask, mask, rules; did you mean \"thresholds\"?",
        "3:22: thresholds.holdAt: expected a number from 1 to 100, found 140",
        "3:35: thresholds.denyAt: expected a number from 1 to 100, found yes",
        "4:32: defaults.approvers.quorum: expected a number from 1 to 16, found 0",
        "4:35: defaults.approvers: there is no field \"group\" here, only groups, quorum; did you mean \"groups\"?",
        "4:54: defaults.wait: expected a time like 90s, 15m or 2h, at most 24h, found \"15\"",
        "7:11: rules[0].match: there is no field \"verb\" here, only apiGroups, resources, verbs, namespaces, names, identities, \
         clusters, nonResourceURLs; did you mean \"verbs\"?",
        "7:61: rules[0].match.apiGroups[0]: the core group is the empty text \"\", not \"core\"",
        "8:11: rules[0].effect: expected allow or hold or deny, found \"alow\"; did you mean \"allow\"?",
        "9:3: rules[1]: the name \"one\" is taken by the rule on line 6",
        "10:19: rules[1].match.verbs[0]: no request has the verb \"gett\"; did you mean \"get\"?",
        "10:25: rules[1].match.verbs[1]: no request has the verb \"impersonate\": it is a right that RBAC checks on the way",
        "10:51: rules[1].match.resources[0]: pods has no subresource \"exe\"; did you mean \"pods/exec\"?",
        "12:9: rules[1].risk: expected 0 to 100, or +0 to +100, found \"-10\"; to lower a risk, `accept` it by name",
        "13:3: rules[2]: has no name; decisions are explained by it",
        "16:28: rules[3].match.nonResourceURLs: a rule is about resources or about other URLs, not both",
    ];
    let found = mistakes(text);
    for line in expected {
        assert!(found.iter().any(|found| found == line), "{line}\nnot among\n{}", found.join("\n"));
    }
    let text = found.join("\n");
    for part in [
        "rules[3].match.nonResourceURLs[0]: expected a path like /metrics",
        "rules[3].accept[0]: there is no finding \"table/secret:get\"; did you mean \"table/secrets:get\"?",
        "rules[3].accept[1]: what touches Sallyport itself can't be accepted",
        "rules[3].when: `request` has no field \"verbs\"",
        "rules[4].match: is empty; write `match: {}`",
        "rules[4]: does nothing",
    ] {
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
    let mut sorted = Policy::parse(text_of_order()).unwrap_err();
    let given = sorted.clone();
    sorted.sort();
    assert_eq!(given, sorted);
}

fn text_of_order() -> &'static str {
    "b: 1\na: 2\nrules: [{}, {name: ''}]\n"
}

#[test]
fn what_is_not_carried_out_is_refused_when_it_is_read() {
    let found = mistakes(
        "apiVersion: sallyport.dev/v1alpha1\nrules:\n- name: x\n  match: {resources: [configmaps]}\n  effect: allow\n  mask: [data.token]\n",
    );
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(only.starts_with("6:9: rules[0].mask: is not said of a rule"), "{only}");
}

#[test]
fn usual_names_are_masked_where_a_file_says_so() {
    let masked = |text: &str, line: &str| {
        let text = format!("apiVersion: sallyport.dev/v1alpha1\n{text}");
        Policy::parse(&text).unwrap().masked_fields(&request(line).info)
    };
    let own = "mask:\n- {apiGroups: [''], resources: [pods], fields: [spec.nodeName]}\n";
    for text in ["", "defaultMask: false\n"] {
        assert!(masked(text, "list pods default").is_empty() && masked(text, "get configmaps default/x").is_empty());
        assert_eq!(masked(&format!("{text}{own}"), "list pods default"), ["spec.nodeName"]);
    }
    let all = masked(&format!("defaultMask: true\n{own}"), "list pods default");
    assert!(all.iter().any(|field| field == "spec.nodeName"), "{all:?}");
    for (line, field) in [
        ("list pods default", "spec.*containers[*].env[name=*password*].value"),
        ("get deployments.apps default/x", "spec.template.spec.*containers[*].env[name=*api*key*].value"),
        ("watch cronjobs.batch", "spec.jobTemplate.spec.template.spec.*containers[*].env[name=*token*].value"),
        ("get controllerrevisions.apps a/b", "data.spec.template.spec.*containers[*].env[name=*secret*].value"),
        // What was last applied of its StatefulSet, in an annotation.
        ("get controllerrevisions.apps a/b", "spec.template.spec.*containers[*].env[name=*secret*].value"),
        ("get configmaps default/x", "data.*credential*"),
    ] {
        let all = masked("defaultMask: true\n", line);
        assert!(all.iter().any(|named| named == field), "{line}: {all:?}");
        assert!(MaskedFields::parse(&all).is_ok(), "{line}");
    }
    assert!(masked("defaultMask: true\n", "get services default/x").is_empty());
    // A grant has room for so many, with those.
    let many = |count: usize| {
        let fields: Vec<_> = (0..count).map(|index| format!("data.key-{index}")).collect();
        format!("mask:\n- {{apiGroups: [''], resources: [configmaps], fields: [{}]}}\n", fields.join(", "))
    };
    assert_eq!(masked(&many(64), "get configmaps default/x").len(), 64);
    for text in [many(65), format!("defaultMask: true\n{}", many(60))] {
        let found = mistakes(&format!("apiVersion: sallyport.dev/v1alpha1\n{text}"));
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert!(only.contains("mask[0]: with it, more than 64 fields of configmaps are named"), "{only}");
    }
}

#[test]
fn fields_to_mask_are_named_for_whole_resources() {
    let policy = Policy::parse(
        "apiVersion: sallyport.dev/v1alpha1\nmask:\n- {apiGroups: [''], resources: [configmaps, pods], fields: [data.b, data.a]}\n\
         - {apiGroups: [''], resources: [configmaps], fields: [data.a, data.c]}\n",
    )
    .unwrap();
    let fields = |line: &str| policy.masked_fields(&request(line).info);
    assert_eq!(fields("get configmaps default/x"), ["data.a", "data.b", "data.c"]);
    assert_eq!(fields("patch pods/status default/x"), ["data.a", "data.b"]);
    assert!(fields("get configmaps.example.com default/x").is_empty() && fields("get /api").is_empty());
    let found = mistakes(
        "apiVersion: sallyport.dev/v1alpha1\nmask:\n- {apiGroups: [''], resources: [secrets], fields: ['data[']}\n- {resources: [x]}\n",
    );
    for expected in [
        "mask[0]: names Secrets",
        "mask[0].fields[0]: in brackets",
        "mask[1]: has no apiGroups",
        "mask[1]: has no fields",
    ] {
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{expected}: {found:?}");
    }
    // What would match nothing is told, not taken for an entry that masks.
    for (group, resource, expected) in [
        ("core", "configmaps", "the core group is the empty text"),
        ("'*'", "configmaps", "name each group"),
        ("''", "'*'", "name each resource"),
        ("''", "pods/status", "name each resource"),
        ("''", "configmap", "configmaps"),
    ] {
        let found = mistakes(&format!(
            "apiVersion: sallyport.dev/v1alpha1\nmask:\n- {{apiGroups: [{group}], resources: [{resource}], fields: [data.a]}}\n"
        ));
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{group} {resource}: {found:?}");
    }
}

#[test]
fn a_mistake_in_a_condition_is_told_at_its_place() {
    let at = |rule: &str| {
        let text = format!(
            "apiVersion: sallyport.dev/v1alpha1\nrules:\n- name: x\n  match: {{verbs: [create]}}\n  effect: deny\n{rule}"
        );
        mistakes(&text).join("\n")
    };
    for (when, line, column, message) in [
        ("  when: request.verb == 'get' && foo\n", 6, 34, "there is no variable \"foo\""),
        ("  when: \"request.verb == 'get' && foo\"\n", 6, 35, "there is no variable \"foo\""),
        ("  when: |\n    request.verb == 'get' &&\n    foo\n", 8, 5, "there is no variable \"foo\""),
        ("  when: request.verb ==\n", 6, 24, "Syntax error"),
        ("  when: request.verb == 'gett'\n", 6, 25, "no request has the verb \"gett\"; did you mean \"get\"?"),
        ("  when: request.name == 5\n", 6, 25, "`request.name` is a text, it never equals this"),
        ("  when: session.writes == '5'\n", 6, 27, "`session.writes` is a number"),
        ("  when: request.verb in ['get', 'creat']\n", 6, 33, "no request has the verb \"creat\""),
    ] {
        let found = at(when);
        let place = format!("{line}:{column}: rules[0].when: ");
        assert!(
            found.contains(&place) && found.contains(message),
            "{when:?}: expected {place}{message}\nfound {found}"
        );
    }
    for (when, message) in [
        ("requst.verb == 'get'", "did you mean \"request\"?"),
        ("request['verbb'] == 'get'", "did you mean \"verb\"?"),
        ("request.verb.length == 3", "`request.verb` has no fields"),
        ("identity.claim.x == 'a'", "did you mean \"claims\"?"),
        ("object.list.exist(a, a == 1)", "there is no function \"exist\"; did you mean \"exists\"?"),
        ("object.list.exists(a)", "`exists` is called with the wrong arguments"),
        ("request.name.matches(request.namespace)", "written out as a text"),
        ("request.name.matches('(')", "the pattern can't be used"),
        ("request.name.startswith('a')", "did you mean \"startsWith\"?"),
        ("request.name + 5 == 'a'", "doesn't fit its values"),
        ("request.name", "the answer is a string, not true or false"),
        ("object.a.b.?c == 1", "unsupported syntax '.?'"),
        ("object.a.exists(a, a.exists(b, b.exists(c, c.exists(d, d))))", "loops inside each other"),
        ("1 / 0 == 1", "division by zero"),
    ] {
        let found = at(&format!("  when: {when:?}\n"));
        assert!(found.contains(message), "{when}: {found}");
    }
}

#[test]
fn a_condition_that_would_fail_on_every_request_of_a_kind_is_a_mistake() {
    let rule = |verbs: &str, when: &str| {
        Policy::parse(&format!(
            "apiVersion: sallyport.dev/v1alpha1\nrules:\n- {{name: x, match: {{resources: [configmaps]{verbs}}}, when: {when:?}, effect: deny}}\n"
        ))
    };
    assert!(rule("", "object.metadata.name == 'x'").unwrap_err()[0].message.contains("no body"));
    assert!(rule("", "object != null && object.metadata.name == 'x'").is_ok());
    assert!(rule(", verbs: [create, update]", "object.metadata.name == 'x'").is_ok());
    assert!(
        rule(", verbs: [create]", "oldObject.metadata.name == 'x'").unwrap_err()[0]
            .message
            .contains("nothing is there yet")
    );
    assert!(rule(", verbs: [update]", "oldObject.metadata.name == 'x'").is_ok());
    // What an object may have can't be known.
    assert!(rule(", verbs: [create]", "object.spec.whatever.is.here == 1").is_ok());
    assert!(rule("", "identity.claims.environment == 'prod'").is_ok());
}

#[test]
fn rules_that_never_settle_anything_are_mistakes() {
    let unreachable = |rules: &str| {
        let text = format!("apiVersion: sallyport.dev/v1alpha1\nrules:\n{rules}");
        match Policy::parse(&text) {
            Ok(_) => false,
            Err(mistakes) => {
                assert!(mistakes[0].message.contains("never settles anything"), "{}", mistakes[0]);
                true
            }
        }
    };
    let pair = |first: &str, second: &str| format!("- {{name: a, {first}}}\n- {{name: b, {second}}}\n");
    for (first, second, expected) in [
        ("match: {}, effect: hold", "match: {resources: [pods]}, effect: allow", true),
        ("match: {resources: [pods]}, effect: hold", "match: {resources: [pods], verbs: [get]}, effect: hold", true),
        ("match: {resources: ['pods/*']}, effect: hold", "match: {resources: [pods/log]}, effect: hold", true),
        ("match: {resources: [pods]}, effect: allow", "match: {resources: [pods]}, effect: deny", false),
        ("match: {resources: [pods]}, effect: deny", "match: {resources: [pods]}, effect: deny", true),
        ("match: {resources: [pods]}, effect: hold", "match: {resources: [pods, services]}, effect: allow", false),
        ("match: {resources: [pods], verbs: [get]}, effect: hold", "match: {resources: [pods]}, effect: allow", false),
        ("match: {}, effect: hold, when: 'request.dryRun'", "match: {resources: [pods]}, effect: allow", false),
        ("match: {}, effect: hold", "match: {resources: [pods]}, effect: allow, risk: +5", false),
        ("match: {namespaces: [a]}, effect: allow", "match: {namespaces: [a]}, effect: hold", false),
        ("match: {resources: [pods]}, effect: hold", "match: {nonResourceURLs: [/metrics]}, effect: allow", false),
    ] {
        assert_eq!(unreachable(&pair(first, second)), expected, "{first} / {second}");
    }
}

#[test]
fn nonsense_never_panics_and_big_files_are_refused() {
    let long = "x".repeat(100_000);
    for text in [
        "rules: [[[[[[]]]]]]",
        "rules: {a: b}",
        "rules: [1, null, {name: {a: 1}}]",
        "? [a]\n: b\n",
        "rules:\n- name: [x]\n  match: []\n  when: {}\n  risk: []\n  mask: 5\n  accept: {}\n",
        "apiVersion: sallyport.dev/v1alpha1\nrules:\n- {name: a, match: {}, effect: allow, effect: deny}\n",
        "\u{0}",
        "\u{feff}apiVersion: x",
        "a: !!binary xx\n",
        &long,
    ] {
        assert!(Policy::parse(text).is_err(), "{text:?}");
    }
    let twice =
        mistakes("apiVersion: sallyport.dev/v1alpha1\nrules:\n- {name: a, match: {}, effect: allow, effect: deny}\n");
    assert!(twice[0].contains("is given twice"), "{twice:?}");
}

#[test]
fn a_signed_risk_adds_and_a_bare_one_is_a_floor() {
    let risk = |given: &str| {
        let policy = with_rules(&format!("- {{name: r, match: {{resources: [configmaps]}}, risk: {given}}}\n"));
        request("get configmaps default/x").risk(&policy)
    };
    assert_eq!(risk("+10"), 20);
    assert_eq!(risk("\"+10\""), 20);
    assert_eq!(risk("10"), 10);
    assert_eq!(risk("35"), 35);
}

/// SECURITY.md T6: patterns on identities are exact, or bounded by segments.
#[test]
fn t6_identity_patterns_do_not_reach_too_far() {
    let denied = |pattern: &str, change: &dyn Fn(&mut crate::identity::Identity)| {
        let policy = with_rules(&format!("- {{name: i, match: {{identities: [{pattern}]}}, effect: deny}}\n"));
        let mut identity = person();
        change(&mut identity);
        let session = super::super::SessionFacts::default();
        let request = request("get configmaps default/x");
        let question = request.question(&identity, &session, super::super::Live::NotRead);
        super::super::decide(&policy, &question, &|| false).explanation().effect == Effect::Deny
    };
    let repository = |name: &'static str| {
        move |identity: &mut crate::identity::Identity| {
            identity.ci.as_mut().unwrap().claims.insert("repository".to_owned(), name.to_owned());
        }
    };
    let exact = "{issuer: \"https://token.actions.example\", claims: {repository: acme/app}}";
    assert!(denied(exact, &repository("acme/app")));
    for other in
        ["acmeXapp", "acme/app2", "Acme/app", "acme/APP", "acme/аpp", "acme/app/x", "xacme/app", "acme/app ", ""]
    {
        assert!(!denied(exact, &repository(other)), "{other:?}");
    }
    let glob = "{issuer: \"https://token.actions.example\", claims: {repository: acme/*}}";
    assert!(denied(glob, &repository("acme/anything")));
    for other in ["acme2/app", "acme/a/b", "evil/acme/app", "acme", "acme:app"] {
        assert!(!denied(glob, &repository(other)), "{other:?}");
    }
    // Another issuer's claims are no claims of this one, and a missing claim is not an empty one.
    assert!(!denied("{issuer: \"https://token.actions.example.evil\", claims: {repository: acme/app}}", &|_| {}));
    assert!(!denied("{issuer: \"https://token.actions.example\", claims: {environment: \"*\"}}", &|_| {}));
    assert!(denied("prod/ci/builder", &|_| {}));
    assert!(denied("\"*/ci/*\"", &|_| {}));
    for pattern in ["prod/ci/build", "prod/c/builder", "prod/ci/Builder", "\"*/builder/*\"", "stage/ci/builder"] {
        assert!(!denied(pattern, &|_| {}), "{pattern}");
    }
    assert!(!denied("prod/ci/builder", &|identity| *identity = bare("builder2")));

    // Patterns that could be read in two ways, and rules that trust a name, are mistakes.
    for identity in [
        "prod/ci",
        "prod/ci/a/b",
        "\"prod/**\"",
        "\"prod/ci/b.*r\\\\\"",
        "{issuer: \"https://*.example\", claims: {repository_id: '42'}}",
        "{issuer: \"https://a.example\", claim: {repository_id: '42'}}",
        "{issuer: \"https://a.example\", claims: {repository: \"acme/(app|lib)\"}}",
        "{issuer: \"https://a.example\", subject: \"repo:acme/app:ref:refs/heads/main\"}",
        "{issuer: \"https://a.example\", claims: {repository: \"acme/*\"}}",
    ] {
        let text = format!(
            "apiVersion: sallyport.dev/v1alpha1\nrules:\n- {{name: i, match: {{identities: [{identity}]}}, effect: allow}}\n"
        );
        assert!(Policy::parse(&text).is_err(), "{identity}");
    }
}
