//! What makes our cluster known at a control plane outside it: the folder that `sallyport install --enrol` mounts, with a one-time token, the
//! issuer of the cluster's tokens and its keys as the administrator's kubectl read them.
//!
//! It is shown in every greeting, for as long as it is mounted: the control plane takes it once, and an answer that was lost is asked for
//! again. It is shown to nobody but the holder of the key that the token names, since that key is pinned.

use std::path::Path;

use serde::Serialize;
use shared::limits;
use shared::secret::Secret;
use shared_net::enrolment::EnrolmentToken;
use shared_net::pki::KeyPin;

/// The folder's content.
#[derive(Debug)]
pub struct Enrolment {
    secret: Secret<String>,
    issuer: String,
    keys: String,
}

/// The same, as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Offer<'a> {
    secret: &'a str,
    issuer: &'a str,
    keys: &'a str,
}

impl Enrolment {
    /// Reads a folder. Its token must be for this cluster's name and this control plane's key.
    pub(crate) fn read(folder: &Path, cluster: &str, pin: KeyPin) -> Result<Self, String> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let token: EnrolmentToken = text("token")?.trim().parse().map_err(|error| format!("token: {error}"))?;
        if token.name() != cluster {
            return Err(format!("the token enrols {:?}, and this cluster is called {cluster:?}", token.name()));
        }
        if token.pin() != pin {
            return Err(format!("the token is of the control plane {}, and {pin} is pinned", token.pin()));
        }
        let (issuer, keys) = (text("issuer")?.trim().to_owned(), text("keys.json")?);
        if keys.len() > limits::ENROLMENT_KEYS_BYTES {
            return Err(format!("keys.json has {} bytes; {} are taken", keys.len(), limits::ENROLMENT_KEYS_BYTES));
        }
        Ok(Self { secret: token.secret(), issuer, keys })
    }

    pub(crate) fn offer(&self) -> Offer<'_> {
        Offer { secret: self.secret.expose(), issuer: &self.issuer, keys: &self.keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_name_and_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let (pin, other) = (KeyPin::of_spki(b"ours"), KeyPin::of_spki(b"another's"));
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let read = |cluster: &str, pin| Enrolment::read(folder.path(), cluster, pin);
        let token = EnrolmentToken::new("production", pin);
        assert!(read("production", pin).unwrap_err().contains("token"));
        write("token", token.text().expose());
        assert!(read("production", pin).unwrap_err().contains("issuer"));
        write("issuer", "https://issuer\n");
        assert!(read("production", pin).unwrap_err().contains("keys.json"));
        write("keys.json", "{}");
        let enrolment = read("production", pin).unwrap();
        let shown = serde_json::to_value(enrolment.offer()).unwrap();
        let expected = serde_json::json!({"secret": token.secret().expose(), "issuer": "https://issuer", "keys": "{}"});
        assert_eq!(shown, expected);
        assert!(!format!("{enrolment:?}").contains(token.secret().expose().as_str()));
        assert!(read("staging", pin).unwrap_err().contains("enrols \"production\""));
        assert!(read("production", other).unwrap_err().contains("of the control plane"));
        write("keys.json", &"x".repeat(limits::ENROLMENT_KEYS_BYTES + 1));
        assert!(read("production", pin).unwrap_err().contains("bytes"));
        write("token", "hunter2");
        assert!(!read("production", pin).unwrap_err().contains("hunter2"));
    }
}
