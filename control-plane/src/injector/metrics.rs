//! What the injector counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use shared_net::metrics::Metrics;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AdmissionLabels {
    /// mutate | validate | warn | none.
    pub(super) webhook: &'static str,
    /// patched | allowed | refused | invalid.
    pub(super) result: &'static str,
}

/// All of them.
#[derive(Debug)]
pub(super) struct InjectorMetrics {
    /// Answers.
    pub(super) admissions: Family<AdmissionLabels, Counter>,
    /// Seconds from a whole body to the answer.
    pub(super) seconds: Histogram,
    /// End of the certificate's life, seconds since 1970.
    pub(super) certificate_end: Gauge,
}

impl InjectorMetrics {
    pub(super) fn new(registry: &Metrics) -> Self {
        let buckets = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.5];
        let this =
            Self { admissions: Family::default(), seconds: Histogram::new(buckets), certificate_end: Gauge::default() };
        registry.register(
            "admissions",
            "Reviews that the injector answered, by webhook and result",
            this.admissions.clone(),
        );
        registry.register("admission_seconds", "Time from a review's last byte to its answer", this.seconds.clone());
        registry.register(
            "injector_certificate_end_timestamp_seconds",
            "When the injector's certificate ends, in seconds since 1970",
            this.certificate_end.clone(),
        );
        this
    }
}
