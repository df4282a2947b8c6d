//! Model checker: drives the functions of [`crate::lifecycle`] and [`crate::ledger`] themselves through every order of crashes, lost,
//! late and repeated messages, and checks the invariants of ARCHITECTURE.md in each state.
//!
//! Two lives of the control plane that may overlap and share one database (which may be replaced by its backup), two agents, two
//! approvers and an asker who tries to vote, two sessions of one asker with the same request (or two operations that nobody must
//! approve), etcd as the ledger of approvals, a coarse clock.
//!
//! Over-approximated, so that less is assumed: a message that was sent once may arrive at any later time, any number of times; a
//! client's request may come again at any time; the control plane may think at any time that an agent is gone, and give up what it was
//! about to send.
//!
//! Not in the model: two holds at once, a hostile control plane (the agent's own tests), bounds of queues.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each part of the model picks its own actions; a mutation changes one answer of several"
)]

mod agent;
mod control_plane;
mod pool;
mod search;
mod tests;
mod world;

use std::collections::{BTreeSet, HashMap, HashSet};

use shared::ids::AgentId;
use shared::time::Timestamp;
use uuid::Uuid;

use self::pool::Pools;
use self::search::{Broken, Seen, explore};
use self::world::*;
use super::fixtures::*;
use super::{Issue, Lives, Outcome, Phase, Progress};
use crate::ledger::{Ledger, Ticket};

/// What is explored.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    /// The operations must be approved, by two people.
    held: bool,
    operations: u8,
    /// An approver may say no.
    denial: bool,
    starts: u8,
    /// The next process may start while the one before it still lives.
    overlap: bool,
    /// Connections break by themselves, not only with their processes.
    cuts: bool,
    /// The control plane gives up what it was about to send.
    gives_up: bool,
    agent_crashes: u8,
    connections: u8,
    grants: u8,
    /// Seconds after [`T0`] at which something may happen.
    times: &'static [u64],
    restore: Option<Restored>,
    mutation: Option<Mutation>,
    bound: usize,
}

/// A mistake that somebody could make. The checker must find each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// Effects are carried out before their transaction is durable.
    EffectsBeforeDurable,
    /// The agent sends without a Lease.
    NoLease,
    /// The agent takes "exists already" for "created".
    LeaseConflictIgnored,
    /// A Lease is deleted while its approval is still good.
    LeaseDeletedEarly,
    /// The agent answers "never spent" and leaves the connection open to that grant.
    AnswerWithoutSealing,
    /// A fresh agent process answers for the one before it.
    FreshProcessAnswers,
    /// "Not known" is taken for "never spent".
    UnknownIssuedAgain,
    /// An answer that is lost is taken for a grant that was not sent.
    LostIsUnsent,
    /// The agent's ledger is asked after sending.
    SpendForgotten,
    /// Nobody asks agents after a restart.
    NoQuestions,
    /// A late report replaces an outcome.
    OutcomeReplaced,
    /// An approval is not judged to be over by the agent.
    ExpiryUnchecked,
    /// The person behind the job is not known as such.
    AskerNotMapped,
    /// A vote, a spent approval or an expiry leaves those alone who waited.
    WaitersForgotten,
    /// The client leaves between issue and send, and nobody closes the record.
    LeavingForgotten,
}

/// The model: its state is [`World`], its steps are [`Action`]s.
struct Model {
    scenario: Scenario,
    pools: Pools,
    /// The agents' handles of what they spent, by grant and connection.
    tickets: HashMap<(u8, u8), Ticket>,
    /// States from which everything is known to end well.
    good: HashSet<World>,
    outcomes: BTreeSet<(u8, Outcome)>,
}

impl Model {
    fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            pools: Pools::default(),
            tickets: HashMap::new(),
            good: HashSet::new(),
            outcomes: BTreeSet::new(),
        }
    }

    fn run(&mut self) -> Result<Seen, Broken> {
        let initial = self.initial();
        let bound = self.scenario.bound;
        explore(self, initial, bound, Self::successors, Self::check)
    }

    fn initial(&mut self) -> World {
        let lives = self.pools.lives.put(Lives::default());
        let ledger = self.pools.ledgers.put(Ledger::new(super::Life(0)));
        World {
            clock: 0,
            database: Database { lives, hold: None, operations: [None; OPERATIONS] },
            staged: None,
            backup: None,
            restored: Restored::Not,
            starts: 0,
            agent_crashes: 0,
            processes: [None; PROCESSES],
            agents: [Agent { process: 0, ledger }; AGENTS],
            connections: [None; CONNECTIONS],
            grants: [None; GRANTS],
            leases: [None; APPROVALS],
            truth: Truth::default(),
        }
    }

    fn issue_of(&self, grant: &Grant) -> Issue {
        *self.pools.issues.get(grant.issue)
    }

    fn now(&self, world: &World) -> Timestamp {
        // After the last of them comes a time when everything has expired.
        self.scenario.times.get(usize::from(world.clock)).map_or_else(|| later(1_000_000), |seconds| later(*seconds))
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.scenario.mutation == Some(mutation)
    }

    fn agent_id(agent: u8, process: u8) -> AgentId {
        AgentId::new(Uuid::from_u128(u128::from(agent) * 100 + u128::from(process) + 1000))
    }

    fn successors(&mut self, world: &World, into: &mut Vec<(Action, World)>) {
        for action in self.actions(world) {
            if let Some(next) = self.step(world, action)
                && next != *world
            {
                into.push((action, next));
            }
        }
    }

    /// All that might happen; [`Model::step`] says what can.
    fn actions(&self, world: &World) -> Vec<Action> {
        let scenario = self.scenario;
        let mut actions = vec![Action::Tick, Action::Start(0), Action::Start(1)];
        actions.extend(world.staged.map(|_| Action::Commit));
        if scenario.restore.is_some() {
            actions.extend([Action::Backup, Action::Restore]);
        }
        for process in world.running() {
            actions.extend([Action::CrashControlPlane(process), Action::Expire(process)]);
            if world.database.hold.is_some() || world.staged.is_some() {
                actions.extend([Who::Ann, Who::Bob, Who::Asker].map(|who| Action::Vote(process, who)));
                actions.extend(scenario.denial.then_some(Action::Vote(process, Who::BobSaysNo)));
            }
            actions.extend((0..AGENTS as u8).map(|agent| Action::Connect(process, agent)));
            for operation in 0..scenario.operations {
                actions.push(Action::Request(process, operation));
                actions.extend(self.operation_actions(world, process, operation));
                actions.push(Action::Gone(process, operation));
            }
            actions.extend(answers(world, process));
        }
        for (number, connection) in world.known_connections() {
            actions.extend(connection.here.then_some(Action::CutHere(number)));
            actions.extend(connection.there.then_some(Action::CutThere(number)));
        }
        for (number, grant) in world.known_grants() {
            actions.extend(agent::steps(number, grant, self.scenario.gives_up));
        }
        actions.extend((0..AGENTS as u8).map(Action::CrashAgent));
        actions.extend((0..APPROVALS as u8).map(Action::DeleteLease));
        actions
    }

    /// What a process can do about an operation that is on record.
    fn operation_actions(&self, world: &World, process: u8, operation: u8) -> Vec<Action> {
        let on_record = world.database.operations[usize::from(operation)].is_some() || world.staged.is_some();
        let mut actions = Vec::new();
        if on_record {
            actions.extend([Action::Settle(process, operation), Action::Ask(process, operation)]);
            let mine =
                world.known_connections().filter(|(_, connection)| connection.here && connection.from == process);
            actions.extend(mine.map(|(number, _)| Action::Issue(process, operation, number)));
        }
        actions
    }

    /// What happens by an action, within the budget of faults. `None`: it can't happen.
    fn step(&mut self, world: &World, action: Action) -> Option<World> {
        let scenario = self.scenario;
        let affordable = match action {
            Action::Tick => usize::from(world.clock) + 1 < scenario.times.len(),
            // Slots of processes are alike: the first free one is taken.
            Action::Start(process) => {
                let first_free = process == 0 || (scenario.overlap && world.processes[0].is_some());
                first_free && world.starts < scenario.starts
            }
            Action::CutHere(_) | Action::CutThere(_) => scenario.cuts || Self::is_half_cut(world, action),
            // So are the operations.
            Action::Request(_, 1) => world.database.operations[0].is_some() || world.staged.is_some(),
            Action::CrashAgent(_) => world.agent_crashes < scenario.agent_crashes,
            Action::Connect(_, agent) => {
                let free = world.connections[usize::from(scenario.connections) - 1].is_none();
                // The agents are alike, so the first connection may be called agent 0's.
                free && (agent == 0 || world.connections[0].is_some()) && self.wants_connection(world)
            }
            Action::Issue(..) => world.grants[usize::from(scenario.grants) - 1].is_none(),
            _ => true,
        };
        affordable.then(|| self.apply(world, action)).flatten()
    }

    /// The other end is gone already.
    fn is_half_cut(world: &World, cut: Action) -> bool {
        match cut {
            Action::CutHere(number) => !world.connection(number).there,
            Action::CutThere(number) => !world.connection(number).here,
            _ => false,
        }
    }

    /// A connection that nothing needs yet could as well be made later: opening one changes no record.
    fn wants_connection(&self, world: &World) -> bool {
        let hold = world.database.hold.map(|hold| self.pools.holds.get(hold));
        let approved = hold.is_some_and(|hold| matches!(hold.phase(), Phase::Approved { .. }));
        let records = world.staged.map_or(world.database, |(_, database)| database).operations;
        let mut records = records.iter().flatten().map(|record| self.pools.operations.get(*record).progress());
        records.any(|progress| match progress {
            Progress::Open => !self.scenario.held,
            Progress::Waiting { .. } => approved || world.staged.is_some(),
            Progress::Issued { .. } | Progress::Returned { .. } => true,
            Progress::Ended { .. } => false,
        })
    }

    /// The same world without what can make no difference any more, so that equal worlds are equal values.
    fn normal(&self, mut world: World) -> World {
        let databases = [Some(world.database), world.staged.map(|(_, database)| database), world.backup];
        for number in 0..GRANTS {
            let Some(mut grant) = world.grants[number] else { continue };
            let jti = self.issue_of(&grant).jti;
            let open = databases.iter().flatten().any(|database| {
                let record = database.operations[usize::from(grant.operation)];
                record.is_some_and(|record| {
                    self.pools.operations.get(record).question().is_some_and(|open| open.jti == jti)
                })
            });
            if !open && !self.is(Mutation::OutcomeReplaced) && grant.pending.is_none() {
                // Nobody listens to these.
                (grant.answers, grant.report) = (Answers::default(), None);
            }
            if !world.agent_lives(&grant) {
                grant.stage = Stage::Lost;
            }
            if !world.connection(grant.connection).there {
                // Nothing arrives there any more.
                (grant.sent, grant.pending) = (false, None);
            }
            world.grants[number] = Some(grant);
        }
        for connection in world.connections.iter_mut().flatten() {
            if !connection.here {
                connection.from = 0;
            }
        }
        world
    }

    fn apply(&mut self, world: &World, action: Action) -> Option<World> {
        self.happens(world, action).map(|next| self.normal(next))
    }

    fn happens(&mut self, world: &World, action: Action) -> Option<World> {
        let mut next = *world;
        match action {
            Action::Tick => {
                next.clock += 1;
                (usize::from(next.clock) <= self.scenario.times.len()).then_some(next)
            }
            Action::Deliver(grant)
            | Action::Refuse(grant)
            | Action::Lease(grant, _)
            | Action::Upstream(grant)
            | Action::Answered(grant)
            | Action::Unanswered(grant) => {
                world.grants[usize::from(grant)]?;
                self.agent_acts(next, action)
            }
            Action::CrashAgent(agent) => self.crash_agent(next, agent),
            Action::CutThere(connection) => self.cut_there(next, connection),
            Action::DeleteLease(approval) => self.delete_lease(next, approval),
            _ => self.control_plane_acts(next, action),
        }
    }

    /// The invariants.
    fn check(&mut self, world: &World) -> Result<(), String> {
        if let Some(wrong) = world.truth.wrong {
            return Err(wrong.to_owned());
        }
        let truth = &world.truth;
        if truth.ran_approved.iter().any(|times| *times > 1) {
            return Err("an approval ran twice".to_owned());
        }
        // Without `--restored`, a database that has forgotten an operation that needs no approval lets its session ask again.
        let silent = world.restored == Restored::Silently;
        if !self.scenario.held && !silent && truth.ran.iter().any(|times| *times > 1) {
            return Err("an operation ran twice".to_owned());
        }
        let hold = world.database.hold.map(|hold| self.pools.holds.get(hold));
        for record in world.database.operations.iter().flatten() {
            let waits = matches!(self.pools.operations.get(*record).progress(), Progress::Waiting { .. });
            if waits && !hold.is_some_and(super::HoldRecord::is_live) {
                return Err("an operation waits on a hold that is over".to_owned());
            }
        }
        for (number, record) in world.database.operations.iter().enumerate() {
            let Some(outcome) = record.and_then(|record| self.pools.operations.get(record).outcome()) else {
                continue;
            };
            self.outcomes.insert((number as u8, outcome));
            let ran = truth.ran[number] > 0;
            let lie = match outcome {
                Outcome::Ok { .. } | Outcome::Error { .. } => !ran,
                Outcome::NotSent { .. } => ran && !silent,
                Outcome::Unknown { .. } => false,
            };
            if lie {
                return Err(format!("operation {number} ended as {outcome}, and ran {} times", truth.ran[number]));
            }
        }
        self.ends_well(world)
    }

    /// Never forgotten: without further faults every operation comes to an outcome, or waits where people see it; and when the time
    /// of holds is over, to an outcome.
    fn ends_well(&mut self, world: &World) -> Result<(), String> {
        // With this mistake a repeated message never comes to an end.
        if self.is(Mutation::SpendForgotten) {
            return Ok(());
        }
        let mut path = Vec::new();
        let mut now = *world;
        while !self.good.contains(&now) {
            path.push(now);
            if path.len() > 200 {
                return Err("goes round in circles".to_owned());
            }
            match self.fair(&now) {
                Some(next) => now = next,
                None => {
                    self.is_settled(&now)?;
                    match self.apply(&now, Action::Tick) {
                        Some(later) => now = later,
                        None => break,
                    }
                }
            }
        }
        self.good.extend(path);
        Ok(())
    }

    /// Nothing more happens by itself: every operation is over, or waits on a hold that people see.
    fn is_settled(&self, world: &World) -> Result<(), String> {
        let last = usize::from(world.clock) == self.scenario.times.len();
        for (number, record) in world.database.operations.iter().enumerate() {
            let Some(record) = record else { continue };
            let progress = self.pools.operations.get(*record).progress();
            let hold = world.database.hold.map(|hold| self.pools.holds.get(hold));
            let fine = match progress {
                Progress::Ended { .. } => true,
                Progress::Waiting { .. } => !last && hold.is_some_and(super::HoldRecord::is_live),
                Progress::Open | Progress::Issued { .. } | Progress::Returned { .. } => false,
            };
            if !fine {
                return Err(format!("operation {number} is forgotten: {}", progress.as_str()));
            }
        }
        Ok(())
    }

    /// The next step that a system without faults takes. Budgets do not bind it.
    fn fair(&mut self, world: &World) -> Option<World> {
        if world.processes == [None; PROCESSES] {
            return self.apply(world, Action::Start(0));
        }
        let try_all = |model: &mut Self, actions: Vec<Action>| {
            actions.into_iter().find_map(|action| model.apply(world, action).filter(|next| next != world))
        };
        let mut first = vec![Action::Commit];
        first.extend(world.known_grants().flat_map(|(number, _)| agent::fair_steps(number)));
        if let Some(next) = try_all(self, first) {
            return Some(next);
        }
        if let Some(next) = self.notice_cuts(world) {
            return Some(self.normal(next));
        }
        let mut rest = Vec::new();
        for process in world.running() {
            rest.extend((0..AGENTS as u8).map(|agent| Action::Connect(process, agent)));
            rest.push(Action::Expire(process));
            for operation in 0..self.scenario.operations {
                let forgets = self.is(Mutation::NoQuestions);
                let actions = self.operation_actions(world, process, operation);
                // Clients of operations that are on record come again; new ones need not come.
                rest.extend((!actions.is_empty()).then_some(Action::Request(process, operation)));
                rest.extend(actions.into_iter().filter(|action| !forgets || !matches!(action, Action::Ask(..))));
                rest.extend(self.gone(world, process, operation).filter(|_| !forgets));
            }
            rest.extend(
                answers(world, process).filter(|action| !matches!(action, Action::Answer(_, _, Kind::Running))),
            );
        }
        try_all(self, rest)
    }
}

/// The answers that are on the wire.
fn answers(world: &World, process: u8) -> impl Iterator<Item = Action> {
    world.known_grants().flat_map(move |(number, grant)| {
        let Answers { never, running, over, unknown } = grant.answers;
        let kinds = [(never, Kind::Never), (running, Kind::Running), (over, Kind::Over), (unknown, Kind::Unknown)];
        kinds.into_iter().filter(|(given, _)| *given).map(move |(_, kind)| Action::Answer(process, number, kind))
    })
}
