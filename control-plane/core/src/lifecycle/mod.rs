//! The life of one operation between "decide" and its outcome: hold, votes, approval, grant, end.
pub mod life;
pub mod outcome;
pub use life::Life;
pub use outcome::{NotSent, Outcome, Unknown};

use serde::{Deserialize, Serialize};

/// What an agent process says of a grant, after it sealed the grant's epoch ([`crate::ledger::Ledger::answer`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// It was not spent here and never will be: the operation may be issued again.
    NeverSpent,
    /// It was spent.
    Spent {
        /// How it ended; `None` while it runs (ask again).
        outcome: Option<Outcome>,
    },
    /// This process can't tell.
    NotKnown,
}
