//! The policy in force. Reloaded when its file changes; a file with any mistake is refused whole and the old policy stays. If there is
//! none to stay with, everything is refused.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use control_plane_core::policy::{Mistake, Policy};
use shared::limits;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The policy in force, and where it comes from.
pub struct Policies {
    path: Option<PathBuf>,
    current: RwLock<Arc<Policy>>,
    state: RwLock<State>,
}

/// What to say of the file.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The text in force; empty for the built-in policy.
    pub text: String,
    /// Whether nothing is in force, because the file was wrong from the start: everything is refused.
    pub closed: bool,
    /// What is wrong with the newest file, if it was refused.
    pub refused: Vec<String>,
    #[serde(skip)]
    modified: Option<SystemTime>,
}

impl Policies {
    /// Reads the policy. A wrong file does not keep the process from starting: it keeps everything from passing.
    pub fn load(path: Option<PathBuf>) -> Self {
        let this = Self {
            current: RwLock::new(Arc::new(start(path.as_deref()))),
            state: RwLock::new(State { closed: path.is_some(), ..State::default() }),
            path,
        };
        this.reload();
        this
    }

    /// The policy in force.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing is in force, so that everything is refused.
    pub fn is_closed(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows the file for ever.
    pub async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(&self);
            // Off the threads that carry operations: a slow disk, or a long file to compile, is nobody's wait.
            if let Err(error) = tokio::task::spawn_blocking(move || this.reload()).await
                && let Ok(panic) = error.try_into_panic()
            {
                // As if it had been ours: nothing goes on with a policy that may be an old one.
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Reads the file again if it changed.
    fn reload(&self) {
        let Some(path) = &self.path else { return };
        let modified = std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if modified.is_some() && modified == self.state.read().unwrap_or_else(PoisonError::into_inner).modified {
            return;
        }
        let result = read(path);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if modified.is_none() && !state.refused.is_empty() {
            return;
        }
        state.modified = modified;
        match result {
            Ok((policy, text)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
                *state = State { text, closed: false, refused: Vec::new(), modified };
                tracing::info!(path = %path.display(), "policy in force");
            }
            Err(refused) => {
                tracing::error!(path = %path.display(), mistakes = ?refused, closed = state.closed, "policy file refused; what was in force stays");
                state.refused = refused;
            }
        }
    }
}

/// What is in force before a file was read.
fn start(path: Option<&Path>) -> Policy {
    if path.is_some() {
        return Policy::closed();
    }
    Policy::built_in().unwrap_or_else(|mistakes| {
        tracing::error!(?mistakes, "the built-in policy can't be read; everything is refused");
        Policy::closed()
    })
}

/// Reads and checks a file.
pub fn read(path: &Path) -> Result<(Policy, String), Vec<String>> {
    let length = std::fs::metadata(path).map_err(|error| vec![format!("can't be read: {error}")])?.len();
    if length > limits::POLICY_BYTES as u64 {
        return Err(vec![format!("is larger than {} bytes", limits::POLICY_BYTES)]);
    }
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("can't be read: {error}")])?;
    match Policy::parse(&text) {
        Ok(policy) => Ok((policy, text)),
        Err(mistakes) => Err(mistakes.iter().map(Mistake::to_string).collect()),
    }
}
