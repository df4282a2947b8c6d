//! look → decide: what policy says of a request, and what it needed to see for that.

use std::sync::Arc;

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::Verdict;
use control_plane_core::mask::changes::Reviewed;
use control_plane_core::policy::{self, Body, Question, SessionFacts};
use shared::limits;

use super::Gateway;
use crate::sessions::{Session, Taken};

/// The object that a request is about, masked.
pub(super) enum Live {
    /// Nobody needed it, or there is no one object.
    None,
    /// It was read, if there is one, and its masked values were compared with the request's.
    Read(Reviewed),
    /// It could not be read: whatever needs it is held, and then refused.
    Failed(String),
}

impl Live {
    fn for_policy(&self) -> policy::Live<'_> {
        match self {
            Self::None | Self::Failed(_) => policy::Live::NotRead,
            Self::Read(read) => read.live.as_ref().map_or(policy::Live::Absent, policy::Live::Present),
        }
    }
}

impl Gateway {
    /// Judges a request under today's policy, and takes what it costs from its session. Where another operation got through between the
    /// question and that, it is asked again: operations side by side are judged as one after the other.
    pub(super) async fn judge_and_take(
        &self,
        session: &Arc<Session>,
        attributes: &Attributes,
    ) -> (Verdict, Live, Taken) {
        let mut live = Live::None;
        loop {
            let (verdict, seen) = self.ask(session, attributes, &mut live).await;
            if let Some(taken) = session.note(&seen, attributes, &verdict) {
                return (verdict, live, taken);
            }
        }
    }

    /// Judges a request under today's policy, and takes nothing.
    pub(super) async fn judge(&self, session: &Arc<Session>, attributes: &Attributes) -> (Verdict, Live) {
        let mut live = Live::None;
        let (verdict, _) = self.ask(session, attributes, &mut live).await;
        (verdict, live)
    }

    /// Reads the live object only if a rule or a hold needs it. Gives the session's past that was looked at.
    async fn ask(&self, session: &Arc<Session>, attributes: &Attributes, live: &mut Live) -> (Verdict, SessionFacts) {
        let current = self.policies.current();
        let mut asked = Asked::new(self, session, attributes);
        if matches!(live, Live::None) && policy::needs_live(&current, &asked.question(attributes, live)) {
            *live = Box::pin(self.look(attributes)).await;
            // Reading took time, in which the session may have done more.
            asked = Asked::new(self, session, attributes);
        }
        let started = self.recorder.clock.monotonic();
        let out_of_time = || self.recorder.clock.monotonic().saturating_sub(started) > limits::CEL_TIME;
        let mut verdict = policy::decide(&current, &asked.question(attributes, live), &out_of_time);
        // What policy hides is not there, for the asker: neither in a reason nor in what is pinned and shown to people.
        if let Live::Read(read) = live
            && read.live.take_if(|live| verdict.hides(attributes.info(), live)).is_some()
        {
            read.masked_fields = None;
            verdict = policy::decide(&current, &asked.question(attributes, live), &out_of_time);
        }
        (verdict, asked.facts)
    }

    /// The look stage: an internal operation with a grant of its own.
    async fn look(&self, attributes: &Attributes) -> Live {
        let Some(target) = attributes.info().live_object() else { return Live::None };
        match self.agents.live_read(attributes, &target).await {
            Ok(read) => Live::Read(read),
            Err(error) => {
                let why = shared::chain::Chain(&error).to_string();
                tracing::warn!(operation.id = %attributes.operation(), why, "the live object could not be read");
                Live::Failed(error.to_string())
            }
        }
    }
}

/// What a question to policy borrows.
struct Asked {
    facts: SessionFacts,
    query: Vec<(String, String)>,
    content_type: String,
}

impl Asked {
    fn new(gateway: &Gateway, session: &Session, attributes: &Attributes) -> Self {
        let mut facts = session.facts(gateway.recorder.clock.steady());
        facts.bypass = gateway.alarms.is_on(session.cluster());
        Self {
            facts,
            query: attributes.query().iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            content_type: media_type(attributes),
        }
    }

    fn question<'a>(&'a self, attributes: &'a Attributes, live: &'a Live) -> Question<'a> {
        let body = match attributes.request().body() {
            None => Body::Absent,
            Some(body) => Body::Read { content_type: &self.content_type, value: &body.value },
        };
        Question {
            info: attributes.info(),
            identity: attributes.identity(),
            query: &self.query,
            body,
            live: live.for_policy(),
            session: &self.facts,
            cluster: attributes.cluster(),
        }
    }
}

/// The content type without parameters: it tells the four kinds of patch apart.
fn media_type(attributes: &Attributes) -> String {
    let header = attributes.request().wire().header(&http::header::CONTENT_TYPE);
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
