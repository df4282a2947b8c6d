use super::*;

fn event(id: Option<&str>, user: &str, verb: &str, resource: &str, namespace: &str) -> String {
    let mut event = serde_json::json!({
        "stage": "ResponseComplete", "auditID": id.map_or_else(|| format!("{verb}{resource}"), str::to_owned), "verb": verb, "requestURI": "/x",
        "user": {"username": user}, "requestReceivedTimestamp": "2026-11-24T00:00:01.000001Z",
        "objectRef": {"resource": resource, "namespace": namespace},
    });
    if let Some(id) = id {
        event["impersonatedUser"] = serde_json::json!({"username": "sallyport:runner", "extra": {"sallyport.dev/operation": [id], "sallyport.dev/session": ["s"]}});
    }
    event.to_string()
}

fn row(verb: &str, resource: &str) -> Known {
    Known {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        namespace: "ci".to_owned(),
        name: String::new(),
        typed: format!("kubectl {verb} {resource}"),
        opened: Timestamp(1_795_478_400_500),
        closed: Some(Timestamp(1_795_478_400_600)),
        outcome: "ok".to_owned(),
        kind: "runner".to_owned(),
        granted: true,
    }
}

fn log(lines: &[String]) -> Log {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    std::fs::write(&path, lines.join("\n")).unwrap();
    read_log(&path, "sallyport/sallyport-agent").unwrap()
}

#[test]
fn a_runner_that_called_by_itself_is_told() {
    let of_pod = |uid: &str, user: &str| {
        let mut event: Value = serde_json::from_str(&event(None, user, "get", uid, "ci")).unwrap();
        event["user"]["extra"] = serde_json::json!({"authentication.kubernetes.io/pod-uid": [uid]});
        event.to_string()
    };
    let lines = [
        of_pod("runner", "system:serviceaccount:ci:default"),
        of_pod("other", "system:serviceaccount:ci:default"),
        // The agent's own token is bound to its pod, too.
        of_pod("agent", AGENT),
        event(None, "someone", "get", "pods", "ci"),
    ];
    let log = log(&lines);
    assert_eq!((log.of_pods.len(), log.own.len()), (2, 1));
    let runners = HashMap::from([("runner".to_owned(), "ci/job".to_owned())]);
    let told = by_themselves(&log, &runners);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told.concat().starts_with(
            "the runner ci/job called the API server by itself, as system:serviceaccount:ci:default: get "
        ),
        "{told:?}"
    );
}

fn of(id: &str) -> Id {
    ("s".to_owned(), id.to_owned())
}

const AGENT: &str = "system:serviceaccount:sallyport:sallyport-agent";

#[test]
fn what_agrees_is_silent_and_everything_else_is_said() {
    assert_eq!(Timestamp(1_795_478_400_500).to_string(), "2026-11-24T00:00:00.500Z");
    let begin = event(None, "someone", "get", "pods", "ci").replace(":01.000001Z", ":00.000001Z");
    let lines =
        [begin, event(Some("a"), AGENT, "list", "pods", "ci"), event(None, AGENT, "create", "leases", "sallyport")];
    let known = HashMap::from([(of("a"), row("list", "pods"))]);
    assert_eq!(reconcile(&log(&lines), &known), [""; 0]);
    let known = HashMap::from([(of("a"), row("get", "pods")), (of("b"), row("list", "pods"))]);
    let more = [
        event(Some("c"), AGENT, "list", "secrets", "ci"),
        event(None, AGENT, "list", "secrets", "kube-system"),
        event(None, AGENT, "create", "tokenreviews", ""),
    ];
    let found = reconcile(&log(&[&lines[..], &more].concat()), &known);
    assert_eq!(found.len(), 5, "{found:#?}");
    for (line, begin) in found.iter().zip([
        "a token review that is not on record",
        "on record as carried out, and not in the API server's log: operation b",
        "operation a is on record as \"kubectl get pods\"",
        "sent, and not on record: operation c",
        "the agent did what it has no reason to do",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
}

/// A read under the id of another, or twice under its own: each request needs a record.
#[test]
fn one_record_covers_one_request() {
    let begin = event(None, "someone", "get", "pods", "ci").replace(":01.000001Z", ":00.000001Z");
    let known = HashMap::from([(of("a"), row("patch", "pods"))]);
    let sent = |verb: &str, at: &str, code: u16| {
        let mut event: Value = serde_json::from_str(&event(Some("a"), AGENT, verb, "pods", "ci")).unwrap();
        event["requestReceivedTimestamp"] = at.into();
        event["responseStatus"] = serde_json::json!({"code": code});
        event.to_string()
    };
    let (early, late) = ("2026-11-24T00:00:01.000001Z", "2026-11-24T00:00:01.000002Z");
    let own = sent("get", early, 200).replace("\"auditID\":\"a\"", "\"auditID\":\"a-read\"");
    let fine = [begin.clone(), own, sent("patch", early, 409), sent("patch", late, 200)];
    assert_eq!(reconcile(&log(&fine), &known), [""; 0]);
    let again = [begin.clone(), sent("patch", early, 200), sent("patch", late, 200)];
    let found = reconcile(&log(&again), &known);
    assert!(matches!(found.as_slice(), [one] if one.contains("sent again")), "{found:#?}");
    let other = [begin.clone(), sent("patch", early, 200), sent("get", early, 200)];
    let found = reconcile(&log(&other), &known);
    assert!(matches!(found.as_slice(), [one] if one.contains("was sent as get")), "{found:#?}");
    let elsewhere = HashMap::from([(("t".to_owned(), "a".to_owned()), row("patch", "pods"))]);
    let found = reconcile(&log(&[begin, sent("patch", early, 200)]), &elsewhere);
    assert!(found.iter().any(|line| line.starts_with("sent, and not on record: operation a")), "{found:#?}");
}
