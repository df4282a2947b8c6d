//! What processes of the control plane do: one transaction each, its effects apart from it.

use shared::ids::ApprovalId;
use shared::time::Timestamp;

use super::agent::epoch_of;
use super::world::*;
use super::{Model, Mutation};
use crate::decision::Effect;
use crate::four_eyes::{Behind, Mode};
use crate::lifecycle::fixtures::{operation as fresh, *};
use crate::lifecycle::{
    Answer, Ballot, HoldRecord, Issue, Issued, Join, NewIssue, NotSent, OperationRecord, Phase, Progress, Recheck,
    VoidReason, Waiting, recheck, spend,
};

impl Model {
    pub(super) fn approval_number(approval: ApprovalId) -> usize {
        (0..APPROVALS).find(|number| approval_id(*number as u128) == approval).unwrap()
    }

    pub(super) fn control_plane_acts(&mut self, world: World, action: Action) -> Option<World> {
        match action {
            Action::Start(process) => self.start(world, process),
            Action::CrashControlPlane(process) => Self::crash(world, process),
            Action::Request(process, operation) => self.request(world, process, operation),
            Action::Vote(process, who) => self.vote(world, process, who),
            Action::Expire(process) => self.expire(world, process),
            Action::Settle(process, operation) => self.settle(world, process, operation),
            Action::Issue(process, operation, connection) => self.issue(world, process, operation, connection),
            Action::Commit => self.commit_staged(world),
            Action::Send(number) => self.send(world, number),
            Action::GiveUp(number) => self.give_up_sending(world, number),
            Action::Unsent(number) => self.unsent(world, number),
            Action::Connect(process, agent) => self.connect(world, process, agent),
            Action::CutHere(number) => Self::cut_here(world, number),
            Action::Report(number) => self.report(world, number),
            Action::Ask(process, operation) => self.ask(world, process, operation),
            Action::Answer(process, number, kind) => self.answer(world, process, number, kind),
            Action::Gone(process, operation) => self.give_up(world, process, operation),
            Action::Backup => self.backup(world),
            Action::Restore => self.restore(world),
            _ => None,
        }
    }

    /// What a process sees of the database: what it wrote itself, durable or not.
    fn view(world: &World, process: u8) -> Option<Database> {
        world.processes[usize::from(process)]?;
        match world.staged {
            // One writer at a time.
            Some((writer, _)) if writer != process => None,
            Some((_, database)) => Some(database),
            None => Some(world.database),
        }
    }

    fn operation(&self, database: &Database, operation: u8) -> Option<&OperationRecord> {
        database.operations[usize::from(operation)].map(|number| self.pools.operations.get(number))
    }

    fn hold(&self, database: &Database) -> Option<&HoldRecord> {
        database.hold.map(|number| self.pools.holds.get(number))
    }

    fn save_operation(&mut self, database: &mut Database, operation: u8, record: OperationRecord) {
        database.operations[usize::from(operation)] = Some(self.pools.operations.put(record));
    }

    /// Ends a transaction: durable at once, or later where that is the mistake that is tried.
    fn commit(&mut self, mut world: World, process: u8, database: Database) -> World {
        if self.is(Mutation::EffectsBeforeDurable) {
            world.staged = Some((process, database));
            return world;
        }
        self.write(world, database)
    }

    fn commit_staged(&mut self, mut world: World) -> Option<World> {
        let (_, database) = world.staged.take()?;
        Some(self.write(world, database))
    }

    fn write(&mut self, mut world: World, database: Database) -> World {
        for operation in 0..OPERATIONS as u8 {
            let outcome = |database| self.operation(database, operation).and_then(OperationRecord::outcome);
            let (before, after) = (outcome(&world.database), outcome(&database));
            if before.is_some() && before != after {
                world.truth.wrong = Some("an outcome changed");
            }
            if let Some(Progress::Issued { issue }) =
                self.operation(&database, operation).map(OperationRecord::progress)
            {
                world.truth.issued[Self::grant_number(issue)] = true;
            }
        }
        if let Some(Phase::Approved { approval, votes, .. }) = self.hold(&database).map(HoldRecord::phase) {
            world.truth.approved[Self::approval_number(*approval)] = true;
            let subjects: Vec<_> = votes.iter().map(|vote| vote.subject.as_str()).collect();
            if subjects != ["sub-1", "sub-2"] && subjects != ["sub-2", "sub-1"] {
                world.truth.wrong = Some("approved without the two approvers");
            }
        }
        world.database = database;
        world
    }

    fn grant_number(issue: &Issue) -> usize {
        (0..GRANTS).find(|number| jti(*number as u128) == issue.jti).unwrap()
    }

    fn start(&mut self, mut world: World, process: u8) -> Option<World> {
        if world.processes[usize::from(process)].is_some() || world.staged.is_some() {
            return None;
        }
        // Two starts are never in the same millisecond.
        let now = Timestamp(T0.0 + u64::from(world.starts));
        let mut database = world.database;
        let lives = self.pools.lives.get(database.lives);
        let lives = if world.restored == Restored::Copied {
            world.restored = Restored::Declared;
            for operation in 0..OPERATIONS as u8 {
                if let Some(step) = self.operation(&database, operation).and_then(|record| record.restored(now)) {
                    self.save_operation(&mut database, operation, step.state);
                }
            }
            if let Some(step) = self.hold(&database).and_then(|hold| hold.void(VoidReason::Restored, now)) {
                database.hold = Some(self.pools.holds.put(step.state));
            }
            self.pools.lives.get(database.lives).restore(now)
        } else {
            lives.start(now)
        };
        let life = lives.current();
        database.lives = self.pools.lives.put(lives);
        world.starts += 1;
        let mut world = self.write(world, database);
        world.processes[usize::from(process)] = Some(Process { life, lives: database.lives });
        Some(world)
    }

    fn crash(mut world: World, process: u8) -> Option<World> {
        world.processes[usize::from(process)].take()?;
        for connection in world.connections.iter_mut().flatten() {
            connection.here &= connection.from != process;
        }
        for grant in world.grants.iter_mut().flatten() {
            grant.pending = grant.pending.filter(|pending| *pending != process);
        }
        world.staged = world.staged.filter(|(writer, _)| *writer != process);
        Some(world)
    }

    /// The client's request: recorded; then, where people must say yes, placed into a hold.
    fn request(&mut self, mut world: World, process: u8, operation: u8) -> Option<World> {
        let now = self.now(&world);
        let mut database = Self::view(&world, process)?;
        let key = key(u128::from(operation) + 1, u128::from(operation) + 1);
        let Some(record) = self.operation(&database, operation).cloned() else {
            // After `--restored` no session of before is known.
            if world.restored == Restored::Declared {
                return None;
            }
            self.save_operation(&mut database, operation, fresh(key));
            return Some(self.commit(world, process, database));
        };
        if *record.progress() != Progress::Open || !self.scenario.held {
            return None;
        }
        let placed = match self.hold(&database) {
            None => {
                let mut opening = opening(key, 2);
                if self.is(Mutation::AskerNotMapped) {
                    opening.behind = Behind::Nobody;
                }
                let (hold, bound) = HoldRecord::open(opening, Waiting::default(), now).unwrap();
                database.hold = Some(self.pools.holds.put(hold));
                record.wait(bound).unwrap()
            }
            Some(hold) => match hold.join(&candidate(key), now) {
                Join::Wait(bound) => record.wait(bound).unwrap(),
                Join::Denied => record.refuse(NotSent::HoldDenied, T0).unwrap().state,
                // A second hold is not in the model.
                Join::Not | Join::Replace => record.refuse(NotSent::Denied, T0).unwrap().state,
            },
        };
        self.save_operation(&mut database, operation, placed);
        world = self.commit(world, process, database);
        Some(world)
    }

    fn vote(&mut self, mut world: World, process: u8, who: Who) -> Option<World> {
        let now = self.now(&world);
        let mut database = Self::view(&world, process)?;
        let hold = self.hold(&database)?;
        // The approvers are alike: the first yes may be called Ann's.
        if who == Who::Bob && hold.votes().is_empty() {
            return None;
        }
        let person = match who {
            Who::Ann => "1",
            Who::Bob | Who::BobSaysNo => "2",
            Who::Asker => "7",
        };
        let ballot = match who {
            Who::BobSaysNo => Ballot::Deny { reason: "no".to_owned() },
            Who::Ann | Who::Bob | Who::Asker => Ballot::Approve { signature: None },
        };
        let fresh = usize::from(world.truth.approvals);
        if fresh >= APPROVALS {
            return None;
        }
        let step = hold.vote(&voter(person), ballot, approval_id(fresh as u128), Mode::Serve, now).ok()?;
        if matches!(step.state.phase(), Phase::Approved { .. }) {
            world.truth.approvals += 1;
        }
        if who == Who::Asker {
            world.truth.wrong = Some("the asker's vote counted");
        }
        database.hold = Some(self.pools.holds.put(step.state));
        self.settle_waiters(&mut database, now);
        Some(self.commit(world, process, database))
    }

    fn expire(&mut self, world: World, process: u8) -> Option<World> {
        let mut database = Self::view(&world, process)?;
        let now = self.now(&world);
        let step = self.hold(&database)?.expire(now)?;
        database.hold = Some(self.pools.holds.put(step.state));
        self.settle_waiters(&mut database, now);
        Some(self.commit(world, process, database))
    }

    /// In the transaction in which a hold changes: whom it is over for.
    fn settle_waiters(&mut self, database: &mut Database, now: Timestamp) {
        if self.is(Mutation::WaitersForgotten) {
            return;
        }
        for operation in 0..OPERATIONS as u8 {
            let step = match (self.operation(database, operation), self.hold(database)) {
                (Some(record), Some(hold)) => record.settle(hold, now),
                _ => None,
            };
            if let Some(step) = step {
                self.save_operation(database, operation, step.state);
            }
        }
    }

    /// The sweep: the time of an approval is over that an operation has spent and could not use.
    fn settle(&mut self, world: World, process: u8, operation: u8) -> Option<World> {
        let mut database = Self::view(&world, process)?;
        let step = self.operation(&database, operation)?.settle(self.hold(&database)?, self.now(&world))?;
        self.save_operation(&mut database, operation, step.state);
        Some(self.commit(world, process, database))
    }

    fn issue(&mut self, mut world: World, process: u8, operation: u8, number: u8) -> Option<World> {
        let now = self.now(&world);
        let mut database = Self::view(&world, process)?;
        let connection = world.connections[usize::from(number)]?;
        if !connection.here || connection.from != process {
            return None;
        }
        let grant = world.grants.iter().position(Option::is_none)?;
        let record = self.operation(&database, operation)?;
        let new = NewIssue {
            jti: jti(grant as u128),
            epoch: epoch_of(number),
            agent: Self::agent_id(connection.agent, connection.agent_process),
            life: world.processes[usize::from(process)]?.life,
        };
        let issued: Issued;
        match (record.progress(), self.hold(&database)) {
            (Progress::Waiting { .. }, Some(hold)) => {
                let step = spend(hold, record, Self::judge_again(hold)?, new, now).ok()?;
                database.hold = Some(self.pools.holds.put(step.state.hold));
                self.save_operation(&mut database, operation, step.state.operation);
                self.settle_waiters(&mut database, now);
                issued = step.effects.assert_durable().issued;
            }
            (Progress::Returned { approval: Some(_) }, Some(hold)) => {
                let step = record.issue_again(hold, Self::judge_again(hold)?, new, now).ok()?;
                self.save_operation(&mut database, operation, step.state);
                issued = step.effects.assert_durable().issued;
            }
            _ if self.scenario.held => return None,
            _ => {
                let step = record.issue(new, now).ok()?;
                self.save_operation(&mut database, operation, step.state);
                issued = step.effects.assert_durable();
            }
        }
        world.grants[grant] = Some(Grant {
            operation,
            connection: number,
            issue: self.pools.issues.put(*issued.issue()),
            pending: Some(process),
            sent: false,
            stage: Stage::Absent,
            report: None,
            answers: Answers::default(),
        });
        Some(self.commit(world, process, database))
    }

    fn judge_again(hold: &HoldRecord) -> Option<crate::lifecycle::StillFine> {
        match recheck(hold, &verdict(Effect::Hold, Some(hold.terms().clone())), Mode::Serve) {
            Recheck::StillFine(fine) => Some(fine),
            Recheck::NewHold(_) | Recheck::Denied => None,
        }
    }

    /// The effect of issuing. In real code it waits for the transaction; here that is the order of [`Model::commit`].
    fn send(&mut self, mut world: World, number: u8) -> Option<World> {
        let grant = world.grants[usize::from(number)].as_mut()?;
        grant.pending.take()?;
        let here = world.connections[usize::from(grant.connection)]?.here;
        grant.sent |= here;
        Some(world)
    }

    /// The process that was to send it ends the operation instead: nobody else has the grant.
    fn give_up_sending(&mut self, mut world: World, number: u8) -> Option<World> {
        let process = world.grants[usize::from(number)].as_mut()?.pending.take()?;
        if self.is(Mutation::LeavingForgotten) {
            return Some(world);
        }
        let grant = world.grants[usize::from(number)]?;
        let mut database = Self::view(&world, process)?;
        let jti = self.issue_of(&grant).jti;
        // In a database that was replaced meanwhile there may be nothing to end.
        let step = self.operation(&database, grant.operation)?.given_up(jti, NotSent::ClientLeft, T0);
        if let Ok(step) = step {
            self.save_operation(&mut database, grant.operation, step.state);
        }
        Some(self.commit(world, process, database))
    }

    /// Another grant may be issued, by the process that knows that this one was not sent.
    fn unsent(&mut self, mut world: World, number: u8) -> Option<World> {
        let from = world.connection(world.grants[usize::from(number)]?.connection).from;
        let grant = world.grant(number);
        let knows = grant.pending.take();
        let thinks = (self.is(Mutation::LostIsUnsent) && grant.sent).then_some(from);
        self.hear(world, knows.or(thinks)?, number, Answer::NeverSpent)
    }

    fn connect(&mut self, mut world: World, process: u8, agent: u8) -> Option<World> {
        let me = world.processes[usize::from(process)]?;
        let known = world.connections.iter().flatten();
        if known.clone().any(|connection| connection.here && connection.from == process && connection.agent == agent) {
            return None;
        }
        let number = world.connections.iter().position(Option::is_none)?;
        let seen = self.pools.ledgers.get(world.agents[usize::from(agent)].ledger).life();
        if self.pools.lives.get(me.lives).check(seen).is_err() {
            // An old copy of the database, or a process that should be dead: it stops, and the operator says `--restored`.
            let mut world = Self::crash(world, process)?;
            if world.restored == Restored::Silently {
                world.restored = Restored::Copied;
            }
            return Some(world);
        }
        let greeted = self.with_ledger(&mut world, agent, |ledger| {
            ledger.see_life(me.life).is_ok() && ledger.open_epoch(epoch_of(number as u8)).is_ok()
        });
        if !greeted {
            return Self::crash(world, process);
        }
        let agent_process = world.agents[usize::from(agent)].process;
        world.connections[number] = Some(Connection { from: process, agent, agent_process, here: true, there: true });
        Some(world)
    }

    fn cut_here(mut world: World, number: u8) -> Option<World> {
        let connection = world.connections[usize::from(number)].as_mut().filter(|connection| connection.here)?;
        connection.here = false;
        Some(world)
    }

    /// Both ends learn of what the other end has lost: the step of a system without faults.
    pub(super) fn notice_cuts(&mut self, world: &World) -> Option<World> {
        let cut = world.connections.iter().position(|connection| connection.is_some_and(|c| c.here != c.there))? as u8;
        if world.connection(cut).here { Self::cut_here(*world, cut) } else { self.cut_there(*world, cut) }
    }

    fn report(&mut self, world: World, number: u8) -> Option<World> {
        let grant = world.grants[usize::from(number)]?;
        let connection = world.connections[usize::from(grant.connection)]?;
        let outcome = grant.report.filter(|_| connection.here)?;
        let issue = self.issue_of(&grant);
        let mut database = Self::view(&world, connection.from)?;
        let mut record = self.operation(&database, grant.operation)?.clone();
        if self.is(Mutation::OutcomeReplaced) && record.outcome().is_some() {
            let new = NewIssue { jti: issue.jti, epoch: issue.epoch, agent: issue.agent, life: issue.life };
            record = OperationRecord::open(record.key(), digest("request"), record.opened())
                .issue(new, issue.at)
                .ok()?
                .state;
        }
        let step = record.finish(issue.jti, outcome, T0).ok()?;
        self.save_operation(&mut database, grant.operation, step.state);
        Some(self.commit(world, connection.from, database))
    }

    /// The grant under way of an operation, if its connection is over for this process.
    fn orphan(&self, world: &World, process: u8, operation: u8) -> Option<u8> {
        let database = Self::view(world, process)?;
        let question = self.operation(&database, operation)?.question()?;
        let number = world
            .grants
            .iter()
            .position(|grant| grant.is_some_and(|grant| self.issue_of(&grant).jti == question.jti))?;
        let connection = world.connection(world.grants[number]?.connection);
        let mine = connection.here && connection.from == process;
        (!mine).then_some(number as u8)
    }

    fn ask(&mut self, mut world: World, process: u8, operation: u8) -> Option<World> {
        let number = self.orphan(&world, process, operation)?;
        let grant = *world.grant(number);
        let asked = world.connection(grant.connection);
        let agent = world.agents[usize::from(asked.agent)];
        let connected = world.connections.iter().flatten().any(|connection| {
            connection.here && connection.there && connection.from == process && connection.agent == asked.agent
        });
        let same = agent.process == asked.agent_process || self.is(Mutation::FreshProcessAnswers);
        if !connected || !same {
            return None;
        }
        let answer = self.agent_answers(&mut world, number, asked.agent);
        let answers = &mut world.grant(number).answers;
        match answer {
            Answer::NeverSpent => answers.never = true,
            Answer::Spent { outcome: None } => answers.running = true,
            Answer::Spent { outcome: Some(outcome) } => {
                assert_eq!(world.grant(number).report, Some(outcome));
                world.grant(number).answers.over = true;
            }
            Answer::NotKnown => answers.unknown = true,
        }
        Some(world)
    }

    fn answer(&mut self, world: World, process: u8, number: u8, kind: Kind) -> Option<World> {
        let grant = world.grants[usize::from(number)]?;
        let answer = match kind {
            Kind::Never => grant.answers.never.then_some(Answer::NeverSpent),
            Kind::Running => grant.answers.running.then_some(Answer::Spent { outcome: None }),
            Kind::Over => grant.answers.over.then_some(Answer::Spent { outcome: grant.report }),
            Kind::Unknown => grant.answers.unknown.then_some(Answer::NotKnown),
        }?;
        self.hear(world, process, number, answer)
    }

    fn hear(&mut self, world: World, process: u8, number: u8, answer: Answer) -> Option<World> {
        let answer = match answer {
            Answer::NotKnown if self.is(Mutation::UnknownIssuedAgain) => Answer::NeverSpent,
            answer => answer,
        };
        let grant = world.grants[usize::from(number)]?;
        let mut database = Self::view(&world, process)?;
        let step = self.operation(&database, grant.operation)?.answered(self.issue_of(&grant).jti, answer, T0).ok()?;
        self.save_operation(&mut database, grant.operation, step.state);
        Some(self.commit(world, process, database))
    }

    fn give_up(&mut self, world: World, process: u8, operation: u8) -> Option<World> {
        let number = self.orphan(&world, process, operation)?;
        self.hear(world, process, number, Answer::NotKnown)
    }

    /// Without faults, only a process that is really dead is given up.
    pub(super) fn gone(&self, world: &World, process: u8, operation: u8) -> Option<Action> {
        let number = self.orphan(world, process, operation)?;
        let grant = world.grants[usize::from(number)]?;
        (!world.agent_lives(&grant)).then_some(Action::Gone(process, operation))
    }

    fn backup(&self, mut world: World) -> Option<World> {
        (world.backup.is_none() && world.restored == Restored::Not && world.starts > 0).then(|| {
            world.backup = Some(world.database);
            world
        })
    }

    fn restore(&self, mut world: World) -> Option<World> {
        if world.restored != Restored::Not || world.processes != [None; PROCESSES] {
            return None;
        }
        world.database = world.backup.take()?;
        world.restored = self.scenario.restore?;
        Some(world)
    }
}
