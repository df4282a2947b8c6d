//! Enrolment of a cluster with a one-time token: the real cluster by its real agents, and others of which the test plays issuer and agent.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use serde_json::{Value, json};
use shared_net::endpoint::{Connection, Endpoint};
use tests::issuer::{Issuer, now};
use tests::kubectl::Version;
use tests::stack::{Setup, Stack};
use tests::web::{Door, Web};
use uuid::Uuid;

use crate::strangers::{agent_token, connect, greet_with, rejected};

fn enrolled() -> Setup<'static> {
    Setup { enrolled: true, ..Setup::default() }
}

/// A cluster of which the test is the issuer.
struct Other {
    issuer: Issuer,
    uid: &'static str,
}

impl Other {
    fn new(uid: &'static str) -> Self {
        Self { issuer: Issuer::start(), uid }
    }

    /// What its agent would say with this token.
    fn hello(&self, token: &str) -> Value {
        json!({
            "token": agent_token(&self.issuer, now().as_secs() + 600),
            "agent": Uuid::new_v4(),
            "clusterUid": self.uid,
            "life": 0,
            "version": "test",
            "enrolment": {
                "secret": token.rsplit(':').next().unwrap(),
                "issuer": self.issuer.url(),
                "keys": self.issuer.jwks(),
            },
        })
    }

    async fn shows(&self, stack: &Stack, token: &str) -> (u16, String, (Endpoint, Connection)) {
        say(stack, &self.hello(token)).await
    }
}

/// One greeting on a connection of its own, which lasts as long as what is given back.
async fn say(stack: &Stack, hello: &Value) -> (u16, String, (Endpoint, Connection)) {
    let (endpoint, connection) = connect(stack).await;
    let (status, said) = greet_with(&connection, hello).await;
    let said = said["message"].as_str().map_or_else(|| said.to_string(), str::to_owned);
    (status, said, (endpoint, connection))
}

fn clusters(stack: &Stack) -> Value {
    serde_json::from_str(&stack.cli(&["clusters", "list", "--json"]).ok()).unwrap()
}

async fn signals(web: &Web, kind: &str) -> String {
    let metrics = web.raw(Door::Admin, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.body;
    let name = format!("sallyport_attack_signals_total{{kind=\"{kind}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0").to_owned()
}

/// Failure row N6. The whole way: token, install, agent, kubectl; a kill right after; another agent of the cluster; and a second use.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_enrolled_once_and_stays_so() {
    let mut stack = Stack::with("enrolled", &enrolled());
    stack.kill_control_plane();
    stack.start_control_plane();
    let kubectl = stack.kubectl(Version::Newest);
    kubectl.run(&["create", "configmap", "through"]).await.ok();
    // The second replica shows the same token, and so does the first after a restart.
    stack.start_second_agent();
    stack.kill_agent();
    stack.start_agent();
    // Until the one that was killed is missed: a read that is given to it has no answer.
    until(&stack, "both agents", |known| known["clusters"][0]["agents"] == 2).await;
    kubectl.run(&["get", "configmap", "through"]).await.ok();
    for process in ["agent", "second-agent"] {
        stack.log(process).assert_without("refused the greeting");
    }
    let known = clusters(&stack);
    let (test, token) = (&known["clusters"][0], std::fs::read_to_string(stack.enrolment().join("token")).unwrap());
    assert_eq!((known["clusters"].as_array().unwrap().len(), &known["waiting"]), (1, &json!([])), "{known}");
    assert_eq!((&test["name"], &test["how"]), (&json!("test"), &json!("token")), "{known}");
    assert_eq!((&test["askedBy"], &test["enrolledFrom"]), (&json!("uid 0"), &json!("127.0.0.1")), "{known}");
    let listed = stack.cli(&["clusters", "list"]).ok();
    assert!(listed.contains("a token, at 20") && listed.contains("asked for by uid"), "{listed}");
    let secret = token.rsplit(':').next().unwrap().trim().to_owned();
    assert!(!known.to_string().contains(&secret) && !listed.contains(&secret));
    stack.assert_data_without(&[secret]);

    // Somebody who found the token: a cluster of his own, and this cluster under keys of his own.
    let web = Web::new(&stack, &[]).await;
    let uid = test["uid"].as_str().unwrap();
    let thief = Other::new("another");
    let mut of_this_name = thief.hello(&token);
    of_this_name["clusterUid"] = json!(uid);
    for (number, hello) in [(1, thief.hello(&token)), (2, of_this_name)] {
        let (status, said, _) = say(&stack, &hello).await;
        assert!(status == 401 && said.contains("was used by another cluster"), "{status} {said}");
        assert!(!said.contains(uid), "{said}");
        assert_eq!(signals(&web, "enrolment_spent").await, number.to_string());
    }
    assert!(rejected(&web, "was used by another cluster").await.contains("\"agent\""));
    assert_eq!(clusters(&stack)["clusters"].as_array().unwrap().len(), 1);
    kubectl.run(&["get", "configmap", "through"]).await.ok();
}

/// Until the list says so.
async fn until(stack: &Stack, what: &str, is: impl Fn(&Value) -> bool) {
    for _ in 0..300 {
        if is(&clusters(stack)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{what} is still to come after thirty seconds: {}", clusters(stack));
}

/// Failure row N6. What is no token any more, what never was one, and what comes with one that is none of its cluster.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_enrol_a_cluster() {
    let stack = Stack::start("unenrolled");
    let web = Web::new(&stack, &[]).await;
    let (other, more) = (Other::new("other"), Other::new("more"));
    let refuse = async |hello: Value, words: &str| {
        let (status, said, _) = say(&stack, &hello).await;
        assert!(status == 401 && said.contains(words), "{words}: {status} {said}");
    };

    let late = stack.enrolment_token(&["late", "--expires", "1s"]);
    until(&stack, "its end", |known| known["waiting"][0]["expired"] == true).await;
    refuse(other.hello(&late), "was good until").await;
    let replaced = stack.enrolment_token(&["other"]);
    let token = stack.enrolment_token(&["other", "--require-ci"]);
    refuse(other.hello(&replaced), "was taken back").await;

    // The keys are not those under which its agent's token is; the agent is no agent; the key set is none.
    let with = |change: &dyn Fn(&mut Value)| {
        let mut hello = other.hello(&token);
        change(&mut hello);
        hello
    };
    let keys = |keys: String| with(&move |hello| hello["enrolment"]["keys"] = json!(keys));
    refuse(keys(more.issuer.jwks()), "the agent's own token is not of that cluster").await;
    refuse(keys("{\"keys\":[]}".to_owned()), "can't be used").await;
    refuse(keys("x".repeat(40_000)), "is too long").await;
    let job = more.issuer.token(&json!({"aud": ["sallyport-agent"], "sub": "job"}));
    refuse(with(&|hello| hello["token"] = json!(job)), "the agent's own token").await;
    let pod = other.issuer.token(&json!({
        "aud": ["sallyport-agent"], "sub": "system:serviceaccount:sallyport:other",
        "kubernetes.io": {"namespace": "sallyport", "serviceaccount": {"name": "other", "uid": "some"}},
    }));
    refuse(with(&|hello| hello["token"] = json!(pod)), "the agent's own token").await;
    assert_eq!(signals(&web, "foreign_agent").await, "1");
    // The keys of a cluster that is known, beside its own: it could make up that one's pods, or its pods be taken for those.
    let known: Value = serde_json::from_str(&stack.pinned_keys()).unwrap();
    let mut both: Value = serde_json::from_str(&other.issuer.jwks()).unwrap();
    both["keys"].as_array_mut().unwrap().extend(known["keys"].as_array().unwrap().clone());
    refuse(keys(both.to_string()), "signs its tokens with one of these keys").await;
    assert_eq!(signals(&web, "enrolment_foreign_key").await, "1");
    let uid = clusters(&stack)["clusters"][0]["uid"].clone();
    refuse(with(&|hello| hello["clusterUid"] = uid.clone()), "is known here already").await;

    // Nothing of it cost the token, which is good for its cluster. A name has one cluster, whoever asks.
    let (status, said, _kept) = other.shows(&stack, &token).await;
    assert_eq!(status, 200, "{said}");
    let listed = clusters(&stack);
    let (found, waiting) = (&listed["clusters"][0], &listed["waiting"]);
    assert_eq!((&found["name"], &found["requireCi"]), (&json!("other"), &json!(true)), "{listed}");
    assert_eq!(waiting, &json!([]), "{listed}");
    refuse(more.hello(&late), "was good until").await;
    for (name, words) in
        [("other", "is enrolled already"), ("test", "is in the configuration file"), ("A B", "is no name")]
    {
        let said = stack.cli(&["clusters", "enrol", name]).refused();
        assert!(said.contains(words), "{said}");
    }
    let again = stack.enrolment_token(&["again"]);
    let (_, _, _kept_too) = other.shows(&stack, &again).await;
    assert_eq!(clusters(&stack)["clusters"].as_array().unwrap().len(), 2, "a cluster that is known needs no token");
    for (name, words) in [("test", "is in the configuration file"), ("nobody", "no cluster of that name")] {
        let said = stack.cli(&["clusters", "forget", name]).refused();
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(stack.cli(&["clusters", "forget", "again"]).ok().trim(), "taken back");
    refuse(more.hello(&again), "was taken back").await;
}

/// Guesses: one answer, whatever the name, and soon none is looked at, not even a right one, for as long as that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_a_token_tells_nothing() {
    let stack = Stack::start("guesses");
    let (known, more) = (Other::new("known"), Other::new("more"));
    let token = stack.enrolment_token(&["known"]);
    let (status, said, _kept) = known.shows(&stack, &token).await;
    assert_eq!(status, 200, "{said}");
    let printed = stack.cli(&["clusters", "enrol", "more", "--control-plane", "sallyport.example.com:7443"]).ok();
    let next = "sallyport install --agent-only --control-plane sallyport.example.com:7443 --enrol ";
    let line = printed.lines().find_map(|line| line.strip_prefix(next)).unwrap_or_else(|| panic!("{printed}"));
    let right = line.strip_suffix(" | kubectl apply -f -").unwrap().to_owned();
    let mut answers = Vec::new();
    for _ in 0..shared::limits::ENROLMENT_TRIES + 2 {
        let guess = shared_net::enrolment::EnrolmentToken::new("known", stack.pin().parse().unwrap());
        let (status, said, _) = more.shows(&stack, guess.text().expose()).await;
        answers.push((status, said));
    }
    answers.dedup();
    assert_eq!(answers.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [401, 429], "{answers:?}");
    assert!(answers[0].1.contains("not good here"), "{answers:?}");
    assert_eq!(more.shows(&stack, &right).await.0, 429);
    assert!(!clusters(&stack)["clusters"].to_string().contains("\"more\""));
    // Who is known is not held up by it.
    assert_eq!(known.shows(&stack, &token).await.0, 200);
}

/// Failure row N6. Two replicas come at once, the control plane is killed as soon as one has its answer, and all goes on as if nothing were.
#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_outlives_a_kill_at_once() {
    let mut stack = Stack::start("at-once");
    let other = Other::new("other");
    let token = stack.enrolment_token(&["other"]);
    let (one, two) = tokio::join!(other.shows(&stack, &token), other.shows(&stack, &token));
    stack.kill_control_plane();
    assert_eq!((one.0, two.0), (200, 200), "{} {}", one.1, two.1);
    stack.start_control_plane();
    // An agent that has no token any more, and one that has not heard the answer.
    let mut plain = other.hello(&token);
    plain.as_object_mut().unwrap().remove("enrolment");
    for hello in [plain, other.hello(&token)] {
        let (status, said, _) = say(&stack, &hello).await;
        assert_eq!(status, 200, "{said}");
    }
    let (status, said, _) = Other::new("thief").shows(&stack, &token).await;
    assert!(status == 401 && said.contains("was used by another cluster"), "{said}");
    let known = clusters(&stack);
    let names: Vec<_> = known["clusters"].as_array().unwrap().iter().map(|cluster| &cluster["name"]).collect();
    assert_eq!(names, ["other", "test"], "{known}");
}

/// Failure row N6. Whoever answers in the control plane's place under another key is shown no token, and an agent takes none that is of
/// another control plane or another cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_to_its_own_control_plane_only() {
    let (ours, stranger) = (Stack::with("ours", &enrolled()), Stack::start("stranger"));
    let config = std::fs::read_to_string(ours.agent_config("agent")).unwrap();
    let moved = config.replace(&ours.quic().to_string(), &stranger.quic().to_string());
    assert_ne!(config, moved);
    let said = ours.run_agent_until("moved", &moved, "no connection to the control plane");
    assert!(said.contains("certificate") || said.contains("pin"), "{said}");
    let asked = stranger.cli(&["sessions", "rejected"]).ok();
    assert!(!asked.contains("/v1/agent"), "{asked}");
    assert_eq!(clusters(&stranger)["clusters"].as_array().unwrap().len(), 1);

    // With the stranger's pin it is a mistake of the configuration, before anything is dialled; so is another name.
    let pinned = moved.replace(ours.pin(), stranger.pin());
    let said = ours.run_agent_until("pinned", &pinned, "configuration has 1 mistake");
    assert!(said.contains("enrolment: the token is of the control plane"), "{said}");
    let renamed = config.replace("cluster: test", "cluster: other");
    let said = ours.run_agent_until("renamed", &renamed, "configuration has 1 mistake");
    assert!(said.contains("enrolment: the token enrols \"test\""), "{said}");
}

/// Forgotten, a cluster is as unknown as any: its watches end, its agents and sidecars are let in no more; and it may come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_forgotten_is_cut_off() {
    let mut stack = Stack::with("forgotten", &enrolled());
    let kubectl = stack.kubectl(Version::Newest);
    let watching = kubectl.spawn(&["get", "configmaps", "--watch"], "").await;
    let held = kubectl.spawn(&["create", "serviceaccount", "held"], "").await;
    for _ in 0..300 {
        if stack.cli(&["approvals", "list"]).ok().contains("serviceaccount") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(stack.cli(&["clusters", "forget", "test"]).ok().trim(), "forgotten");
    watching.end().await;
    held.end().await.refused();
    let said = kubectl.run(&["get", "configmaps"]).await.refused();
    assert!(said.contains("forgotten"), "{said}");
    assert_eq!(clusters(&stack), json!({"clusters": [], "waiting": []}));
    let log = stack.log("agent");
    for _ in 0..300 {
        if log.text().contains("or its cluster forgotten") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    log.assert_contains("or its cluster forgotten: make another with `sallyport clusters enrol`");
    // It stays so.
    stack.stop_control_plane();
    stack.start_control_plane();
    assert_eq!(clusters(&stack), json!({"clusters": [], "waiting": []}));
    stack.launch_sidecar();
    let said = kubectl.run(&["get", "configmaps"]).await.refused();
    assert!(said.contains("not configured here"), "{said}");

    stack.mount_enrolment(&stack.enrolment_token(&["test"]));
    stack.kill_agent();
    stack.start_agent();
    stack.restart_sidecar();
    kubectl.run(&["get", "configmaps"]).await.ok();
}

/// Which of two pins counts is for a person to say: a control plane that finds a cluster in its configuration and enrolled starts not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_configured_and_enrolled_is_a_mistake() {
    let mut stack = Stack::with("both", &enrolled());
    let uid = clusters(&stack)["clusters"][0]["uid"].as_str().unwrap().to_owned();
    stack.stop_control_plane();
    let file = stack.control_plane_config();
    let config = std::fs::read_to_string(&file).unwrap();
    let entry = |name: &str, uid: &str| {
        format!("clusters: [{{name: {name}, uid: '{uid}', issuer: 'https://x', keys: keys.json, agent: a/b}}]")
    };
    for (name, uid, words) in [("test", "x", "of that name"), ("renamed", uid.as_str(), "under another name")] {
        std::fs::write(&file, config.replace("clusters: []", &entry(name, uid))).unwrap();
        let (code, said) = stack.failed_start();
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(&format!("clusters[{name}]")) && said.contains(words), "{said}");
        assert!(said.contains("`sallyport clusters forget test`"), "{said}");
    }
    std::fs::write(&file, config).unwrap();
    stack.start_control_plane();
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
}
