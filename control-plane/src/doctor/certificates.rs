//! Certificates and their ages: what the cluster's Secrets hold, and whether the API server trusts it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use shared::time::Timestamp;
use shared_net::validity::{Validity, validity};

use super::check::{Check, Report};
use super::cluster::Seen;
use super::{last_line, list, span, text};

/// The name under which the API server calls the injector.
const INJECTOR: &str = "sallyport-injector.sallyport.svc";

pub(super) fn look(seen: &Seen, report: &mut Report) {
    let secret = |name: &str, key: &str| seen.cluster.secret(name, key).map(|value| value.expose().clone());
    let check = Check::new("webhook-certificate");
    let Some(chain) = secret("sallyport-injector-tls", "tls.crt") else {
        report.push(check.fail("the Secret sallyport-injector-tls has no certificate").remedy(RENEW));
        return;
    };
    let chain = certificates(&chain);
    let Some(leaf) = chain.first() else {
        report
            .push(check.fail("the Secret sallyport-injector-tls holds no certificate that can be read").remedy(RENEW));
        return;
    };
    let mut check = ages(check, "it", validity(leaf), seen.now);
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let arguments = ["get", kind, "sallyport-injector", "--ignore-not-found", "-o", "json"];
        match seen.kubectl.json(&arguments) {
            Err(error) => check = check.fail(last_line(&format!("{error:#}"))),
            Ok(found) => {
                let mut bundles: Vec<_> =
                    list(&found, "/webhooks").map(|one| text(one, "/clientConfig/caBundle").to_owned()).collect();
                bundles.dedup();
                let refused = bundles.iter().find_map(|bundle| refused(&chain, bundle, seen.now));
                if let Some(why) = refused {
                    check =
                        check.fail(format!("the API server would not trust it by the caBundle of the {kind}: {why}"));
                }
            }
        }
    }
    let rotating =
        ["next.crt", "previous.crt"].iter().any(|key| seen.cluster.secret("sallyport-webhook-ca", key).is_some());
    if rotating {
        check = check
            .warn("its authority is being changed: repeat `sallyport upgrade --rotate webhook-ca` until it is done");
    }
    report.push(check.remedy(RENEW));
}

const RENEW: &str = "sallyport upgrade --values FILE --rotate webhook-certificate | kubectl apply -f -";

/// Says how old it is and when it ends. The last third of its life is the time to renew it.
pub(super) fn ages(check: Check, what: &str, validity: Option<Validity>, now: Timestamp) -> Check {
    let Some(Validity { from, until }) = validity else {
        return check.fail(format!("{what} can't be read"));
    };
    let life = until.since(from);
    let (age, left) = (now.since(from), until.since(now));
    if left == Duration::ZERO {
        check.fail(format!("{what} ended {} ago", span(now.since(until))))
    } else if now < from {
        check.fail(format!("{what} begins in {}: is this machine's clock right?", span(from.since(now))))
    } else if left < life / 3 {
        check.warn(format!("{what} ends in {}; it is {} old", span(left), span(age)))
    } else {
        check.note(format!("{what} is {} old and good for {} more", span(age), span(left)))
    }
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).map(CertificateDer::into_owned).collect()
}

/// Why a certificate would not be trusted under a caBundle; `None`: it would.
fn refused(chain: &[CertificateDer<'static>], bundle: &str, now: Timestamp) -> Option<String> {
    let pem = STANDARD.decode(bundle).unwrap_or_default();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(&pem));
    if added == 0 {
        return Some("there is no certificate in it".to_owned());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), shared_net::crypto::provider()).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from(INJECTOR)) else {
        return Some("it can't be used".to_owned());
    };
    let (leaf, more) = chain.split_first()?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    verifier.verify_server_cert(leaf, more, &name, &[], at).err().map(|error| error.to_string())
}

/// A certificate's times as the control plane says them.
pub(super) fn said(value: &Value) -> Option<Validity> {
    let at = |key: &str| value.get(key).and_then(Value::as_u64).map(Timestamp);
    Some(Validity { from: at("from")?, until: at("until")? })
}

#[cfg(test)]
mod tests {
    use shared_net::pki::Ca;

    use super::*;
    use crate::doctor::Outcome;

    const DAY: u64 = 24 * 3600 * 1000;

    #[test]
    fn the_last_third_is_a_warning() {
        let life = Validity { from: Timestamp(100 * DAY), until: Timestamp(400 * DAY) };
        let outcome = |day: u64| ages(Check::new("certificates"), "it", Some(life), Timestamp(day * DAY)).outcome();
        assert_eq!(
            [99, 101, 299, 301, 399].map(outcome),
            [Outcome::Failed, Outcome::Ok, Outcome::Ok, Outcome::Warning, Outcome::Warning]
        );
        assert_eq!(outcome(400), Outcome::Failed);
        assert_eq!(ages(Check::new("certificates"), "it", None, Timestamp(0)).outcome(), Outcome::Failed);
    }

    #[test]
    fn trust_is_that_of_the_bundle() {
        let now = Timestamp(1_700_000_000_000);
        let (ca, other) = (Ca::generate("one", now).unwrap(), Ca::generate("two", now).unwrap());
        let chain =
            |name: &str| ca.issue_server(&[name], &[], now, Duration::from_secs(1000)).unwrap().chain().to_vec();
        let bundle = |ca: &Ca| STANDARD.encode(ca.pem());
        assert_eq!(refused(&chain(INJECTOR), &bundle(&ca), now), None);
        let both = STANDARD.encode(format!("{}{}", other.pem(), ca.pem()));
        assert_eq!(refused(&chain(INJECTOR), &both, now), None);
        assert!(refused(&chain(INJECTOR), &bundle(&other), now).is_some());
        assert!(refused(&chain("other.svc"), &bundle(&ca), now).is_some());
        assert!(refused(&chain(INJECTOR), &bundle(&ca), now.after(Duration::from_secs(1001))).is_some());
        assert!(refused(&chain(INJECTOR), "", now).is_some());
    }
}
