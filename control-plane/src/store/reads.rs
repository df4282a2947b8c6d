//! Records of plain reads, which are many: written within a second instead of before the answer, and in one go where that is possible.

use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::{OperationId, SessionId};

use super::closing::close;
use super::operations::{Closing, Opening, insert};
use super::{Store, StoreError};

/// A read whose record waits for the writer, or is written. A read that ends before that becomes one row in one go.
pub struct OpenRead(Arc<Mutex<Half>>);

enum Half {
    /// With the end of the read, if it has ended.
    Waiting(Option<Box<Closing>>),
    Written,
}

impl OpenRead {
    /// Adds the second half to the first while that waits. Gives it back where the first half is written.
    pub fn end(&self, closing: Closing) -> Option<Closing> {
        let mut half = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *half {
            Half::Waiting(end) => {
                // The first outcome stays.
                end.get_or_insert_with(|| Box::new(closing));
                None
            }
            Half::Written => Some(closing),
        }
    }
}

impl Store {
    /// Records a read's intent lazily.
    pub async fn open_read(&self, opening: Arc<Opening>) -> Result<OpenRead, StoreError> {
        let open = OpenRead(Arc::new(Mutex::new(Half::Waiting(None))));
        let half = Arc::clone(&open.0);
        self.writer
            .lazy(move |c| {
                let waited =
                    std::mem::replace(&mut *half.lock().unwrap_or_else(PoisonError::into_inner), Half::Written);
                let closing = if let Half::Waiting(closing) = waited { closing } else { None };
                if insert(c, &opening, None, closing.as_deref())? {
                    Ok(())
                } else {
                    // The session's ids see to it that no two reads share one; said aloud if they ever fail to.
                    Err(StoreError::Corrupt("two reads under one id"))
                }
            })
            .await?;
        Ok(open)
    }

    /// Closes an operation lazily (the answer of a read) whose first half is written already: see [`OpenRead::end`].
    pub async fn close_read(&self, session: SessionId, id: OperationId, closing: Closing) -> Result<(), StoreError> {
        self.writer.lazy(move |c| close(c, session, id, &closing).map(drop)).await
    }
}
