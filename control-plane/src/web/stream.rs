//! Server-sent events (WHATWG HTML §9.2): one line of JSON per change, and a comment now and then so that a dead peer is noticed. The
//! stream ends with the credential that asked for it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use shared::time::Timestamp;
use shared_net::clock::Clock;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, IntervalStream};

use crate::events::Event;

/// Between two comments.
const QUIET: Duration = Duration::from_secs(15);

/// The events as bytes.
pub(super) fn events(
    receiver: broadcast::Receiver<Event>,
    until: Option<Timestamp>,
    clock: Clock,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let changes = BroadcastStream::new(receiver).map(|event| match event {
        Ok(event) => format!("data: {}\n\n", serde_json::to_string(&event).unwrap_or_default()),
        // Whoever fell behind looks at the list again.
        Err(_) => "event: lagged\ndata: {}\n\n".to_owned(),
    });
    let comments = IntervalStream::new(tokio::time::interval(QUIET)).map(|_| ": still here\n\n".to_owned());
    let over = async move {
        match until {
            Some(until) => clock.sleep(until.since(clock.now())).await,
            None => future::pending().await,
        }
    };
    stream::select(changes, comments).map(|text| Ok(Bytes::from(text))).take_until(Box::pin(over))
}
