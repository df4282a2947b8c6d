//! Enrolment: a cluster that is not in the configuration becomes known by a one-time token, once, and stays known until it is forgotten.
//!
//! `sallyport clusters enrol` makes the token over the local socket; `sallyport install --enrol`, run with an administrator's credentials,
//! writes it beside the cluster's uid and issuer keys; the agents show all of it here. Who holds the token speaks for the cluster, once:
//! nobody else could say which keys are its own, since nothing of the cluster is known before. So the token is short-lived, is spent in the
//! transaction that pins the cluster, and pins what it came with; a second cluster that shows it is refused, and told to people.
//!
//! Invariant: what is pinned is never replaced; and to whoever has no token that was made here all names look the same.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use shared::limits;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::enrolment::{self, EnrolmentToken};
use shared_net::pki::KeyPin;

use crate::agents::{Agents, HelloRequest, Offer};
use crate::approvals::Approvals;
use crate::authn::{Authn, NotAdmitted};
use crate::config::{Cluster, Keys};
use crate::ration::Ration;
use crate::sessions::Sessions;
use crate::store::{AskedFor, EnrolmentRow, NewEnrolment, PinnedCluster, Spending, Store, StoreError};

/// The ServiceAccount of agents, as `sallyport install` makes it: namespace and name.
pub const AGENT: (&str, &str) = ("sallyport", "sallyport-agent");

const FORGOTTEN: &str = "its cluster was forgotten here";

/// Why a cluster is not enrolled. What its agent, and so a person, reads; each but the last few means that a token was made here.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Too many wrong ones came from there.
    #[error("too many enrolment tokens that are none came from there: wait a minute")]
    Throttled,
    /// There is none like it.
    #[error(
        "this enrolment token is not good here: make another with `sallyport clusters enrol` where the control plane runs"
    )]
    Unknown,
    /// What came with it is none.
    #[error("the enrolment is malformed: {0}; print the manifests again with `sallyport install --enrol`")]
    Malformed(&'static str),
    /// It is too late.
    #[error("the enrolment token was good until {0}: make another with `sallyport clusters enrol` and install again")]
    Expired(Timestamp),
    /// It was taken back, replaced, or its cluster forgotten.
    #[error(
        "the enrolment token was taken back, or its cluster forgotten: make another with `sallyport clusters enrol`"
    )]
    Over,
    /// Who showed it first has it.
    #[error(
        "the enrolment token was used by another cluster, or one with other issuer keys, and a token is good for one: if that was not you, \
         somebody had it: `sallyport clusters forget` there, and make another"
    )]
    SpentByAnother,
    /// The cluster, or its agent.
    #[error(transparent)]
    Refused(#[from] NotAdmitted),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not a name.
    #[error("{0:?} is no name of a cluster: at most 253 of a-z, 0-9, '-' and '.'")]
    Name(String),
    /// How long it is to be good.
    #[error("a token is good for {min} to {max} s", min = limits::ENROLMENT_LIFE_MIN.as_secs(), max = limits::ENROLMENT_LIFE_MAX.as_secs())]
    Life,
    /// It is known.
    #[error("cluster {0} is enrolled already: `sallyport clusters forget {0}` first, if it is to be another")]
    Enrolled(String),
    /// The configuration has it.
    #[error(
        "cluster {0} is in the configuration file, which says all of it: take it out there first, if it is to be enrolled"
    )]
    Configured(String),
    /// Too many.
    #[error("{max} enrolment tokens wait already: `sallyport clusters list` shows for whom", max = limits::ENROLMENTS_WAITING)]
    TooMany,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// There is nothing of that name.
    #[error("no cluster of that name is enrolled, and no token waits for it: `sallyport clusters list` shows all")]
    Unknown,
    /// The configuration has it.
    #[error("cluster {0} is in the configuration file: take it out there, and start the control plane again")]
    Configured(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wanted of a token.
pub struct Wanted {
    /// For which cluster.
    pub name: String,
    /// How long it is to be good.
    pub life: Duration,
    /// Whether a session of the cluster needs a CI provider's token.
    pub require_ci: bool,
    /// Whether keys count that the cluster publishes later.
    pub adopt_keys: bool,
}

/// A token, for the one time that it is shown.
pub struct Made {
    /// The text.
    pub token: Secret<String>,
    /// Until when it is good.
    pub expires: Timestamp,
    /// Whether one for the same name is void now.
    pub replaced: bool,
}

/// How a cluster became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// By the configuration file.
    Configuration,
    /// By a token.
    Token,
}

/// A cluster, as people see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    name: String,
    uid: String,
    issuer: String,
    how: How,
    require_ci: bool,
    adopt_keys: bool,
    /// Agents that are connected and heard.
    agents: usize,
    enrolled: Option<Timestamp>,
    enrolled_from: Option<String>,
    asked_by: Option<String>,
}

/// A token that waits, as people see it; nothing of its text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    name: String,
    asked: Timestamp,
    asked_by: String,
    expires: Timestamp,
    expired: bool,
    require_ci: bool,
    adopt_keys: bool,
}

/// All of both.
#[derive(Debug, Serialize)]
pub struct Clusters {
    clusters: Vec<Listed>,
    waiting: Vec<Waiting>,
}

/// What is asked and told.
pub struct Parts {
    /// Holds the keys.
    pub authn: Arc<Authn>,
    /// Are cut.
    pub agents: Arc<Agents>,
    /// Are ended.
    pub sessions: Arc<Sessions>,
    /// Are voided.
    pub approvals: Arc<Approvals>,
    /// Remembers.
    pub store: Store,
    /// Tells the time.
    pub clock: Clock,
    /// The key of our authority, which agents pin.
    pub pin: KeyPin,
}

/// Tokens, and the clusters that they made known.
pub struct Enrolments {
    parts: Parts,
    wrong: Mutex<Ration>,
    /// Held by whoever changes which clusters are known, so that none comes in while it is forgotten.
    changing: tokio::sync::Mutex<()>,
}

impl Enrolments {
    /// Joins what it takes.
    pub fn new(parts: Parts) -> Self {
        let wrong = Ration::new(limits::ENROLMENT_TRIES, limits::ENROLMENT_TRY_EVERY);
        Self { parts, wrong: Mutex::new(wrong), changing: tokio::sync::Mutex::default() }
    }

    /// Makes a token. It is in the answer, and nowhere else.
    pub async fn ask(&self, wanted: Wanted, asked_by: String) -> Result<Made, AskError> {
        let Wanted { name, life, require_ci, adopt_keys } = wanted;
        let Parts { store, clock, pin, .. } = &self.parts;
        if !is_name(&name) {
            return Err(AskError::Name(name.chars().take(80).collect()));
        }
        if life < limits::ENROLMENT_LIFE_MIN || life > limits::ENROLMENT_LIFE_MAX {
            return Err(AskError::Life);
        }
        if self.configured(&name) {
            return Err(AskError::Configured(name));
        }
        let (token, asked) = (EnrolmentToken::new(&name, *pin), clock.now());
        let (hash, expires) = (token.hash(), asked.after(life));
        tracing::info!(cluster = name, asked_by, %expires, "an enrolment token is wanted");
        let new = NewEnrolment { name: name.clone(), hash, asked, asked_by, expires, require_ci, adopt_keys };
        let replaced = match store.ask_enrolment(new).await? {
            AskedFor::Yes => false,
            AskedFor::Replaced => true,
            AskedFor::Enrolled => return Err(AskError::Enrolled(name)),
            AskedFor::TooMany => return Err(AskError::TooMany),
        };
        Ok(Made { token: token.text(), expires, replaced })
    }

    /// What is known, and what waits.
    pub async fn list(&self) -> Result<Clusters, StoreError> {
        let Parts { authn, agents, store, clock, .. } = &self.parts;
        let (rows, now) = (store.enrolments().await?, clock.now());
        let listed = |cluster: &Arc<Cluster>| {
            let by_token = matches!(cluster.keys, Keys::Enrolled { .. });
            let row = rows.iter().find(|row| by_token && row.name == cluster.name);
            let enrolled = row.and_then(|row| row.enrolled.as_ref());
            Listed {
                name: cluster.name.clone(),
                uid: cluster.uid.clone(),
                issuer: cluster.issuer.clone(),
                how: if by_token { How::Token } else { How::Configuration },
                require_ci: cluster.require_ci,
                adopt_keys: cluster.adopt_keys,
                agents: agents.list(&cluster.name).iter().filter(|agent| agent.heard).count(),
                enrolled: enrolled.map(|enrolled| enrolled.at),
                enrolled_from: enrolled.map(|enrolled| enrolled.from.clone()),
                asked_by: row.map(|row| row.asked_by.clone()),
            }
        };
        let waiting = rows.iter().filter(|row| row.enrolled.is_none()).map(|row| Waiting {
            name: row.name.clone(),
            asked: row.asked,
            asked_by: row.asked_by.clone(),
            expires: row.expires,
            expired: row.expires <= now,
            require_ci: row.require_ci,
            adopt_keys: row.adopt_keys,
        });
        Ok(Clusters { clusters: authn.clusters().iter().map(listed).collect(), waiting: waiting.collect() })
    }

    /// Forgets a cluster that was enrolled, or takes a token back that waits. The cluster's agents are cut and let in no more, its sessions
    /// are over, its holds void. Whether it was a cluster.
    pub async fn forget(&self, name: &str, by: &str) -> Result<bool, ForgetError> {
        if self.configured(name) {
            return Err(ForgetError::Configured(name.to_owned()));
        }
        let Parts { authn, agents, sessions, approvals, store, clock, .. } = &self.parts;
        let _changing = self.changing.lock().await;
        // First who is there, then the record of it: a store that can't write must not keep a link alive.
        authn.remove(name);
        agents.cut(name, FORGOTTEN);
        let why = format!("forgotten by {by}");
        let ended = store.end_enrolment(name, why, clock.now()).await?.ok_or(ForgetError::Unknown)?;
        sessions.end_all_of(name, FORGOTTEN).await?;
        approvals.void_cluster(name).await?;
        tracing::warn!(cluster = name, by, was_enrolled = ended.enrolled.is_some(), "a cluster is forgotten");
        Ok(ended.enrolled.is_some())
    }

    /// Enrols the cluster of an agent that shows a token, if its own is not good already. Its greeting is judged afterwards as any other.
    pub async fn present(&self, hello: &HelloRequest, from: IpAddr) -> Result<(), EnrolError> {
        let Parts { authn, store, clock, .. } = &self.parts;
        let Some(offer) = hello.enrolment() else { return Ok(()) };
        let own = hello.token().expose();
        // The usual case, once it is enrolled: the token in the cluster is a spent one.
        if authn.agent(own, clock.now()).is_ok() {
            return Ok(());
        }
        let (monotonic, wrong) = (clock.monotonic(), &self.wrong);
        if wrong.lock().unwrap_or_else(PoisonError::into_inner).is_out(from, monotonic) {
            return Err(EnrolError::Throttled);
        }
        let known = match enrolment::hash_of(offer.secret.expose()) {
            Some(hash) => store.enrolment(hash).await?.map(|row| (hash, row)),
            None => None,
        };
        let Some((hash, row)) = known else {
            wrong.lock().unwrap_or_else(PoisonError::into_inner).take(from, monotonic);
            return Err(EnrolError::Unknown);
        };
        let pinned = pinned(hello, offer)?;
        let _changing = self.changing.lock().await;
        self.spend(hash, &row, pinned, own, from).await
    }

    /// Judges, spends and admits. Nobody else changes which clusters are known meanwhile.
    async fn spend(
        &self,
        hash: [u8; 32],
        row: &EnrolmentRow,
        pinned: PinnedCluster,
        own: &str,
        from: IpAddr,
    ) -> Result<(), EnrolError> {
        let Parts { authn, store, clock, .. } = &self.parts;
        let now = clock.now();
        // Another replica was faster, with the same.
        if row.ended.is_none() && authn.agent(own, now).is_ok() {
            return Ok(());
        }
        // What the token is comes first: who holds a spent one is to hear that, and nothing of others.
        match &row.enrolled {
            None if row.expires <= now => return Err(EnrolError::Expired(row.expires)),
            _ if row.ended.is_some() => return Err(EnrolError::Over),
            Some(enrolled) if enrolled.pinned != pinned => return Err(EnrolError::SpentByAnother),
            Some(_) | None => {}
        }
        if row.enrolled.is_some() {
            // Its very cluster, whose agent is not let in for a reason of its own: the greeting says which.
            return Ok(());
        }
        let candidate = authn.judge(cluster(row, &pinned), own, now)?;
        match store.enrol(hash, pinned, from.to_canonical().to_string(), now).await? {
            Spending::Now(row) => {
                tracing::warn!(cluster = row.name, %from, asked_by = row.asked_by, "a cluster is enrolled");
                authn.admit(candidate);
                Ok(())
            }
            Spending::Before(_) => {
                authn.admit(candidate);
                Ok(())
            }
            Spending::ByAnother => Err(EnrolError::SpentByAnother),
            Spending::Expired(at) => Err(EnrolError::Expired(at)),
            Spending::Ended => Err(EnrolError::Over),
            Spending::TwoNames => Err(NotAdmitted::Uid.into()),
            Spending::Unknown => Err(EnrolError::Unknown),
        }
    }

    fn configured(&self, name: &str) -> bool {
        let clusters = self.parts.authn.clusters();
        clusters.iter().any(|cluster| cluster.name == name && matches!(cluster.keys, Keys::File(_)))
    }
}

/// Makes known what earlier processes enrolled.
///
/// # Errors
/// The configuration names one of them too: which of the two counts is for a person to say.
pub async fn restore(authn: &Authn, store: &Store) -> anyhow::Result<()> {
    let mut problems = shared::config::Problems::new();
    for row in store.enrolments().await? {
        let Some(enrolled) = &row.enrolled else { continue };
        let same = |other: &Arc<Cluster>| other.name == row.name || other.uid == enrolled.pinned.uid;
        let entry =
            authn.clusters().into_iter().find(same).map_or_else(|| row.name.clone(), |entry| entry.name.clone());
        match authn.restore(cluster(&row, &enrolled.pinned)) {
            Ok(()) => {}
            Err(NotAdmitted::Keys(why)) => problems.push("data", format!("the enrolled cluster {}: {why}", row.name)),
            Err(error) => problems.push(
                format!("clusters[{entry}]"),
                format!(
                    "a cluster is enrolled as {0}, and {error}: take this entry out. To keep the entry, start without it, say \
                     `sallyport clusters forget {0}`, and put it back",
                    row.name
                ),
            ),
        }
    }
    Ok(problems.finish(Some(()))?)
}

/// An enrolled cluster in the form that the configuration's have.
fn cluster(row: &EnrolmentRow, pinned: &PinnedCluster) -> Cluster {
    Cluster {
        name: row.name.clone(),
        uid: pinned.uid.clone(),
        issuer: pinned.issuer.clone(),
        keys: Keys::Enrolled { number: row.seq, set: pinned.keys.clone() },
        agent_namespace: AGENT.0.to_owned(),
        agent_service_account: AGENT.1.to_owned(),
        require_ci: row.require_ci,
        adopt_keys: row.adopt_keys,
    }
}

/// What an agent shows, if it can be pinned.
fn pinned(hello: &HelloRequest, offer: &Offer) -> Result<PinnedCluster, EnrolError> {
    let text = |text: &str, what| {
        let fits =
            !text.is_empty() && text.len() <= limits::ENROLMENT_WORD_BYTES && !text.chars().any(char::is_control);
        if fits { Ok(text.to_owned()) } else { Err(EnrolError::Malformed(what)) }
    };
    if offer.keys.len() > limits::ENROLMENT_KEYS_BYTES {
        return Err(EnrolError::Malformed("the key set is too long"));
    }
    Ok(PinnedCluster {
        uid: text(hello.cluster_uid(), "the cluster's uid can be none")?,
        issuer: text(&offer.issuer, "the issuer can be none")?,
        keys: offer.keys.clone(),
    })
}

/// As the configuration, `install` and the agents take it.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253 && name.starts_with(end) && name.ends_with(end) && name.chars().all(inner)
}
