//! The state of the model: what is durable, what dies with a process, what is on the wire, and what really happened.

use shared::time::Timestamp;

use crate::lifecycle::{Life, Outcome};

pub(super) const OPERATIONS: usize = 2;
pub(super) const AGENTS: usize = 2;
pub(super) const PROCESSES: usize = 2;
pub(super) const CONNECTIONS: usize = 7;
pub(super) const GRANTS: usize = 5;
pub(super) const APPROVALS: usize = 2;

/// Everything. Records of the real types stand in pools; here are their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) clock: u8,
    pub(super) database: Database,
    /// Written by a transaction that is not durable yet; used by one mutation only.
    pub(super) staged: Option<(u8, Database)>,
    pub(super) backup: Option<Database>,
    pub(super) restored: Restored,
    pub(super) starts: u8,
    pub(super) agent_crashes: u8,
    /// The control plane's processes: two may live at once, if the older one does not know that it should be dead.
    pub(super) processes: [Option<Process>; PROCESSES],
    pub(super) agents: [Agent; AGENTS],
    pub(super) connections: [Option<Connection>; CONNECTIONS],
    pub(super) grants: [Option<Grant>; GRANTS],
    /// The ledger in etcd: expiry of the approval whose Lease exists.
    pub(super) leases: [Option<Timestamp>; APPROVALS],
    pub(super) truth: Truth,
}

/// What survives a crash of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Database {
    pub(super) lives: u16,
    pub(super) hold: Option<u16>,
    pub(super) operations: [Option<u16>; OPERATIONS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Restored {
    Not,
    /// The copy is in place; the next start says `--restored`.
    Copied,
    Declared,
    /// Nobody said so.
    Silently,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) lives: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Agent {
    /// Which process of this agent.
    pub(super) process: u8,
    pub(super) ledger: u16,
}

/// Its two ends learn at different times that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Connection {
    pub(super) from: u8,
    pub(super) agent: u8,
    pub(super) agent_process: u8,
    /// The control plane's end is open.
    pub(super) here: bool,
    /// The agent's end is open.
    pub(super) there: bool,
}

/// A grant and all messages about it. A message that was sent once can arrive at any later time, any number of times, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) operation: u8,
    pub(super) connection: u8,
    pub(super) issue: u16,
    /// The process that is still to send it.
    pub(super) pending: Option<u8>,
    pub(super) sent: bool,
    pub(super) stage: Stage,
    /// What the agent says of it on the connection's own stream.
    pub(super) report: Option<Outcome>,
    /// Answers to questions that are on the wire.
    pub(super) answers: Answers,
}

/// How far the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Absent,
    Spent,
    Leased,
    Sent,
    Done,
    /// The process died in the middle.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Answers {
    pub(super) never: bool,
    pub(super) running: bool,
    pub(super) over: bool,
    pub(super) unknown: bool,
}

/// What really happened; no process can see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    /// How often the API server carried it out.
    pub(super) ran: [u8; OPERATIONS],
    /// How often under this approval.
    pub(super) ran_approved: [u8; APPROVALS],
    /// Approvals that were ever given.
    pub(super) approvals: u8,
    /// The approval, with enough votes of the right people, was on disk.
    pub(super) approved: [bool; APPROVALS],
    /// The issue was on disk.
    pub(super) issued: [bool; GRANTS],
    pub(super) wrong: Option<&'static str>,
}

/// One step of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start(u8),
    CrashControlPlane(u8),
    /// The client's request arrives: is recorded, and placed into a hold where it needs one.
    Request(u8, u8),
    Vote(u8, Who),
    Expire(u8),
    Settle(u8, u8),
    /// A grant is issued (the approval is spent) for one connection.
    Issue(u8, u8, u8),
    /// What was staged becomes durable.
    Commit,
    Send(u8),
    /// A grant that is on record is not sent after all: it could not be signed, or its client left.
    GiveUp(u8),
    /// The process knows that it has not sent it: its agent is going away, or the connection takes nothing.
    Unsent(u8),
    Connect(u8, u8),
    CutHere(u8),
    CutThere(u8),
    /// A grant reaches its agent.
    Deliver(u8),
    /// The agent is going away, and gives the stream back untouched.
    Refuse(u8),
    Lease(u8, LeaseAnswer),
    Upstream(u8),
    Answered(u8),
    Unanswered(u8),
    /// The agent's word on the connection's own stream reaches the control plane.
    Report(u8),
    Ask(u8, u8),
    Answer(u8, u8, Kind),
    /// The control plane gives up on an agent process.
    Gone(u8, u8),
    CrashAgent(u8),
    DeleteLease(u8),
    Tick,
    Backup,
    Restore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Ann,
    Bob,
    BobSaysNo,
    Asker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseAnswer {
    Heard,
    CreatedUnheard,
    NotCreated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Never,
    Running,
    Over,
    Unknown,
}

impl World {
    pub(super) fn connection(&self, number: u8) -> Connection {
        self.connections[usize::from(number)].unwrap()
    }

    /// Processes of the control plane that live.
    pub(super) fn running(&self) -> impl Iterator<Item = u8> {
        let processes = self.processes.iter().enumerate();
        processes.filter_map(|(number, process)| process.map(|_| number as u8))
    }

    pub(super) fn known_connections(&self) -> impl Iterator<Item = (u8, &Connection)> {
        let connections = self.connections.iter().enumerate();
        connections.filter_map(|(number, connection)| connection.as_ref().map(|connection| (number as u8, connection)))
    }

    pub(super) fn known_grants(&self) -> impl Iterator<Item = (u8, &Grant)> {
        self.grants.iter().enumerate().filter_map(|(number, grant)| grant.as_ref().map(|grant| (number as u8, grant)))
    }

    pub(super) fn grant(&mut self, number: u8) -> &mut Grant {
        self.grants[usize::from(number)].as_mut().unwrap()
    }

    /// The agent process that a grant is for is alive.
    pub(super) fn agent_lives(&self, grant: &Grant) -> bool {
        let connection = self.connection(grant.connection);
        self.agents[usize::from(connection.agent)].process == connection.agent_process
    }
}
