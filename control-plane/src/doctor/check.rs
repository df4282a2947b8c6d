//! What a check says: a sentence that should hold, whether it does, what was seen, and what to do.
//!
//! [`ALL`] is the one list of checks. One that nobody came to is in the report all the same, as left out: a report never looks better
//! than what was looked at.

use serde::Serialize;

/// Whether a sentence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Ok,
    /// It holds, and something is to be known or done soon.
    Warning,
    /// Nobody looked.
    LeftOut,
    /// It does not hold.
    Failed,
}

/// What checks are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The cluster itself.
    Cluster,
    /// What is installed in it.
    Installation,
    /// Sidecars in Pods.
    Injection,
    /// What the network lets through.
    Network,
    /// The control plane, and what is connected to it.
    ControlPlane,
}

impl Group {
    /// The line above its checks.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cluster => "the cluster",
            Self::Installation => "what is installed",
            Self::Injection => "injection",
            Self::Network => "the network",
            Self::ControlPlane => "the control plane",
        }
    }
}

/// Every check there is, in the order of the report: its group, its name for programs, and the sentence that should hold.
pub const ALL: [(Group, &str, &str); 28] = [
    (Group::Cluster, "kubectl", "kubectl reaches the cluster as its administrator"),
    (Group::Cluster, "kubernetes-version", "Kubernetes is new enough"),
    (Group::Cluster, "cluster-clock", "the clocks of this machine, the API server and the nodes agree"),
    (Group::Installation, "installed", "Sallyport is installed, and its values are known"),
    (Group::Installation, "pinned", "the cluster is the one that was enrolled: its uid and the keys of its tokens"),
    (Group::Installation, "up-to-date", "everything is as this version installs it"),
    (Group::Installation, "running", "control plane, agents and injectors run"),
    (Group::Installation, "rights", "our roles and bindings are exactly as installed"),
    (Group::Installation, "no-more-rights", "nothing else gives rights to Sallyport's accounts and groups"),
    (Group::Installation, "webhook-certificate", "the injector's certificate is good, and the API server trusts it"),
    (Group::Injection, "webhooks", "webhooks and admission policies are exactly as installed"),
    (Group::Injection, "webhook-order", "no other webhook stands in the way of ours"),
    (Group::Injection, "injects", "an annotated Pod gets the sidecar (dry run)"),
    (Group::Injection, "refuses", "a Pod that would go round it is refused (dry run)"),
    (Group::Injection, "mandatory", "where the sidecar is mandatory, every Pod gets it (dry run)"),
    (Group::Network, "policies", "network policies are exactly as installed"),
    (Group::Network, "enforced", "they are enforced: a runner's Pod reaches nothing of the cluster by itself"),
    (Group::Network, "whole-path", "a call of that Pod goes through sidecar, control plane and agent"),
    (Group::ControlPlane, "answers", "the control plane answers, in this version"),
    (Group::ControlPlane, "clock", "its clock and this machine's agree"),
    (Group::ControlPlane, "store", "its store takes writes"),
    (Group::ControlPlane, "space", "there is room for records"),
    (Group::ControlPlane, "certificates", "its certificates are good"),
    (Group::ControlPlane, "policy", "the policy in force is the newest one"),
    (Group::ControlPlane, "approvals", "approvals don't rest on the control plane alone"),
    (Group::ControlPlane, "agents", "every cluster has agents, in this version"),
    (Group::ControlPlane, "sidecars", "the sidecars that are connected find no way round"),
    (Group::ControlPlane, "watched", "what protects the cluster is watched, and is as it was installed"),
];

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    group: Group,
    id: &'static str,
    outcome: Outcome,
    sentence: &'static str,
    found: Vec<String>,
    remedy: Option<String>,
}

impl Check {
    /// A check of [`ALL`] that has nothing against it so far. Another name gives a check that failed, so that a slip shows.
    pub(super) fn new(id: &'static str) -> Self {
        let known = ALL.iter().find(|(_, known, _)| *known == id);
        let (outcome, (group, _, sentence)) = match known {
            Some(known) => (Outcome::Ok, *known),
            None => (Outcome::Failed, (Group::Cluster, id, "this check is in the list")),
        };
        Self { group, id, outcome, sentence, found: Vec::new(), remedy: None }
    }

    /// Something that was seen, and is good.
    pub(super) fn note(mut self, found: impl Into<String>) -> Self {
        self.found.push(found.into());
        self
    }

    /// Something that is to be known or done soon.
    pub(super) fn warn(mut self, found: impl Into<String>) -> Self {
        self.outcome = self.outcome.max(Outcome::Warning);
        self.note(found)
    }

    /// Something against it.
    pub(super) fn fail(mut self, found: impl Into<String>) -> Self {
        self.outcome = Outcome::Failed;
        self.note(found)
    }

    /// Each of these is against it.
    pub(super) fn fail_each(self, found: impl IntoIterator<Item = String>) -> Self {
        found.into_iter().fold(self, Self::fail)
    }

    /// Nobody could look.
    pub(super) fn leave_out(mut self, why: impl Into<String>) -> Self {
        self.outcome = self.outcome.max(Outcome::LeftOut);
        self.note(why)
    }

    /// What to do, where it does not simply hold. The first word counts.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        if self.outcome != Outcome::Ok && self.remedy.is_none() {
            self.remedy = Some(remedy.into());
        }
        self
    }

    /// What it is about.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// What should hold.
    pub const fn sentence(&self) -> &'static str {
        self.sentence
    }

    /// What was seen.
    pub fn found(&self) -> &[String] {
        &self.found
    }

    /// What to do.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Whether it holds.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// One more.
    pub(super) fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Adds, as left out, every check of a group that nobody came to.
    pub(super) fn leave_out_rest(&mut self, groups: &[Group], why: &str) {
        for (group, id, _) in ALL.iter().filter(|(group, ..)| groups.contains(group)) {
            if !self.checks.iter().any(|check| check.group == *group && check.id == *id) {
                self.checks.push(Check::new(id).leave_out(why));
            }
        }
    }

    /// In the order of [`ALL`].
    pub(super) fn sort(&mut self) {
        let place = |id: &str| ALL.iter().position(|(_, known, _)| *known == id);
        self.checks.sort_by_key(|check| place(check.id));
    }

    /// The checks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// How many there are of one outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    /// 0: everything was looked at and nothing failed (there may be warnings). 1: something failed. 3: nothing failed, and not everything
    /// was looked at. (2 is what the command line says of arguments that it does not understand.)
    pub fn exit_code(&self) -> u8 {
        if self.count(Outcome::Failed) > 0 {
            1
        } else if self.count(Outcome::LeftOut) > 0 {
            3
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_groups_stand_together() {
        for (place, (group, id, _)) in ALL.iter().enumerate() {
            assert!(ALL.iter().skip(place + 1).all(|(_, other, _)| other != id), "{id} is there twice");
            assert!(place == 0 || ALL[place - 1].0 <= *group, "{id}");
        }
    }

    #[test]
    fn what_nobody_looked_at_is_never_green() {
        let mut report = Report::default();
        report.push(Check::new("kubectl").note("1.36").remedy("nothing"));
        assert_eq!((report.exit_code(), report.checks()[0].remedy.clone()), (0, None));
        let every = [Group::Cluster, Group::Installation, Group::Injection, Group::Network, Group::ControlPlane];
        report.leave_out_rest(&every, "nobody was asked");
        assert_eq!((report.checks().len(), report.exit_code()), (ALL.len(), 3));
        report.push(Check::new("store").warn("slow").fail("no").remedy("mend it").remedy("later"));
        assert_eq!((report.exit_code(), report.count(Outcome::Failed)), (1, 1));
        assert_eq!(report.checks().last().unwrap().remedy.as_deref(), Some("mend it"));
        assert_eq!(Check::new("no such check").outcome(), Outcome::Failed);
    }
}
