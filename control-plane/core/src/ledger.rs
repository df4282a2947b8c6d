//! The agent's ledger: which grants were spent on this agent process, and what became of them.
//!
//! Owns the second half of "a grant is spent at most once": a `jti` is marked before anything is sent, and is never accepted
//! again. The ledger is memory. It need not survive a crash, because a grant names one connection (the epoch), and no epoch
//! survives its process; for operations with an approval a Lease in the cluster ([`spent_lease_name`]) is the durable guard.
//!
//! It is a plain value: the agent keeps it behind one lock that is held for a map lookup and never across I/O. Called by the
//! agent's verify stage ([`Ledger::spend`]), at the end of an operation ([`Ledger::finish`]), when a connection opens or ends,
//! and when the control plane asks after a crash ([`Ledger::answer`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::ids::{ApprovalId, GrantId};
use shared::limits;
use shared::time::Timestamp;

use crate::lifecycle::{Answer, Life, Outcome};

/// One connection between the control plane and an agent process: 32 bytes from the TLS exporter of that connection
/// (RFC 8446 §7.5), so that both ends know it and nobody else can choose it. The `aud` of every grant.
///
/// Not a secret: keys come from the same exporter under another label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch([u8; 32]);

impl Epoch {
    /// From the exporter's bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// The text is not an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is 32 bytes in base64url without padding")]
pub struct EpochError;

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| EpochError)?;
        bytes.try_into().map(Self).map_err(|_| EpochError)
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a grant is not accepted. Each means that nothing was sent under it by this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpendError {
    /// The grant was made in an earlier life of the control plane, or by one whose database is an old copy.
    #[error("the grant is of life {got} of the control plane, this agent has seen life {seen}")]
    LifeTooLow {
        /// Highest that this agent has seen.
        seen: Life,
        /// What the grant says.
        got: Life,
    },
    /// This process never had such a connection, or has forgotten it.
    #[error("no such connection here")]
    EpochUnknown,
    /// The connection ended, or the control plane was told so.
    #[error("the connection of this grant is over")]
    EpochSealed,
    /// The same `jti` a second time.
    #[error("the grant was spent before")]
    AlreadySpent,
    /// So many grants came after it that the ledger can't tell any more whether it was spent.
    #[error("the grant is older than what the ledger remembers")]
    TooOld,
    /// As many operations run on this connection as the ledger can remember.
    #[error("the ledger is full")]
    Full,
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The same exporter value twice: a fault, never chance.
    #[error("the connection is known already")]
    Known,
    /// Too many connections at once.
    #[error("too many connections at once")]
    Full,
}

/// The grant was marked spent by [`Ledger::spend`] just now. Not `Clone`: whoever has it may send once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a spent grant must be carried out and finished"]
pub struct Spent {
    epoch: Epoch,
    jti: GrantId,
}

impl Spent {
    /// The grant.
    pub const fn jti(&self) -> GrantId {
        self.jti
    }

    /// Its connection.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where to report the end, for code that gives the right to send away.
    pub const fn ticket(&self) -> Ticket {
        Ticket { epoch: self.epoch, jti: self.jti }
    }
}

/// Which entry [`Ledger::finish`] is to close. Gives no right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: Epoch,
    jti: GrantId,
}

/// See the module. Hashable and cloneable, so that the model checker can explore the very same code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    life: Life,
    open: BTreeMap<Epoch, Entries>,
    /// Oldest first.
    sealed: VecDeque<(Epoch, Entries)>,
    bounds: Bounds,
}

/// Smaller in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bounds {
    /// Grants remembered per open epoch, and in all sealed ones together.
    entries: usize,
    /// Open epochs, and again sealed ones.
    epochs: usize,
}

/// The grants of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Entries {
    running: BTreeSet<GrantId>,
    finished: BTreeMap<GrantId, Outcome>,
    /// Every id up to this one that is not in the maps above counts as spent, with an outcome that was forgotten.
    floor: Option<GrantId>,
}

impl Entries {
    fn len(&self) -> usize {
        self.running.len().saturating_add(self.finished.len())
    }

    fn knows(&self, jti: GrantId) -> bool {
        self.running.contains(&jti) || self.finished.contains_key(&jti)
    }

    fn is_forgotten(&self, jti: GrantId) -> bool {
        self.floor.is_some_and(|floor| jti <= floor) && !self.knows(jti)
    }

    /// Makes room for one more by forgetting the oldest finished grant. Ids below it are refused from then on, so forgetting
    /// never lets one through twice. Ids are UUIDv7: "oldest" is "issued first"; with other ids more would be refused, never less.
    fn make_room(&mut self, bound: usize) -> bool {
        if self.len() < bound {
            return true;
        }
        match self.finished.pop_first() {
            Some((oldest, _)) => {
                self.floor = self.floor.max(Some(oldest));
                true
            }
            None => false,
        }
    }

    fn answer(&self, jti: GrantId) -> Answer {
        if let Some(outcome) = self.finished.get(&jti) {
            Answer::Spent { outcome: Some(*outcome) }
        } else if self.running.contains(&jti) {
            Answer::Spent { outcome: None }
        } else if self.is_forgotten(jti) {
            Answer::NotKnown
        } else {
            Answer::NeverSpent
        }
    }
}

impl Ledger {
    /// An empty ledger. `life` is the highest life of the control plane that this agent has proof of (zero if none).
    pub const fn new(life: Life) -> Self {
        Self {
            life,
            open: BTreeMap::new(),
            sealed: VecDeque::new(),
            bounds: Bounds { entries: limits::LEDGER_ENTRIES, epochs: limits::LEDGER_EPOCHS },
        }
    }

    /// Highest life of the control plane that this agent has seen.
    pub const fn life(&self) -> Life {
        self.life
    }

    /// A connection opened.
    ///
    /// # Errors
    /// The epoch is known (open or sealed: a sealed one never opens again), or there are too many.
    pub fn open_epoch(&mut self, epoch: Epoch) -> Result<(), OpenError> {
        if self.open.contains_key(&epoch) || self.sealed.iter().any(|(sealed, _)| *sealed == epoch) {
            return Err(OpenError::Known);
        }
        if self.open.len() >= self.bounds.epochs {
            return Err(OpenError::Full);
        }
        self.open.insert(epoch, Entries::default());
        Ok(())
    }

    /// A connection ended, or is to count as ended: no grant of it is accepted from now on. What runs goes on, and its outcome
    /// is kept for [`Ledger::answer`].
    pub fn seal_epoch(&mut self, epoch: Epoch) {
        let Some(entries) = self.open.remove(&epoch) else {
            return;
        };
        self.sealed.push_back((epoch, entries));
        // Forgetting a sealed epoch is safe: an unknown epoch spends nothing and answers "not known".
        while self.sealed.len() > self.bounds.epochs
            || (self.sealed.len() > 1
                && self.sealed.iter().map(|(_, entries)| entries.len()).sum::<usize>() > self.bounds.entries)
        {
            self.sealed.pop_front();
        }
    }

    /// Marks a grant spent: the last check before anything is sent, and the only one that changes the ledger.
    ///
    /// # Errors
    /// See [`SpendError`]; the ledger is then as it was, but for `life`.
    pub fn spend(&mut self, epoch: Epoch, life: Life, jti: GrantId) -> Result<Spent, SpendError> {
        self.see_life(life)?;
        let Some(entries) = self.open.get_mut(&epoch) else {
            return Err(if self.sealed.iter().any(|(sealed, _)| *sealed == epoch) {
                SpendError::EpochSealed
            } else {
                SpendError::EpochUnknown
            });
        };
        if entries.knows(jti) {
            return Err(SpendError::AlreadySpent);
        }
        if entries.is_forgotten(jti) {
            return Err(SpendError::TooOld);
        }
        if !entries.make_room(self.bounds.entries) {
            return Err(SpendError::Full);
        }
        // Making room may have raised the floor above this very id.
        if entries.is_forgotten(jti) {
            return Err(SpendError::TooOld);
        }
        entries.running.insert(jti);
        Ok(Spent { epoch, jti })
    }

    /// Notes a life of the control plane, from a grant or a greeting.
    ///
    /// # Errors
    /// [`SpendError::LifeTooLow`] if a later one was seen: an old copy of the database, or a process that should be dead.
    pub fn see_life(&mut self, life: Life) -> Result<(), SpendError> {
        if life < self.life {
            return Err(SpendError::LifeTooLow { seen: self.life, got: life });
        }
        self.life = life;
        Ok(())
    }

    /// Notes how a spent grant ended. The first outcome stays. Returns whether it was taken.
    pub fn finish(&mut self, ticket: Ticket, outcome: Outcome) -> bool {
        let entries = match self.open.get_mut(&ticket.epoch) {
            Some(entries) => Some(entries),
            None => self.sealed.iter_mut().find_map(|(epoch, entries)| (*epoch == ticket.epoch).then_some(entries)),
        };
        entries.is_some_and(|entries| {
            let was_running = entries.running.remove(&ticket.jti);
            if was_running {
                entries.finished.insert(ticket.jti, outcome);
            }
            was_running
        })
    }

    /// What became of a grant. Seals its epoch first, so that "never spent" stays true after the answer was given.
    pub fn answer(&mut self, epoch: Epoch, jti: GrantId) -> Answer {
        self.seal_epoch(epoch);
        self.sealed
            .iter()
            .find_map(|(sealed, entries)| (*sealed == epoch).then(|| entries.answer(jti)))
            .unwrap_or(Answer::NotKnown)
    }

    /// Operations that run now, over all epochs.
    pub fn running(&self) -> usize {
        let open = self.open.values();
        let sealed = self.sealed.iter().map(|(_, entries)| entries);
        open.chain(sealed).map(|entries| entries.running.len()).sum()
    }
}

/// Name of the Lease that the agent creates in its own namespace before it sends an operation with an approval. If it exists
/// (409), or the API server does not answer, the operation is refused: so one approval runs once, across agents, restarts,
/// backups and a hostile control plane.
///
/// A hash, because names of Leases are readable by more people than approvals are; 70 characters of a DNS subdomain.
pub fn spent_lease_name(approval: ApprovalId) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"sallyport spent approval\0");
    context.update(approval.uuid().as_bytes());
    let mut name = String::from("spent-");
    for byte in context.finish().as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            name.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    name
}

/// Whether an agent refuses an approval by its own clock, whatever the grant says.
pub fn approval_is_over(expires: Timestamp, now: Timestamp) -> bool {
    now >= expires
}

/// Whether an agent may delete the Lease of an approval: only when no agent accepts that approval any more, by whatever clock.
pub fn spent_lease_is_over(expires: Timestamp, now: Timestamp) -> bool {
    now >= expires.after(limits::SPENT_LEASE_KEEP)
}

#[cfg(test)]
mod tests;
