//! What agents, the API server and etcd do.

use super::world::*;
use super::{Model, Mutation};
use crate::ledger::{self, Epoch, Ledger, SpendError};
use crate::lifecycle::fixtures::epoch;
use crate::lifecycle::{Answer, Life, NotSent, Outcome, Unknown};

/// What can happen to a grant.
pub(super) fn steps(number: u8, grant: &Grant, gives_up: bool) -> Vec<Action> {
    let mut steps = Vec::new();
    steps.extend(grant.pending.map(|_| Action::Send(number)));
    steps.extend((grant.pending.is_some() && gives_up).then_some(Action::GiveUp(number)));
    steps.extend((grant.pending.is_some() || grant.sent).then_some(Action::Unsent(number)));
    steps.extend(grant.sent.then_some(Action::Deliver(number)));
    steps.extend((grant.sent && grant.stage == Stage::Absent).then_some(Action::Refuse(number)));
    steps.extend(grant.report.map(|_| Action::Report(number)));
    match grant.stage {
        Stage::Spent => {
            let answers = [LeaseAnswer::Heard, LeaseAnswer::CreatedUnheard, LeaseAnswer::NotCreated];
            steps.extend(answers.map(|answer| Action::Lease(number, answer)));
            steps.extend([Action::Upstream(number), Action::Unanswered(number)]);
        }
        Stage::Leased => steps.extend([Action::Upstream(number), Action::Unanswered(number)]),
        Stage::Sent => steps.extend([Action::Answered(number), Action::Unanswered(number)]),
        Stage::Absent | Stage::Done | Stage::Lost => {}
    }
    steps
}

/// What happens to a grant without faults, in this order.
pub(super) const fn fair_steps(number: u8) -> [Action; 6] {
    let lease = Action::Lease(number, LeaseAnswer::Heard);
    let (upstream, answered) = (Action::Upstream(number), Action::Answered(number));
    [Action::Send(number), Action::Deliver(number), lease, upstream, answered, Action::Report(number)]
}

pub(super) fn epoch_of(connection: u8) -> Epoch {
    epoch(connection + 1)
}

impl Model {
    /// Changes the ledger of an agent.
    pub(super) fn with_ledger<R>(&mut self, world: &mut World, agent: u8, change: impl FnOnce(&mut Ledger) -> R) -> R {
        let agent = &mut world.agents[usize::from(agent)];
        let mut ledger = self.pools.ledgers.get(agent.ledger).clone();
        let result = change(&mut ledger);
        agent.ledger = self.pools.ledgers.put(ledger);
        result
    }

    pub(super) fn agent_acts(&mut self, world: World, action: Action) -> Option<World> {
        match action {
            Action::Deliver(number) => self.deliver(world, number),
            Action::Refuse(number) => Self::refuse(world, number),
            Action::Lease(number, answer) => self.lease(world, number, answer),
            Action::Upstream(number) => self.upstream(world, number),
            Action::Answered(number) => self.ends(world, number, &[Stage::Sent], Outcome::Ok { status: 201 }),
            Action::Unanswered(number) => {
                // Sent and no answer, or lost on the way there: the agent can't tell which.
                let unknown = Outcome::Unknown { why: Unknown::NoAnswer };
                let ready = if self.scenario.held { Stage::Leased } else { Stage::Spent };
                self.ends(world, number, &[Stage::Sent, ready], unknown)
            }
            _ => None,
        }
    }

    fn deliver(&mut self, mut world: World, number: u8) -> Option<World> {
        let now = self.now(&world);
        let grant = *world.grant(number);
        let connection = world.connection(grant.connection);
        // The connection itself carries it: to that process, while that end is open.
        if !grant.sent || !connection.there || !world.agent_lives(&grant) {
            return None;
        }
        let issue = self.issue_of(&grant);
        let over = issue.approval.is_some_and(|approval| ledger::approval_is_over(approval.expires, now));
        let spent = if over && !self.is(Mutation::ExpiryUnchecked) {
            Err(SpendError::TooOld)
        } else if self.is(Mutation::SpendForgotten) && grant.stage == Stage::Done {
            world.grant(number).stage = Stage::Spent;
            return Some(world);
        } else {
            self.with_ledger(&mut world, connection.agent, |ledger| {
                ledger.spend(epoch_of(grant.connection), issue.life, issue.jti)
            })
        };
        match spent {
            Ok(spent) => {
                self.tickets.insert((number, grant.connection), spent.ticket());
                world.grant(number).stage = Stage::Spent;
            }
            // The same message again.
            Err(_) if grant.stage != Stage::Absent => return None,
            Err(_) => world.grant(number).report = Some(Outcome::NotSent { why: NotSent::AgentRefused }),
        }
        Some(world)
    }

    /// A stream that is given back can't come again, and its peer reads that as: never spent.
    fn refuse(mut world: World, number: u8) -> Option<World> {
        let grant = *world.grant(number);
        if grant.stage != Stage::Absent || !world.connection(grant.connection).there || !world.agent_lives(&grant) {
            return None;
        }
        let grant = world.grant(number);
        grant.sent = false;
        grant.answers.never = true;
        Some(world)
    }

    fn lease(&mut self, mut world: World, number: u8, answer: LeaseAnswer) -> Option<World> {
        let grant = *world.grant(number);
        let approval = self.issue_of(&grant).approval?;
        if grant.stage != Stage::Spent || !world.agent_lives(&grant) {
            return None;
        }
        if self.is(Mutation::NoLease) {
            world.grant(number).stage = Stage::Leased;
            return Some(world);
        }
        let lease = &mut world.leases[Self::approval_number(approval.approval)];
        let exists = lease.is_some() && !self.is(Mutation::LeaseConflictIgnored);
        if answer != LeaseAnswer::NotCreated && !exists {
            *lease = Some(approval.expires);
        }
        let refused = NotSent::AgentRefused;
        match (answer, exists) {
            (LeaseAnswer::Heard, false) => world.grant(number).stage = Stage::Leased,
            (LeaseAnswer::Heard, true) => {
                let before = Outcome::Unknown { why: Unknown::SpentBefore };
                return self.ends(world, number, &[Stage::Spent], before);
            }
            _ => return self.ends(world, number, &[Stage::Spent], Outcome::NotSent { why: refused }),
        }
        Some(world)
    }

    fn upstream(&mut self, mut world: World, number: u8) -> Option<World> {
        let grant = *world.grant(number);
        let issue = self.issue_of(&grant);
        let ready = if issue.approval.is_some() { Stage::Leased } else { Stage::Spent };
        if grant.stage != ready || !world.agent_lives(&grant) {
            return None;
        }
        world.grant(number).stage = Stage::Sent;
        let held = self.scenario.held;
        let truth = &mut world.truth;
        truth.ran[usize::from(grant.operation)] += 1;
        if !truth.issued[usize::from(number)] {
            truth.wrong = Some("ran before its record was durable");
        }
        match issue.approval {
            Some(approval) => {
                let approval = Self::approval_number(approval.approval);
                truth.ran_approved[approval] += 1;
                if !truth.approved[approval] {
                    truth.wrong = Some("ran before its approval was durable");
                }
            }
            None if held => truth.wrong = Some("ran unapproved"),
            None => {}
        }
        Some(world)
    }

    fn ends(&mut self, mut world: World, number: u8, from: &[Stage], outcome: Outcome) -> Option<World> {
        let grant = *world.grant(number);
        if !from.contains(&grant.stage) || !world.agent_lives(&grant) {
            return None;
        }
        let ticket = self.tickets[&(number, grant.connection)];
        let agent = world.connection(grant.connection).agent;
        let taken = self.with_ledger(&mut world, agent, |ledger| ledger.finish(ticket, outcome));
        if taken {
            world.grant(number).report = Some(outcome);
        }
        world.grant(number).stage = Stage::Done;
        Some(world)
    }

    pub(super) fn crash_agent(&mut self, mut world: World, agent: u8) -> Option<World> {
        let empty = self.pools.ledgers.put(Ledger::new(Life(0)));
        if world.agents[usize::from(agent)].ledger == empty {
            return None;
        }
        for connection in world.connections.iter_mut().flatten() {
            connection.there &= connection.agent != agent;
        }
        let process = world.agents[usize::from(agent)].process + 1;
        world.agents[usize::from(agent)] = Agent { process, ledger: empty };
        world.agent_crashes += 1;
        Some(world)
    }

    pub(super) fn cut_there(&mut self, mut world: World, number: u8) -> Option<World> {
        let connection = world.connections[usize::from(number)].as_mut().filter(|connection| connection.there)?;
        connection.there = false;
        let agent = connection.agent;
        self.with_ledger(&mut world, agent, |ledger| ledger.seal_epoch(epoch_of(number)));
        Some(world)
    }

    pub(super) fn delete_lease(&mut self, mut world: World, approval: u8) -> Option<World> {
        let expires = world.leases[usize::from(approval)]?;
        let over = ledger::spent_lease_is_over(expires, self.now(&world));
        (over || self.is(Mutation::LeaseDeletedEarly)).then(|| {
            world.leases[usize::from(approval)] = None;
            world
        })
    }

    /// The agent's end of a question.
    pub(super) fn agent_answers(&mut self, world: &mut World, number: u8, agent: u8) -> Answer {
        let grant = *world.grant(number);
        let (before, jti) = (*world, self.issue_of(&grant).jti);
        let answer = self.with_ledger(world, agent, |ledger| ledger.answer(epoch_of(grant.connection), jti));
        if self.is(Mutation::AnswerWithoutSealing) {
            *world = before;
        } else if let Some(connection) = world.connections[usize::from(grant.connection)].as_mut()
            && world.agents[usize::from(agent)].process == connection.agent_process
        {
            // The ledger sealed it; the agent closes its end with that.
            connection.there = false;
        }
        match answer {
            Answer::NotKnown if self.is(Mutation::FreshProcessAnswers) => Answer::NeverSpent,
            answer => answer,
        }
    }
}
