//! The routes. [`ROUTES`] is the one list that dispatch, the OpenAPI document and the tests share.

use control_plane_core::four_eyes::{Mode, Via, Voter};
use control_plane_core::lifecycle::{Ballot, VoteEffect, VoteError};
use control_plane_core::statement::Signature;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::json;
use shared::ids::{HoldId, SessionId};

use super::answer::{self, Answer, Problem};
use super::caller::{Caller, LocalPeer};
use super::{Parts, caller, clusters, openapi, status};
use crate::approvals::BallotError;
use crate::store::Filter;

/// Rows that one call gives at the most.
const ROWS: u32 = 500;

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// All holds.
    Approvals,
    /// One hold.
    Approval,
    /// A yes.
    Approve,
    /// A no.
    Deny,
    /// Ways round the agent that are open now.
    Bypass,
    /// All sessions.
    Sessions,
    /// One session.
    Session,
    /// Its end.
    Revoke,
    /// Operations.
    Operations,
    /// What never became one.
    Rejected,
    /// The policy in force.
    Policy,
    /// Known clusters.
    Clusters,
    /// A token for one more.
    Enrol,
    /// The end of one.
    Forget,
    /// What happens.
    Events,
    /// How the control plane and what is connected to it are.
    Status,
    /// Who the caller is.
    Whoami,
    /// The document.
    OpenApi,
}

/// The two methods that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// GET.
    Get,
    /// POST.
    Post,
}

impl How {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What it calls.
    pub call: Call,
    /// How.
    pub method: How,
    /// Where; `{id}` stands for one segment.
    pub path: &'static str,
    /// What for.
    pub summary: &'static str,
    /// Schema of the answer (of each event, for events).
    pub answer: &'static str,
    /// Keys of the query with the schema of their value.
    pub query: &'static [(&'static str, &'static str)],
    /// Schema of the body.
    pub body: Option<&'static str>,
}

const fn get(call: Call, path: &'static str, answer: &'static str, summary: &'static str) -> Route {
    Route { call, method: How::Get, path, summary, answer, query: &[], body: None }
}

const fn post(call: Call, path: &'static str, answer: &'static str, summary: &'static str) -> Route {
    Route { method: How::Post, ..get(call, path, answer, summary) }
}

/// All of them.
pub const ROUTES: [Route; 18] = [
    Route {
        query: &[("live", "boolean")],
        ..get(
            Call::Approvals,
            "/v1/approvals",
            "Holds",
            "Holds, newest first; with live=true those that wait or are approved and unused",
        )
    },
    get(
        Call::Approval,
        "/v1/approvals/{id}",
        "HoldWithOperations",
        "One hold, with what an approver must see, and the operations that wait on it",
    ),
    Route {
        body: Some("Approval"),
        ..post(
            Call::Approve,
            "/v1/approvals/{id}/approve",
            "Voted",
            "Vote yes, with a signature over the statement or without",
        )
    },
    Route {
        body: Some("Denial"),
        ..post(Call::Deny, "/v1/approvals/{id}/deny", "Voted", "Vote no, with a reason that the asker reads")
    },
    Route {
        query: &[("after", "integer"), ("limit", "integer")],
        ..get(
            Call::Sessions,
            "/v1/sessions",
            "Sessions",
            "Sessions, newest first; with after in the store's order, those after a sequence number",
        )
    },
    get(
        Call::Session,
        "/v1/sessions/{id}",
        "SessionWithOperations",
        "One session with its operations in order, at most 5000; the rest is in /v1/operations",
    ),
    post(
        Call::Revoke,
        "/v1/sessions/{id}/revoke",
        "Revoked",
        "End a session now: its streams are cut and its holds are void",
    ),
    Route {
        query: &[("session", "Id"), ("after", "integer"), ("limit", "integer")],
        ..get(
            Call::Operations,
            "/v1/operations",
            "Operations",
            "Operations in the store's order, those after a sequence number",
        )
    },
    get(Call::Rejected, "/v1/rejected", "Rejected", "Attempts that never became an operation, newest first"),
    get(Call::Policy, "/v1/policy", "Policy", "The policy in force, and what is wrong with a newer file"),
    get(
        Call::Clusters,
        "/v1/clusters",
        "Clusters",
        "The clusters that are known, how they became so, and the enrolment tokens that wait",
    ),
    Route {
        body: Some("EnrolmentWanted"),
        ..post(
            Call::Enrol,
            "/v1/clusters/enrol",
            "EnrolmentToken",
            "Make a one-time token for a cluster; over the local socket only",
        )
    },
    Route {
        body: Some("ClusterName"),
        ..post(
            Call::Forget,
            "/v1/clusters/forget",
            "Forgotten",
            "Forget a cluster that was enrolled, or take its token back; over the local socket only",
        )
    },
    get(
        Call::Events,
        "/v1/events",
        "Event",
        "Changes of holds, and alarms, as server-sent events, for as long as the credential is good",
    ),
    get(Call::Bypass, "/v1/bypass", "Alarms", "Runners that reach the API server or their node without the agent now"),
    get(
        Call::Status,
        "/v1/status",
        "Health",
        "The control plane itself, and the agents and sidecars that are connected",
    ),
    get(Call::Whoami, "/v1/whoami", "Caller", "Who the caller is taken for"),
    get(Call::OpenApi, "/openapi.json", "OpenApi", "This document"),
];

/// What a request asks for, before anybody knows whether it may.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
}

/// A call by somebody who is known. Its body has not been read yet: nothing of a stranger's is.
pub(super) struct Known {
    caller: Caller,
    route: &'static Route,
    id: String,
    query: String,
}

/// Authentication first: to a stranger every path looks the same.
pub(super) async fn identify(parts: &Parts, asked: Asked<'_>, local: Option<LocalPeer>) -> Result<Known, Problem> {
    let Asked { method, path, query, headers } = asked;
    let caller = caller::authenticate(parts, headers, local).await?;
    let (route, id) = find(method, path)?;
    caller::check_type(method, headers)?;
    Ok(Known { caller, route, id: id.to_owned(), query: query.to_owned() })
}

/// The route, and what stands for `{id}`. Paths are compared as they are: there is one way to write each.
fn find<'a>(method: &Method, path: &'a str) -> Result<(&'static Route, &'a str), Problem> {
    // A table in a constant can be referred to for ever.
    const TABLE: &[Route] = &ROUTES;
    let fits = TABLE.iter().filter_map(|route| Some((route, fit(route.path, path)?)));
    let mut other = false;
    for (route, id) in fits {
        if route.method.as_str() == method.as_str() {
            return Ok((route, id));
        }
        other = true;
    }
    Err(if other { Problem::Method(method.to_string()) } else { Problem::NoRoute })
}

fn fit<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = template.split_once("{id}") else { return (template == path).then_some("") };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

impl Known {
    /// Whether it changes anything.
    pub(super) fn changes(&self) -> bool {
        matches!(self.route.method, How::Post)
    }

    /// Carries it out.
    pub(super) async fn answer(self, parts: &Parts, body: &[u8]) -> Result<Answer, Problem> {
        let Self { caller, route, id, query } = self;
        let (id, query) = (id.as_str(), Query::read(&query, route)?);
        let may_read = caller.may_read(parts);
        may_call(route.call, &caller, may_read)?;
        if route.body.is_none() && !body.is_empty() {
            return Err(Problem::Bad("this call takes no body".to_owned()));
        }
        let Caller { voter, expires } = caller;
        let store = &parts.store;
        Ok(match route.call {
            Call::Approvals => answer::json(&store.holds(query.flag("live")?, ROWS).await?),
            Call::Approval => {
                let id = hold_id(id)?;
                let hold = store.hold(id).await?.ok_or(Problem::NotFound("hold"))?;
                answer::json(&json!({ "hold": hold, "operations": store.operations_of_hold(id).await? }))
            }
            Call::Approve => vote(parts, voter, hold_id(id)?, Ballot::Approve { signature: approval(body)? }).await?,
            Call::Deny => {
                let denial: Denial = serde_json::from_slice(body)
                    .map_err(|_| Problem::Bad("the body must be {\"reason\": \"…\"}".to_owned()))?;
                vote(parts, voter, hold_id(id)?, Ballot::Deny { reason: denial.reason }).await?
            }
            Call::Sessions => {
                let limit = query.rows()?;
                answer::json(&match query.number("after")? {
                    None => store.sessions(limit).await?,
                    Some(after) => store.sessions_after(after, limit).await?,
                })
            }
            Call::Session => {
                let id = session_id(id)?;
                let session = store.session(id).await?.ok_or(Problem::NotFound("session"))?;
                let operations = store.operations(Filter { session: Some(id), after: 0, limit: 10 * ROWS }).await?;
                answer::json(&json!({ "session": session, "operations": operations }))
            }
            Call::Revoke => revoke(parts, &voter, session_id(id)?).await?,
            Call::Operations => {
                let session = query.value("session").map(str::parse).transpose();
                let session = session.map_err(|_| Problem::Bad("session is no id".to_owned()))?;
                let filter = Filter { session, after: query.number("after")?.unwrap_or(0), limit: query.rows()? };
                answer::json(&store.operations(filter).await?)
            }
            Call::Rejected => answer::json(&store.rejected(ROWS).await?),
            Call::Policy => answer::json(&parts.policies.state()),
            Call::Bypass => answer::json(&parts.alarms.list()),
            Call::Clusters => answer::json(&parts.enrolments.list().await?),
            Call::Enrol => clusters::enrol(parts, &voter, body).await?,
            Call::Forget => clusters::forget(parts, &voter, body).await?,
            Call::Events => Answer::Events { changes: parts.events.listen(), until: expires },
            Call::Status => answer::json(&status::of(parts).await),
            Call::Whoami => answer::json(&json!({
                "issuer": voter.issuer,
                "subject": voter.subject,
                "person": voter.person,
                "groups": voter.groups,
                "via": voter.via,
                "mayRead": may_read,
                "expires": expires,
            })),
            Call::OpenApi => answer::json(&openapi::document()),
        })
    }
}

/// Whether this caller may call this at all; who may vote or end a session is asked where it is done.
fn may_call(call: Call, caller: &Caller, may_read: bool) -> Result<(), Problem> {
    // Whoever is at the local socket was let there by the machine's administrator, and `doctor` needs to know how things are.
    let local = caller.voter.via == Via::LocalSocket;
    // To approve is not to administer: which cluster a name stands for decides what policies mean.
    if !local && matches!(call, Call::Enrol | Call::Forget) {
        return Err(Problem::Forbidden(
            "clusters are enrolled and forgotten over the local socket only, where the control plane runs".to_owned(),
        ));
    }
    let for_local = local && matches!(call, Call::Status | Call::Clusters | Call::Enrol | Call::Forget);
    let open = for_local || matches!(call, Call::Whoami | Call::OpenApi | Call::Approve | Call::Deny);
    if open || may_read {
        return Ok(());
    }
    Err(Problem::Forbidden(
        "only members of a group that approves something, or of auditorGroups, may see this".to_owned(),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denial {
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    #[serde(default)]
    signature: Option<Signature>,
}

/// The signature that may come with a yes. No body is a yes without one.
fn approval(body: &[u8]) -> Result<Option<Signature>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let wrong = |_| {
        Problem::Bad("the body must be empty, or {\"signature\": {\"algorithm\", \"keyId\", \"signature\"}}".to_owned())
    };
    serde_json::from_slice::<Approval>(body).map(|approval| approval.signature).map_err(wrong)
}

async fn vote(parts: &Parts, voter: Voter, id: HoldId, ballot: Ballot) -> Result<Answer, Problem> {
    let (subject, local) = (voter.subject.clone(), voter.via == Via::LocalSocket);
    let (effect, record) = match parts.approvals.vote(id, voter, ballot).await {
        Ok(voted) => voted,
        Err(BallotError::Unknown) => return Err(Problem::NotFound("hold")),
        Err(BallotError::Store(error)) => return Err(error.into()),
        Err(BallotError::Vote(error)) => {
            let text = shared::chain::Chain(&error).to_string();
            return Err(match error {
                VoteError::Refused(_) => Problem::Forbidden(text),
                VoteError::Over { .. } => Problem::Conflict(text),
                VoteError::ReasonTooLong | VoteError::SignatureTooLong => Problem::Bad(text),
            });
        }
    };
    tracing::info!(hold.id = %id, approver = subject, phase = record.phase().as_str(), "vote");
    let (word, have, need) = match effect {
        VoteEffect::Counted { have, need } => ("counted", Some(have), Some(need)),
        VoteEffect::Approved(_) => ("approved", None, None),
        VoteEffect::Denied => ("denied", None, None),
    };
    let warning = (local && parts.approvals.mode() == Mode::Try)
        .then_some("one vote over the local socket was enough, because this is a trial: nobody proved to be another person than the asker");
    Ok(answer::json(
        &json!({ "result": word, "have": have, "need": need, "phase": record.phase(), "warning": warning }),
    ))
}

async fn revoke(parts: &Parts, voter: &Voter, id: SessionId) -> Result<Answer, Problem> {
    if !caller::approves(parts, voter) {
        return Err(Problem::Forbidden(
            "only a member of a group that approves something may end a session".to_owned(),
        ));
    }
    let why = format!("revoked by {}", voter.subject);
    let revoked = parts.sessions.revoke(id, &why).await?;
    parts.approvals.void_session(id).await?;
    if revoked { Ok(answer::json(&json!({ "result": "revoked" }))) } else { Err(Problem::NotFound("open session")) }
}

fn hold_id(text: &str) -> Result<HoldId, Problem> {
    text.parse().map_err(|_| Problem::NotFound("hold"))
}

fn session_id(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|_| Problem::NotFound("session"))
}

/// A query whose every key is known and stands once.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn read(text: &'a str, route: &Route) -> Result<Self, Problem> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        for (index, (key, _)) in pairs.iter().enumerate() {
            let known = route.query.iter().any(|(name, _)| name == key);
            if !known || pairs.iter().skip(index + 1).any(|(other, _)| other == key) {
                let known: Vec<_> = route.query.iter().map(|(name, _)| *name).collect();
                return Err(Problem::Bad(format!(
                    "the query may have each of [{}] once, and nothing else",
                    known.join(", ")
                )));
            }
        }
        Ok(Self(pairs))
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.value(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::Bad(format!("{key} is true or false"))),
        }
    }

    /// How many rows are wanted, up to what one call gives.
    fn rows(&self) -> Result<u32, Problem> {
        Ok(self.number("limit")?.and_then(|n| u32::try_from(n).ok()).unwrap_or(ROWS).min(ROWS))
    }

    fn number(&self, key: &str) -> Result<Option<i64>, Problem> {
        let number = |text: &str| text.parse::<u32>().map(i64::from);
        self.value(key).map(number).transpose().map_err(|_| Problem::Bad(format!("{key} is a number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_to_write_a_path() {
        let call = |path: &str| find(&Method::GET, path).map(|(route, id)| (route.call, id.to_owned()));
        assert_eq!(call("/v1/approvals").unwrap(), (Call::Approvals, String::new()));
        assert_eq!(call("/v1/approvals/x").unwrap(), (Call::Approval, "x".to_owned()));
        for wrong in [
            "",
            "/",
            "v1/approvals",
            "/v1/approvals/",
            "//v1/approvals",
            "/v1//approvals",
            "/v1/approvals/x/",
            "/v1/approvals/x/y",
            "/v1/./approvals",
            "/V1/approvals",
            "/v1/approvals%2fx",
        ] {
            assert!(matches!(call(wrong), Err(Problem::NoRoute)), "{wrong}");
        }
        assert!(matches!(call("/v1/approvals/x/approve"), Err(Problem::Method(_))));
    }
}
