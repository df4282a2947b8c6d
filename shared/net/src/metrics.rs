//! The registry of a process. Labels come from closed enums only: never a namespace, a name or a subject.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use prometheus_client;
use prometheus_client::registry::{Metric, Registry};

/// The metrics of a process. Clones are the same registry. Its lock is taken to register and to print, never to count.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty registry; every name gets the prefix `sallyport_`.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("sallyport"))))
    }

    /// Registers a metric (a clone of it; they share their values). Unit in the name, `help` a sentence without its full stop.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    /// A metric that can't be printed.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}
