//! What an approver signs: the statement of a signed approval.
//!
//! Invariant: one approval has one byte string. Fields stand in the order below, in JSON without spaces, absent values as `null`
//! or the empty string, so that the CLI, the page, the control plane and the agent all sign and verify the same bytes. A change
//! of that order or of any name is a new [`Statement::TYPE`]. Keys, verification and passkeys are not part of this file.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use shared::ids::HoldId;
use shared::limits;

use crate::decision::Group;
use crate::digest::Digest;
use crate::identity::Asker;
use crate::request_info::RequestInfo;
use crate::version_pin::VersionPin;

/// The right that an approver gives, in full. The order of the fields is the order in the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// [`Statement::TYPE`]: no signature for this purpose can be one for another.
    #[serde(rename = "type")]
    kind: String,
    /// uid of the `kube-system` namespace of the cluster: a name could be given twice.
    pub cluster_uid: String,
    /// The hold.
    pub hold: HoldId,
    /// What is to be done, as a keyed digest of the canonical request.
    pub intent: Digest,
    /// What is to be done, as the API server reads it.
    pub request: RequestInfo,
    /// The state of the object that the approver saw.
    pub pin: VersionPin,
    /// Who asks.
    pub asker: Asker,
    /// The group that the agent will impersonate.
    pub group: Group,
    /// Seconds since the Unix epoch after which the agent refuses it.
    pub exp: u64,
}

/// The fields of a [`Statement`], by name.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of Statement, described there")]
pub struct Terms {
    pub cluster_uid: String,
    pub hold: HoldId,
    pub intent: Digest,
    pub request: RequestInfo,
    pub pin: VersionPin,
    pub asker: Asker,
    pub exp: u64,
}

/// The text is not a statement that we made.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not JSON of this shape.
    #[error("not an approval statement")]
    Shape(#[source] serde_json::Error),
    /// Of another type, or another version of it.
    #[error("a statement of type {0:?}, not {expected:?}", expected = Statement::TYPE)]
    Type(String),
    /// Another spelling of the same values: only the one with our order and spacing was signed.
    #[error("not in the fixed order")]
    Spelling,
}

impl Statement {
    /// The type and version that every statement names first.
    pub const TYPE: &str = "sallyport.approval.v1";

    /// A statement for `sallyport:approved`, the only group that approvals are for.
    pub fn new(terms: Terms) -> Self {
        let Terms { cluster_uid, hold, intent, request, pin, asker, exp } = terms;
        Self {
            kind: Self::TYPE.to_owned(),
            cluster_uid,
            hold,
            intent,
            request,
            pin,
            asker,
            group: Group::Approved,
            exp,
        }
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// None that can occur: every field has a JSON form.
    pub fn bytes(&self) -> Result<Vec<u8>, StatementError> {
        serde_json::to_vec(self).map_err(StatementError::Shape)
    }

    /// The challenge of a passkey assertion: SHA-256 of the bytes.
    ///
    /// # Errors
    /// As [`Statement::bytes`].
    pub fn challenge(&self) -> Result<[u8; 32], StatementError> {
        let mut challenge = [0; 32];
        challenge.copy_from_slice(digest::digest(&digest::SHA256, &self.bytes()?).as_ref());
        Ok(challenge)
    }

    /// Reads signed bytes back, and refuses any other spelling of the same values.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let statement: Self = serde_json::from_slice(bytes).map_err(StatementError::Shape)?;
        if statement.kind != Self::TYPE {
            return Err(StatementError::Type(statement.kind));
        }
        if statement.bytes()? != bytes {
            return Err(StatementError::Spelling);
        }
        Ok(statement)
    }
}

/// A signature over [`Statement::bytes`], as it is kept with a vote and carried in a grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// How it was made.
    pub algorithm: Algorithm,
    /// Which of the subject's public keys in `approvers.yaml`.
    pub key_id: String,
    /// The signature, base64url without padding.
    pub signature: String,
    /// Authenticator data and client data of a passkey, base64url without padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<PasskeyData>,
}

impl Signature {
    /// Whether all of its texts together are no longer than [`limits::SIGNATURE_BYTES`].
    pub fn fits(&self) -> bool {
        let passkey = self.passkey.as_ref().map_or(0, |data| data.authenticator_data.len() + data.client_data.len());
        self.key_id.len() + self.signature.len() + passkey <= limits::SIGNATURE_BYTES
    }
}

/// A signature with whose it says to be, as a grant carries it. Nobody has verified it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedVote {
    /// `iss` of the approver.
    pub issuer: String,
    /// `sub` of the approver.
    pub subject: String,
    /// The signature.
    pub signature: Signature,
}

/// One algorithm per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// By the CLI, RFC 8032.
    Ed25519,
    /// By the CLI, RFC 7518 §3.4.
    #[serde(rename = "ES256")]
    Es256,
    /// By a passkey, ES256 over authenticator data and the hash of the client data (WebAuthn level 2 §6.3.3).
    #[serde(rename = "passkey-ES256")]
    PasskeyEs256,
}

/// What a passkey signs beside the challenge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasskeyData {
    /// `authenticatorData`, base64url without padding.
    pub authenticator_data: String,
    /// `clientDataJSON`, base64url without padding.
    pub client_data: String,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::digest::DigestKey;
    use crate::request_info::Verb;

    fn statement() -> Statement {
        Statement::new(Terms {
            cluster_uid: "c0ffee".to_owned(),
            hold: HoldId::new(Uuid::from_u128(7)),
            intent: DigestKey::new([1; 32]).digest(&[b"intent"]),
            request: RequestInfo {
                is_resource_request: true,
                non_resource_path: String::new(),
                verb: Verb::Create,
                api_group: String::new(),
                api_version: "v1".to_owned(),
                namespace: "shop".to_owned(),
                resource: "serviceaccounts".to_owned(),
                subresource: String::new(),
                name: String::new(),
                proxy_path: String::new(),
            },
            pin: VersionPin::Absent,
            asker: Asker {
                cluster: "prod".to_owned(),
                namespace: "ci".to_owned(),
                service_account: "runner".to_owned(),
                ci_issuer: None,
                ci_subject: None,
                person: Some("4711".to_owned()),
            },
            exp: 1_800_000_000,
        })
    }

    /// Signatures made by one version must verify in every later one.
    #[test]
    fn bytes_are_stable() {
        let text = String::from_utf8(statement().bytes().unwrap()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"type":"sallyport.approval.v1","clusterUid":"c0ffee","hold":"00000000-0000-0000-0000-000000000007","#,
                r#""intent":"RzEMHoilp0-W5we2tcTNv1Ri0hD_Xyl7Dddt7_ov3dk","#,
                r#""request":{"isResourceRequest":true,"nonResourcePath":"","verb":"create","apiGroup":"","apiVersion":"v1","#,
                r#""namespace":"shop","resource":"serviceaccounts","subresource":"","name":"","proxyPath":""},"#,
                r#""pin":{"state":"absent"},"#,
                r#""asker":{"cluster":"prod","namespace":"ci","serviceAccount":"runner","ciIssuer":null,"ciSubject":null,"person":"4711"},"#,
                r#""group":"sallyport:approved","exp":1800000000}"#,
            )
        );
    }

    #[test]
    fn only_the_signed_spelling_parses() {
        let bytes = statement().bytes().unwrap();
        assert_eq!(Statement::parse(&bytes).unwrap(), statement());
        let text = String::from_utf8(bytes).unwrap();
        let spaced = text.replacen(':', ": ", 1);
        assert!(matches!(Statement::parse(spaced.as_bytes()), Err(StatementError::Spelling)));
        let reordered =
            text.replace(r#","exp":1800000000"#, "").replacen(r#""clusterUid""#, r#""exp":1800000000,"clusterUid""#, 1);
        assert!(matches!(Statement::parse(reordered.as_bytes()), Err(StatementError::Spelling)));
        let extra = text.replacen(r#""clusterUid""#, r#""more":1,"clusterUid""#, 1);
        assert!(matches!(Statement::parse(extra.as_bytes()), Err(StatementError::Shape(_))));
        let other = text.replacen("approval.v1", "approval.v2", 1);
        assert!(matches!(Statement::parse(other.as_bytes()), Err(StatementError::Type(_))));
    }

    #[test]
    fn every_field_changes_the_challenge() {
        let base = statement();
        let mut seen = vec![base.challenge().unwrap()];
        let changes: [fn(&mut Statement); 8] = [
            |s| s.cluster_uid.push('x'),
            |s| s.hold = HoldId::new(Uuid::from_u128(8)),
            |s| s.intent = DigestKey::new([2; 32]).digest(&[b"intent"]),
            |s| s.request.name.push('x'),
            |s| s.pin = VersionPin::None,
            |s| s.asker.person = None,
            |s| s.group = Group::Write,
            |s| s.exp += 1,
        ];
        for change in changes {
            let mut other = base.clone();
            change(&mut other);
            let challenge = other.challenge().unwrap();
            assert!(!seen.contains(&challenge));
            seen.push(challenge);
        }
    }
}
