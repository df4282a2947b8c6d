//! The keys of an installation: made at the first one, kept by every later one, renewed when they are due or when it is asked for.
//!
//! They live in Secrets of our namespace, which are read with the administrator's rights and rendered again.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::limits;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared_net::enrolment::EnrolmentToken;
use shared_net::pki::{Ca, KeyPin};

use super::cluster::{Cluster, Data, NAMESPACE};
use super::settings::{ControlPlane, Settings};

/// Our Secrets.
pub(super) const NAMES: [&str; 5] = [CA, PLACEHOLDER, ENROLMENT, WEBHOOK_CA, INJECTOR_TLS];
const CA: &str = "sallyport-ca";
const PLACEHOLDER: &str = "sallyport-placeholder";
/// The Secret with what enrols the cluster.
pub const ENROLMENT: &str = "sallyport-enrolment";
const WEBHOOK_CA: &str = "sallyport-webhook-ca";
const INJECTOR_TLS: &str = "sallyport-injector-tls";
/// What leads from the control plane's authority before to the present one.
const BEFORE: &str = "ca-before.crt";
/// The injector's certificate lives so long, and is renewed by the first `upgrade` in its last third.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is made anew on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// The injector's certificate, under the same authority.
    WebhookCertificate,
    /// That authority, in three steps, so that there is no moment without a certificate that is trusted.
    WebhookCa,
    /// The key of placeholders; the one before is still understood.
    Placeholder,
    /// The control plane's authority, in two steps, between which both are trusted.
    ControlPlaneCa,
}

/// The keys of an installation.
#[derive(Debug)]
pub(super) struct Keys {
    /// Pin of the control plane's authority; none where the control plane is elsewhere.
    pub(super) pin: Option<KeyPin>,
    pub(super) ca: Data,
    pub(super) placeholder: Data,
    /// What enrols the cluster, or enrolled it; empty where nothing does.
    pub(super) enrolment: Data,
    pub(super) webhook_ca: Data,
    pub(super) injector_tls: Data,
    /// What the API server trusts for the injector, PEM.
    pub(super) bundle: String,
    /// What was done, for the administrator.
    pub(super) notes: Vec<String>,
}

impl Keys {
    /// Takes what the cluster has, makes what it lacks.
    pub(super) fn of(
        cluster: &Cluster,
        settings: &Settings,
        rotate: Option<Rotate>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let (ca, pin) = match settings.inside() {
            Some(_) => authority(cluster, rotate, now, &mut notes).map(|(data, pin)| (data, Some(pin)))?,
            None if rotate == Some(Rotate::ControlPlaneCa) => {
                anyhow::bail!(
                    "the control plane is elsewhere: `sallyport ca rotate` there, then install again with the new --pin"
                )
            }
            None => (Data::new(), None),
        };
        let placeholder = placeholder(cluster, rotate, &mut notes);
        let enrolment = enrolment(cluster, settings)?;
        let webhook = Webhook::of(cluster, rotate, now, &mut notes)?;
        Ok(Self {
            pin,
            ca,
            placeholder,
            enrolment,
            bundle: webhook.bundle(),
            webhook_ca: webhook.authority,
            injector_tls: webhook.certificate,
            notes,
        })
    }
}

fn authority(
    cluster: &Cluster,
    rotate: Option<Rotate>,
    now: Timestamp,
    notes: &mut Vec<String>,
) -> anyhow::Result<(Data, KeyPin)> {
    let mut before = text(cluster, CA, BEFORE)?.map(str::to_owned);
    let mut ca = match (text(cluster, CA, "ca.key")?, text(cluster, CA, "ca.crt")?) {
        (Some(key), Some(certificate)) => Ca::from_pem(key, certificate, "sallyport")
            .with_context(|| format!("the Secret {NAMESPACE}/{CA} can't be used"))?,
        (None, None) => {
            notes.push("The control plane's authority is made: its key is what sidecars and agents pin.".to_owned());
            Ca::generate("sallyport", now)?
        }
        (Some(_), None) | (None, Some(_)) => {
            anyhow::bail!("the Secret {NAMESPACE}/{CA} has only one of ca.key and ca.crt: put the other back")
        }
    };
    if rotate == Some(Rotate::ControlPlaneCa) {
        if before.take().is_some() {
            notes.push("Step 2 of 2: the control plane's authority before is no longer trusted.".to_owned());
        } else {
            ca = ca.successor(now)?;
            before = ca.before_pem();
            notes.push(
                "Step 1 of 2: the control plane's authority is new, and the one before is still trusted. Repeat when the Pods \
                 from before have ended: their sidecars pin that one."
                    .to_owned(),
            );
        }
    }
    let key = ca.key_pem();
    let all = [("ca.crt", ca.pem()), ("ca.key", key.expose())];
    Ok((data(all.into_iter().chain(before.as_deref().map(|before| (BEFORE, before)))), ca.pin()))
}

fn placeholder(cluster: &Cluster, rotate: Option<Rotate>, notes: &mut Vec<String>) -> Data {
    let found = |key: &str| cluster.secret(PLACEHOLDER, key).cloned();
    let fresh = || Secret::new(STANDARD.encode(shared_net::crypto::random::<32>()).into_bytes());
    let mut data = Data::new();
    let (current, previous) = match (found("current"), rotate) {
        (Some(current), Some(Rotate::Placeholder)) => {
            notes
                .push("The key of placeholders is new; placeholders under the one before are still understood.".into());
            (fresh(), Some(current))
        }
        (Some(current), _) => (current, found("previous")),
        (None, _) => (fresh(), None),
    };
    data.insert("current".to_owned(), current);
    data.extend(previous.map(|previous| ("previous".to_owned(), previous)));
    data
}

/// A one-time token, beside what it is to pin: this cluster's issuer and its keys, as its administrator's kubectl reads them. The agents show
/// both, for they have no right to read them, and are not asked what their cluster is.
fn enrolment(cluster: &Cluster, settings: &Settings) -> anyhow::Result<Data> {
    let Some(token) = &settings.token else { return kept(cluster, settings) };
    if cluster.keys.len() > limits::ENROLMENT_KEYS_BYTES {
        anyhow::bail!(
            "the cluster publishes {} bytes of issuer keys, and an enrolment takes {}: put an entry into the control plane's configuration",
            cluster.keys.len(),
            limits::ENROLMENT_KEYS_BYTES
        );
    }
    Ok(data([("token", token.text().expose().as_str()), ("issuer", &cluster.issuer), ("keys.json", &cluster.keys)]))
}

/// What was installed before. It is of use until the cluster is enrolled, and under the pin that is installed now: the control plane's
/// authority may have changed since.
fn kept(cluster: &Cluster, settings: &Settings) -> anyhow::Result<Data> {
    let ControlPlane::Outside { pin, .. } = settings.control_plane else { return Ok(Data::new()) };
    let Some(known) = text(cluster, ENROLMENT, "token")? else { return Ok(Data::new()) };
    let mut data = cluster.secrets.get(ENROLMENT).cloned().unwrap_or_default();
    if let Ok(token) = known.parse::<EnrolmentToken>() {
        let token = token.pinning(pin).text();
        data.insert("token".to_owned(), Secret::new(token.expose().clone().into_bytes()));
    }
    Ok(data)
}

/// The injector's certificate and its authority.
struct Webhook {
    authority: Data,
    certificate: Data,
}

impl Webhook {
    fn of(cluster: &Cluster, rotate: Option<Rotate>, now: Timestamp, notes: &mut Vec<String>) -> anyhow::Result<Self> {
        let mut this = Self {
            authority: cluster.secrets.get(WEBHOOK_CA).cloned().unwrap_or_default(),
            certificate: cluster.secrets.get(INJECTOR_TLS).cloned().unwrap_or_default(),
        };
        let mut renew = rotate == Some(Rotate::WebhookCertificate);
        if this.authority.is_empty() {
            this.put_authority("ca", &Ca::generate("sallyport injector", now)?);
            renew = true;
        } else if rotate == Some(Rotate::WebhookCa) {
            renew |= this.step(now, notes)?;
        }
        let expires = this.authority.get("expires").and_then(|text| std::str::from_utf8(text.expose()).ok());
        let left = expires.and_then(|text| text.parse::<u64>().ok()).map_or(0, |end| end.saturating_sub(now.0));
        let due = u128::from(left) < CERTIFICATE_LIFE.as_millis() / 3;
        if renew || due || this.certificate.is_empty() {
            this.issue(now)?;
            notes.push(
                "The injector's certificate is new, for a year. Run `sallyport upgrade` within eight months.".into(),
            );
        }
        Ok(this)
    }

    /// One step of a change of authority. Between two steps everything that is in use is trusted.
    fn step(&mut self, now: Timestamp, notes: &mut Vec<String>) -> anyhow::Result<bool> {
        if let (Some(certificate), Some(key)) = (self.authority.remove("next.crt"), self.authority.remove("next.key")) {
            let old = self.authority.insert("ca.crt".to_owned(), certificate);
            self.authority.insert("ca.key".to_owned(), key);
            self.authority.extend(old.map(|old| ("previous.crt".to_owned(), old)));
            notes.push(
                "Step 2 of 3: the injector's certificate is of the new authority; both are trusted. Repeat when both \
                 injectors have it, in two minutes."
                    .into(),
            );
            return Ok(true);
        }
        if self.authority.remove("previous.crt").is_some() {
            notes.push("Step 3 of 3: the authority before is no longer trusted.".into());
            return Ok(false);
        }
        self.put_authority("next", &Ca::generate("sallyport injector", now)?);
        notes.push("Step 1 of 3: the new authority is trusted beside the present one. Repeat in a minute.".into());
        Ok(false)
    }

    fn put_authority(&mut self, name: &str, ca: &Ca) {
        let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
        self.authority.extend(data([(crt.as_str(), ca.pem()), (key.as_str(), ca.key_pem().expose())]));
    }

    fn issue(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let text = |key: &str| {
            let bytes = self.authority.get(key).map(|value| value.expose().as_slice()).unwrap_or_default();
            std::str::from_utf8(bytes).with_context(|| format!("{NAMESPACE}/{WEBHOOK_CA}: {key} is no text"))
        };
        let ca = Ca::from_pem(text("ca.key")?, text("ca.crt")?, "sallyport injector")
            .with_context(|| format!("the Secret {NAMESPACE}/{WEBHOOK_CA} can't be used"))?;
        let names = ["sallyport-injector.sallyport.svc", "sallyport-injector.sallyport.svc.cluster.local"];
        let identity = ca.issue_server(&names, &[], now, CERTIFICATE_LIFE)?;
        self.certificate =
            data([("tls.crt", identity.chain_pem().as_str()), ("tls.key", identity.key_pem().expose().as_str())]);
        let expires = now.after(CERTIFICATE_LIFE).0.to_string();
        self.authority.insert("expires".to_owned(), Secret::new(expires.into_bytes()));
        Ok(())
    }

    fn bundle(&self) -> String {
        let certificates = ["ca.crt", "next.crt", "previous.crt"].into_iter().filter_map(|key| self.authority.get(key));
        certificates.map(|text| String::from_utf8_lossy(text.expose()).into_owned()).collect()
    }
}

fn text<'a>(cluster: &'a Cluster, name: &str, key: &str) -> anyhow::Result<Option<&'a str>> {
    let value = cluster.secret(name, key).map(|value| std::str::from_utf8(value.expose()));
    value.transpose().with_context(|| format!("{NAMESPACE}/{name}: {key} is no text"))
}

fn data<'a>(entries: impl IntoIterator<Item = (&'a str, impl AsRef<str>)>) -> Data {
    let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
    entries.into_iter().map(|(key, text)| (key.to_owned(), secret(text.as_ref()))).collect()
}
