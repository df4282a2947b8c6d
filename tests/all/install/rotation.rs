//! A certificate's authority is changed in steps, and at every moment what the injector shows is trusted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_plane::install::{self, Form, Installation, Rotate, Settings};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};
use shared::secret::Secret;
use shared::time::Timestamp;
use shared_net::pki::Ca;

use super::{NOW, cluster, values};

/// The cluster after `kubectl apply`.
pub(super) fn applied(installation: &Installation) -> install::Cluster {
    let mut cluster = cluster(36);
    for secret in installation.objects().iter().filter(|one| one["kind"] == "Secret") {
        let decode = |value: &Value| Secret::new(STANDARD.decode(value.as_str().unwrap()).unwrap());
        let data = secret["data"].as_object().unwrap().iter();
        let data: BTreeMap<_, _> = data.map(|(key, value)| (key.clone(), decode(value))).collect();
        cluster.secrets.insert(secret["metadata"]["name"].as_str().unwrap().to_owned(), data);
    }
    cluster
}

fn install(cluster: &install::Cluster, rotate: Option<Rotate>, now: Timestamp) -> Installation {
    let settings = Settings::parse(values(json!({}))).unwrap();
    Installation::new(&settings, cluster, rotate, now).unwrap()
}

fn bundle(installation: &Installation) -> Vec<u8> {
    let webhooks = installation.objects().iter().filter_map(|one| one.pointer("/webhooks/0/clientConfig/caBundle"));
    let bundles: Vec<_> = webhooks.map(|bundle| STANDARD.decode(bundle.as_str().unwrap()).unwrap()).collect();
    assert_eq!((bundles.len(), &bundles[0]), (2, &bundles[1]));
    bundles[0].clone()
}

fn leaf(installation: &Installation) -> Vec<u8> {
    applied(installation).secrets["sallyport-injector-tls"]["tls.crt"].expose().clone()
}

/// As the API server verifies it.
fn trusts(bundle: &[u8], leaf: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = shared_net::crypto::provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let leaf = CertificateDer::from_pem_slice(leaf).unwrap();
    let name = "sallyport-injector.sallyport.svc".try_into().unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_millis(NOW.0));
    verifier.verify_server_cert(&leaf, &[], &name, &[], now).is_ok()
}

#[test]
fn the_injectors_authority_changes_without_a_gap() {
    let mut before = install(&cluster(36), None, NOW);
    let (first_bundle, first_leaf) = (bundle(&before), leaf(&before));
    for step in 1..=3 {
        let after = install(&applied(&before), Some(Rotate::WebhookCa), NOW);
        assert!(after.notes().iter().any(|note| note.contains(&format!("{step} of 3"))), "{:?}", after.notes());
        // Whichever of bundle and certificate arrives first.
        for bundle in [bundle(&before), bundle(&after)] {
            for leaf in [leaf(&before), leaf(&after)] {
                assert!(trusts(&bundle, &leaf), "step {step}");
            }
        }
        // What is not asked for again does not go on by itself.
        let again = install(&applied(&after), None, NOW);
        assert_eq!(again.objects(), after.objects());
        before = after;
    }
    assert!(!trusts(&first_bundle, &leaf(&before)) && !trusts(&bundle(&before), &first_leaf), "nothing has changed");
}

#[test]
fn keys_are_kept_and_renewed_when_they_are_due() {
    let first = install(&cluster(36), None, NOW);
    assert_eq!(install(&applied(&first), None, NOW).objects(), first.objects());
    let month = 30 * 24 * 3_600_000;
    for (months, renewed) in [(7, false), (9, true), (13, true)] {
        let later = install(&applied(&first), None, Timestamp(NOW.0 + months * month));
        assert_eq!(leaf(&later) != leaf(&first), renewed, "after {months} months");
        assert_eq!(bundle(&later), bundle(&first));
    }
    let renewed = install(&applied(&first), Some(Rotate::WebhookCertificate), NOW);
    assert!(leaf(&renewed) != leaf(&first) && bundle(&renewed) == bundle(&first));
    // A new key of placeholders: the one before stays readable, and the agents start anew.
    let rotated = install(&applied(&first), Some(Rotate::Placeholder), NOW);
    let (old, new) = (applied(&first).secrets, applied(&rotated).secrets);
    let key = |secrets: &BTreeMap<String, BTreeMap<String, Secret<Vec<u8>>>>, name: &str| {
        secrets["sallyport-placeholder"][name].expose().clone()
    };
    assert_eq!(key(&new, "previous"), key(&old, "current"));
    assert_ne!(key(&new, "current"), key(&old, "current"));
    let changed = |one: &Installation, other: &Installation| {
        let differs = one.objects().iter().zip(other.objects()).filter(|(one, other)| one != other);
        differs
            .map(|(one, _)| format!("{} {}", one["kind"], one["metadata"]["name"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        changed(&first, &rotated),
        ["ConfigMap sallyport-agent", "Secret sallyport-placeholder", "Deployment sallyport-agent"]
    );
    assert_eq!(changed(&first, &renewed), ["Secret sallyport-injector-tls"]);
}

/// The control plane's authority: between the two steps whoever pins either is served.
#[test]
fn the_control_planes_authority_changes_without_a_gap() {
    let first = install(&cluster(36), None, NOW);
    let second = install(&applied(&first), Some(Rotate::ControlPlaneCa), NOW);
    assert!(second.notes().iter().any(|note| note.contains("Step 1 of 2")), "{:?}", second.notes());
    let third = install(&applied(&second), Some(Rotate::ControlPlaneCa), NOW);
    assert!(third.notes().iter().any(|note| note.contains("Step 2 of 2")), "{:?}", third.notes());
    // What is not asked for again does not go on by itself.
    assert_eq!(install(&applied(&second), None, NOW).objects(), second.objects());
    assert_eq!(install(&applied(&third), None, NOW).objects(), third.objects());
    let authority = |installation: &Installation| {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in &applied(installation).secrets["sallyport-ca"] {
            std::fs::write(folder.path().join(name), value.expose()).unwrap();
        }
        Ca::load(folder.path(), "sallyport").unwrap()
    };
    let [old, both, new] = [&first, &second, &third].map(authority);
    assert!(old.pin() != both.pin() && both.pin() == new.pin());
    assert!(both.before_pem().unwrap().contains(old.pem().trim()) && new.before_pem().is_none());
    // Agents and sidecars that start from now on pin the new one, and the control plane starts anew with it.
    let text = |installation: &Installation| installation.print(Form::Manifests);
    assert!(!text(&second).contains(&old.pin().to_string()) && text(&second).contains(&both.pin().to_string()));
    let config = |installation: &Installation| {
        let set = installation.objects().iter().find(|one| one["kind"] == "StatefulSet").unwrap();
        set["spec"]["template"]["metadata"]["annotations"]["sallyport.dev/config"].clone()
    };
    assert!(config(&first) != config(&second) && config(&second) != config(&third));

    let outside = json!({"controlPlane": {"address": "x:1", "pin": old.pin().to_string()}});
    let settings = Settings::parse(values(outside)).unwrap();
    let error = Installation::new(&settings, &cluster(36), Some(Rotate::ControlPlaneCa), NOW).unwrap_err();
    assert!(error.to_string().contains("sallyport ca rotate"), "{error}");
}

#[test]
fn half_an_authority_is_not_replaced() {
    let mut cluster = applied(&install(&cluster(36), None, NOW));
    cluster.secrets.get_mut("sallyport-ca").unwrap().remove("ca.key");
    let settings = Settings::parse(values(json!({}))).unwrap();
    let error = Installation::new(&settings, &cluster, None, NOW).unwrap_err();
    assert!(error.to_string().contains("only one of ca.key and ca.crt"), "{error}");
}

#[test]
fn another_name_or_an_old_cluster_is_refused() {
    let settings = Settings::parse(values(json!({}))).unwrap();
    let mut renamed = cluster(36);
    renamed.installed = Some("cluster: staging\n".to_owned());
    for (cluster, words) in [(renamed, "\"staging\""), (cluster(29), "Kubernetes 1.29")] {
        let error = Installation::new(&settings, &cluster, None, NOW).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
