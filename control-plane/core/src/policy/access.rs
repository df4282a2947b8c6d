//! `auth can-i`: SelfSubjectAccessReviews are answered from policy, because policy is what the asker may do. The API server would
//! speak of the group that we impersonate.

use super::Policy;
use super::decide::decide;
use super::question::{AccessQuestion, Body, Live, Question, SessionFacts};
use crate::decision::{Effect, Explanation};
use crate::identity::Identity;
use crate::request_info::RequestInfo;
use crate::risk::verbs;

/// The answer to a SelfSubjectAccessReview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `allowed: true`.
    Yes,
    /// `allowed: true`, with a `Warning` that people are asked first.
    YesAfterApproval,
    /// `allowed: false`.
    No,
}

/// The answer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessAnswer {
    /// What it is.
    pub access: Access,
    /// Why, as for a request.
    pub explanation: Explanation,
}

impl Policy {
    /// What the asker may do, as far as it can be said without a body: a body may raise the risk, and never lowers it.
    pub fn access_review(
        &self,
        asked: &AccessQuestion<'_>,
        identity: &Identity,
        cluster: &str,
        session: &SessionFacts,
        out_of_time: &(dyn Fn() -> bool + Sync),
    ) -> AccessAnswer {
        let Some(verb) =
            verbs::parse(asked.verb).filter(|_| !asked.resource.contains('*') && !asked.group.contains('*'))
        else {
            return self.never(asked);
        };
        let resource = asked.path.is_none();
        let own = |text: &str| if resource { text.to_owned() } else { String::new() };
        let (word, subresource) = match asked.resource.split_once('/') {
            // kubectl writes `pods/exec` into the resource only with --subresource; others do without.
            Some((word, subresource)) if asked.subresource.is_empty() => (word, subresource),
            _ => (asked.resource, asked.subresource),
        };
        let info = RequestInfo {
            is_resource_request: resource,
            non_resource_path: asked.path.unwrap_or_default().to_owned(),
            verb,
            api_group: own(asked.group),
            api_version: String::new(),
            namespace: own(asked.namespace),
            resource: own(word),
            subresource: own(subresource),
            name: own(asked.name),
            proxy_path: String::new(),
        };
        let question =
            Question { info: &info, identity, query: &[], body: Body::Unknown, live: Live::NotRead, session, cluster };
        let verdict = decide(self, &question, out_of_time);
        let access = match verdict.explanation.effect {
            Effect::Allow => Access::Yes,
            Effect::Hold => Access::YesAfterApproval,
            Effect::Deny => Access::No,
        };
        AccessAnswer { access, explanation: verdict.explanation }
    }

    /// Verbs that no request has, and `*`: whoever may do everything may do that, and nobody may.
    fn never(&self, asked: &AccessQuestion<'_>) -> AccessAnswer {
        AccessAnswer {
            access: Access::No,
            explanation: Explanation {
                rule: "default/no-rule".to_owned(),
                effect: Effect::Deny,
                risk: 100,
                hold_at: self.defaults.hold_at,
                deny_at: self.defaults.deny_at,
                contributions: Vec::new(),
                notes: vec![format!(
                    "nobody may \"{}\" everything, or use a right that is no request: ask for single verbs and resources",
                    crate::risk::shown(asked.verb)
                )],
            },
        }
    }
}
