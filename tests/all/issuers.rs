//! OIDC issuers over real HTTPS: what is fetched when, what is refused, and which token counts where. The time is the test's own.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control_plane::authn::{Authn, AuthnError};
use control_plane::config::{Cluster, Config, Issuer as Configured, IssuerKind, Keys};
use serde_json::{Value, json};
use shared::limits;
use shared::time::Timestamp;
use tempfile::TempDir;
use tests::issuer::{Issuer, Manner, now as since_the_epoch};

const OURS: &str = "sallyport-approvals";
const CI: &str = "sallyport-ci";

fn now() -> Timestamp {
    Timestamp(u64::try_from(since_the_epoch().as_millis()).unwrap())
}

fn configured(issuer: &Issuer, audience: &str) -> Configured {
    Configured {
        issuer: issuer.url().to_owned(),
        audience: audience.to_owned(),
        kind: IssuerKind::Oidc,
        ca: Some(issuer.ca()),
        require: BTreeMap::new(),
        person: None,
        groups: Some("groups".to_owned()),
        danger_allow_private_address: true,
    }
}

fn config(folder: &Path, clusters: Vec<Cluster>, ci: Vec<Configured>, approvers: Vec<Configured>) -> Config {
    let nowhere = "127.0.0.1:0".parse().unwrap();
    Config {
        data: folder.to_owned(),
        ca: None,
        quic: nowhere,
        web: nowhere,
        admin: nowhere,
        names: Vec::new(),
        policy: None,
        clusters: clusters.into_iter().map(|cluster| (cluster.name.clone(), cluster)).collect(),
        ci_issuers: ci,
        approver_issuers: approvers,
        auditor_groups: Vec::new(),
        local_socket: None,
    }
}

fn approvers(issuers: Vec<Configured>) -> Authn {
    Authn::new(&config(Path::new("/nowhere"), Vec::new(), Vec::new(), issuers)).unwrap()
}

fn ann(issuer: &Issuer) -> String {
    issuer.token(&json!({"aud": OURS, "sub": "ann", "groups": ["sre"]}))
}

/// Failure row T5: the keys are fetched once for everybody who waits, and not again while they are fresh.
#[tokio::test]
async fn keys_are_fetched_by_one_for_all() {
    let issuer = Issuer::start();
    let authn = Arc::new(approvers(vec![configured(&issuer, OURS)]));
    let calls = (0..50).map(|_| {
        let (authn, token) = (Arc::clone(&authn), ann(&issuer));
        async move { authn.approver(&token, now()).await.map(|ann| ann.value().subject.clone()) }
    });
    let mut together = tokio::task::JoinSet::new();
    calls.for_each(|call| drop(together.spawn(call)));
    while let Some(done) = together.join_next().await {
        assert_eq!(done.unwrap().unwrap(), "ann");
    }
    assert_eq!(issuer.key_sets(), 1);
}

/// Failure row T5: unknown key ids cause one fetch in thirty seconds, however many come; a rotated key is found by it.
#[tokio::test]
async fn a_rotated_key_is_found_and_unknown_ones_are_throttled() {
    let issuer = Issuer::start();
    let authn = approvers(vec![configured(&issuer, OURS)]);
    let start = now();
    let old = ann(&issuer);
    authn.approver(&old, start).await.unwrap();
    let claims = json!({"aud": OURS, "sub": "ann"});
    for attempt in 0..100 {
        let unknown = issuer.token_of_key(&format!("guess-{attempt}"), &claims);
        assert!(authn.approver(&unknown, start.after(Duration::from_secs(1))).await.is_err());
    }
    assert_eq!(issuer.key_sets(), 1, "the first fetch was less than thirty seconds ago");
    issuer.rotate();
    let new = ann(&issuer);
    assert!(authn.approver(&new, start.after(Duration::from_secs(29))).await.is_err());
    let later = start.after(limits::ISSUER_REFETCH);
    for attempt in 0..100 {
        let unknown = issuer.token_of_key(&format!("guess-{attempt}"), &claims);
        assert!(authn.approver(&unknown, later).await.is_err());
    }
    assert_eq!(issuer.key_sets(), 2);
    authn.approver(&new, later).await.unwrap();
    // The withdrawn key is gone.
    let error = authn.approver(&old, later).await.unwrap_err();
    assert!(error.to_string().contains("which its issuer does not have"), "{error}");
    assert_eq!(issuer.key_sets(), 2);
}

/// Failure row T5: an issuer that is down costs nobody their access who had it, for an hour; then nobody has any.
#[tokio::test]
async fn cached_keys_outlive_their_issuer_for_an_hour() {
    let issuer = Issuer::start();
    let authn = approvers(vec![configured(&issuer, OURS)]);
    let start = now();
    let day = issuer.token(&json!({"aud": OURS, "sub": "ann", "exp": start.0 / 1000 + 24 * 3600}));
    authn.approver(&day, start).await.unwrap();
    issuer.behave(Manner::Down);
    let almost = start.after(limits::ISSUER_MAX_AGE.saturating_sub(Duration::from_secs(1)));
    authn.approver(&day, almost).await.unwrap();
    let over = start.after(limits::ISSUER_MAX_AGE.saturating_add(limits::ISSUER_REFETCH));
    let error = authn.approver(&day, over).await.unwrap_err();
    assert!(error.to_string().contains("can't be had right now"), "{error}");
    issuer.behave(Manner::Well);
    authn.approver(&day, over.after(limits::ISSUER_REFETCH)).await.unwrap();
}

/// Keys are asked for anew long before they are too old, so that an outage of minutes is never noticed.
#[tokio::test]
async fn keys_are_renewed_before_they_are_too_old() {
    let issuer = Issuer::start();
    let authn = approvers(vec![configured(&issuer, OURS)]);
    let start = now();
    let day = issuer.token(&json!({"aud": OURS, "sub": "ann", "exp": start.0 / 1000 + 24 * 3600}));
    authn.approver(&day, start).await.unwrap();
    let later = start.after(limits::ISSUER_FRESH);
    authn.approver(&day, later).await.unwrap();
    assert_eq!(issuer.key_sets(), 2);
    issuer.behave(Manner::Down);
    let almost = later.after(limits::ISSUER_MAX_AGE.saturating_sub(Duration::from_secs(1)));
    authn.approver(&day, almost).await.unwrap();
    assert_eq!(issuer.key_sets(), 2);
}

/// Failure row T5: whatever else an issuer does, there are no keys, nothing else is asked, and it ends in time.
#[tokio::test]
async fn a_misbehaving_issuer_gives_no_keys() {
    let elsewhere = Issuer::start();
    let keys = format!("{}/keys", elsewhere.url());
    for manner in [
        Manner::Down,
        Manner::Silent,
        Manner::Endless,
        Manner::Redirect(keys.clone()),
        Manner::Impostor,
        Manner::KeysAt(keys.replace("https://", "http://")),
        Manner::KeysAt("file:///etc/passwd".to_owned()),
        Manner::Page,
    ] {
        let issuer = Issuer::start();
        issuer.behave(manner.clone());
        let authn = approvers(vec![configured(&issuer, OURS)]);
        let token = elsewhere.token(&json!({"iss": issuer.url(), "aud": OURS, "sub": "ann"}));
        let asked = authn.approver(&token, now());
        let error = tokio::time::timeout(3 * limits::ISSUER_WAIT, asked).await.expect("in time").unwrap_err();
        assert!(error.to_string().contains("can't be had right now"), "{manner:?}: {error}");
    }
    assert_eq!(elsewhere.requests(), 0, "a redirect was followed");
}

/// Failure row T5: a private address is not even connected to, unless the configuration says so of this issuer.
#[tokio::test]
async fn a_private_address_is_not_dialled() {
    let issuer = Issuer::start();
    let closed = Configured { danger_allow_private_address: false, ..configured(&issuer, OURS) };
    assert!(approvers(vec![closed]).approver(&ann(&issuer), now()).await.is_err());
    assert_eq!(issuer.requests(), 0);
}

/// Failure row T5, its second case: the issuer's certificate must be of the CA that was configured, or of a public one.
#[tokio::test]
async fn an_issuer_under_another_ca_is_not_believed() {
    let (issuer, other) = (Issuer::start(), Issuer::start());
    for ca in [None, Some(other.ca())] {
        let wrong = Configured { ca, ..configured(&issuer, OURS) };
        assert!(approvers(vec![wrong]).approver(&ann(&issuer), now()).await.is_err());
    }
    assert_eq!(issuer.key_sets(), 0);
}

/// A cluster, a CI provider and the approvers' issuer, each with tokens of its own.
struct World {
    _folder: TempDir,
    kubernetes: Issuer,
    ci: Issuer,
    people: Issuer,
    authn: Authn,
}

const GITHUB: [(&str, &str); 2] =
    [("repository_id", "4711"), ("job_workflow_ref", "acme/app/.github/workflows/deploy.yml@refs/heads/main")];

impl World {
    fn new(kind: IssuerKind, require: &[(&str, &str)], person: Option<&str>, require_ci: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let (kubernetes, ci, people) = (Issuer::start(), Issuer::start(), Issuer::start());
        let keys = folder.path().join("keys.json");
        std::fs::write(&keys, kubernetes.jwks()).unwrap();
        let cluster = Cluster {
            name: "test".to_owned(),
            uid: "uid".to_owned(),
            issuer: kubernetes.url().to_owned(),
            keys: Keys::File(keys),
            agent_namespace: "sallyport".to_owned(),
            agent_service_account: "sallyport-agent".to_owned(),
            require_ci,
            adopt_keys: false,
        };
        let provider = Configured {
            kind,
            require: require.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            person: person.map(str::to_owned),
            groups: None,
            ..configured(&ci, CI)
        };
        let config = config(folder.path(), vec![cluster], vec![provider], vec![configured(&people, OURS)]);
        let authn = Authn::new(&config).unwrap();
        Self { _folder: folder, kubernetes, ci, people, authn }
    }

    fn service_account(&self, audience: &str, namespace: &str, name: &str, pod: bool) -> String {
        let mut bound = json!({"namespace": namespace, "serviceaccount": {"name": name, "uid": "1"}});
        if pod {
            bound["pod"] = json!({"name": "runner", "uid": "2"});
        }
        let subject = format!("system:serviceaccount:{namespace}:{name}");
        self.kubernetes.token(&json!({"aud": [audience], "sub": subject, "kubernetes.io": bound}))
    }

    fn pod(&self) -> String {
        self.service_account("sallyport", "ci", "default", true)
    }

    /// What the CI token beside a good pod token is taken for.
    async fn job(&self, token: Option<&str>) -> Result<control_plane_core::identity::Identity, AuthnError> {
        let (cluster, pod) = self.authn.pod(&self.pod(), now()).unwrap();
        self.authn.identity(&cluster, pod, token, now()).await
    }
}

/// Failure row T4: five kinds of token, four doors. Each opens one.
#[tokio::test]
async fn each_kind_of_token_opens_one_door() {
    let world = World::new(IssuerKind::Oidc, &[], None, false);
    let claims = json!({"aud": CI, "sub": "job"});
    let tokens = [
        ("pod", world.pod()),
        ("agent", world.service_account("sallyport-agent", "sallyport", "sallyport-agent", true)),
        ("ci", world.ci.token(&claims)),
        ("approver", ann(&world.people)),
        // Signed by the right key of another kind, with the other's audience.
        ("approver", world.people.token(&json!({"aud": [CI, OURS], "sub": "ann", "groups": ["sre"]}))),
        ("none", world.service_account("https://kubernetes.default.svc", "ci", "default", true)),
        ("none", world.service_account("sallyport", "ci", "default", false)),
        ("none", world.service_account("sallyport-agent", "ci", "default", true)),
        ("none", world.people.token(&json!({"aud": CI, "sub": "ann"}))),
        ("none", world.people.token(&json!({"iss": world.ci.url(), "aud": CI, "sub": "ann"}))),
        ("none", world.ci.token(&json!({"iss": world.people.url(), "aud": OURS, "sub": "job"}))),
        ("none", world.ci.token(&json!({"aud": OURS, "sub": "job"}))),
        ("none", world.ci.token(&json!({"iss": world.kubernetes.url(), "aud": "sallyport", "sub": "job"}))),
    ];
    for (number, (kind, token)) in tokens.iter().enumerate() {
        let opens = [
            ("pod", world.authn.pod(token, now()).is_ok()),
            ("agent", world.authn.agent(token, now()).is_ok()),
            ("ci", world.job(Some(token)).await.is_ok()),
            ("approver", world.authn.approver(token, now()).await.is_ok()),
        ];
        for (door, open) in opens {
            assert_eq!(open, door == *kind, "token {number} ({kind}) at the door of {door}");
        }
    }
}

fn with(base: &Value, changes: &Value) -> Value {
    let mut all = base.clone();
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    all
}

/// Failure row T7: GitHub's claims. Names and subjects can be taken over; what counts is what the configuration pins.
#[tokio::test]
async fn github_claims() {
    let world = World::new(IssuerKind::Github, &GITHUB, Some("actor_id"), true);
    let good = json!({
        "aud": CI, "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "repository_id": "4711",
        "repository_owner": "acme", "repository_owner_id": "42", "ref": "refs/heads/main", "event_name": "push",
        "job_workflow_ref": GITHUB[1].1, "actor": "ann", "actor_id": "1001", "run_id": "7", "run_attempt": "1",
    });
    let identity = world.job(Some(&world.ci.token(&good))).await.unwrap();
    let ci = identity.ci().unwrap();
    assert_eq!((ci.subject.as_str(), ci.person.as_deref()), ("repo:acme/app:ref:refs/heads/main", Some("1001")));
    assert_eq!(ci.claims.get("ref").map(String::as_str), Some("refs/heads/main"));
    let refused = [
        // The name was taken over: another repository under the same name, with the same subject.
        json!({"repository_id": "4712"}),
        json!({"repository_id": "4711 "}),
        json!({"repository_id": null}),
        json!({"repository_id": ["4711"]}),
        json!({"repository_id": {"id": "4711"}}),
        json!({"job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/fork"}),
        json!({"job_workflow_ref": format!("{}x", GITHUB[1].1)}),
        json!({"job_workflow_ref": null}),
        // Nobody knows who stands behind it.
        json!({"actor_id": null}),
        json!({"actor_id": ""}),
        json!({"actor_id": ["1001"]}),
        // Anybody can cause these on a public repository.
        json!({"event_name": "pull_request"}),
        json!({"event_name": "pull_request_target"}),
        json!({"event_name": "workflow_run"}),
        json!({"event_name": "issue_comment"}),
        json!({"event_name": null}),
        json!({"aud": "sallyport"}),
        json!({"aud": ["https://github.com/acme"]}),
        json!({"aud": [CI, 5]}),
        json!({"aud": null}),
        json!({"iss": "https://token.actions.githubusercontent.example"}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"jti": null}),
        json!({"exp": null}),
        json!({"exp": since_the_epoch().as_secs() - 31}),
        json!({"exp": "9999999999"}),
        json!({"nbf": since_the_epoch().as_secs() + 60}),
        json!({"iat": since_the_epoch().as_secs() + 60}),
    ];
    for change in refused {
        let error = world.job(Some(&world.ci.token(&with(&good, &change)))).await.err();
        let error = error.unwrap_or_else(|| panic!("{change} was let in"));
        // The sentence says which claim, and nothing of the token.
        let name = change.as_object().unwrap().keys().next().unwrap();
        let words = match name.as_str() {
            "aud" if change["aud"] != json!(null) && change["aud"] != json!([CI, 5]) => "audience",
            "iss" => "not configured here",
            "exp" if change["exp"].is_number() => "expired",
            "nbf" | "iat" => "not valid before",
            other => other,
        };
        assert!(error.to_string().contains(words), "{change}: {error}");
    }
    let error = world.job(None).await.unwrap_err();
    assert!(error.to_string().contains("needs the CI provider's token"), "{error}");
    // Numbers count as their digits: providers differ.
    world.job(Some(&world.ci.token(&with(&good, &json!({"repository_id": 4711, "actor_id": 1001}))))).await.unwrap();
}

/// An event that anybody can cause opens a session only where the configuration names it.
#[tokio::test]
async fn a_named_event_is_let_in() {
    let require = [GITHUB[0], ("event_name", "pull_request")];
    let world = World::new(IssuerKind::Github, &require, None, true);
    let claims = json!({"aud": CI, "sub": "x", "repository_id": "4711", "event_name": "pull_request"});
    world.job(Some(&world.ci.token(&claims))).await.unwrap();
    let push = with(&claims, &json!({"event_name": "push"}));
    assert!(world.job(Some(&world.ci.token(&push))).await.is_err());
}

/// The same of GitLab, whose ids come as texts or as numbers.
#[tokio::test]
async fn gitlab_claims() {
    let require = [("project_id", "22"), ("namespace_id", "72"), ("ref_protected", "true")];
    let world = World::new(IssuerKind::Gitlab, &require, Some("user_id"), true);
    let good = json!({
        "aud": CI, "sub": "project_path:group/app:ref_type:branch:ref:main", "project_id": "22", "project_path": "group/app",
        "namespace_id": "72", "namespace_path": "group", "user_id": "42", "user_login": "ann", "pipeline_id": "574",
        "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch", "ref_protected": "true",
    });
    for same in [json!({}), json!({"project_id": 22, "user_id": 42}), json!({"ref_protected": true})] {
        let identity = world.job(Some(&world.ci.token(&with(&good, &same)))).await.unwrap();
        assert_eq!(identity.ci().unwrap().person.as_deref(), Some("42"), "{same}");
    }
    for change in [
        json!({"project_id": "23"}),
        json!({"project_id": null}),
        json!({"namespace_id": "73"}),
        json!({"ref_protected": "false"}),
        json!({"ref_protected": null}),
        json!({"user_id": null}),
        json!({"pipeline_source": "merge_request_event"}),
        json!({"pipeline_source": "external_pull_request_event"}),
        json!({"pipeline_source": null}),
        json!({"aud": "https://gitlab.example"}),
    ] {
        assert!(world.job(Some(&world.ci.token(&with(&good, &change)))).await.is_err(), "{change} was let in");
    }
}

/// A session goes on with a fresh token of the same job of the same pod, and with no other.
#[tokio::test]
async fn a_renewal_is_of_the_same_job() {
    let world = World::new(IssuerKind::Github, &GITHUB, Some("actor_id"), true);
    let good = json!({
        "aud": CI, "sub": "repo:acme/app:ref:refs/heads/main", "repository_id": "4711", "event_name": "push",
        "job_workflow_ref": GITHUB[1].1, "actor_id": "1001", "run_id": "7", "run_attempt": "1",
    });
    let first = world.job(Some(&world.ci.token(&good))).await.unwrap();
    let fresh = world.job(Some(&world.ci.token(&good))).await.unwrap();
    assert!(first.is_same_runner(&fresh));
    for change in [
        json!({"run_id": "8"}),
        json!({"run_attempt": "2"}),
        json!({"run_id": null}),
        json!({"sub": "repo:acme/app:environment:production"}),
        json!({"actor_id": "1002"}),
    ] {
        let other = world.job(Some(&world.ci.token(&with(&good, &change)))).await.unwrap();
        assert!(!first.is_same_runner(&other), "{change}");
        assert!(!other.is_same_runner(&first), "{change}");
    }
}
