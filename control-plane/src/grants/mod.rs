//! The issue stage: the key that signs grants, and their record. A grant is on record before it is sent.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use control_plane_core::decision::Allowed;
use control_plane_core::digest::DigestKey;
use control_plane_core::grant::{self, ApprovalClaim, Grant, GrantError, Signer, Target, Terms};
use control_plane_core::hide;
use control_plane_core::lifecycle::{Issued, Life};
use control_plane_core::mask::values;
use control_plane_core::restore::Carried;
use control_plane_core::version_pin::VersionPin;
use shared::ids::GrantId;
use shared::limits;
use uuid::Uuid;

use crate::agents::AgentLink;
use crate::policies::Policies;

/// Signs grants.
pub struct Grants {
    signer: Signer,
    /// Of the database, raised at each start.
    life: Life,
    /// What is masked beside Secrets.
    policies: Arc<Policies>,
}

/// A grant with what is to be sent under it. `forward` takes it by value.
pub struct Outgoing {
    /// The grant, with its request.
    pub grant: Grant,
    /// Key of the request digest; travels beside the grant and is stored nowhere.
    pub key: DigestKey,
}

impl Grants {
    /// Reads the signing key `grant.key` (Ed25519, PKCS#8) of the data folder, or makes it.
    pub fn load_or_create(folder: &Path, life: Life, policies: Arc<Policies>) -> std::io::Result<Self> {
        let path = folder.join("grant.key");
        let der = match std::fs::read(&path) {
            Ok(der) => der,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let invalid = |_| std::io::Error::other("no Ed25519 key could be made");
                let der = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
                let der = der.map_err(invalid)?.as_ref().to_vec();
                let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                file.write_all(&der)?;
                file.sync_all()?;
                der
            }
            Err(error) => return Err(error),
        };
        let signer = Signer::from_pkcs8(&der)
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string()))?;
        Ok(Self { signer, life, policies })
    }

    /// The key that agents check grants with.
    pub fn public_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }

    /// Spends an [`Allowed`] into a grant for one connection. `issued` is the proof that it is on record; only plain reads go without.
    pub fn issue(&self, allowed: Allowed, issued: Option<Issued>, link: &AgentLink) -> Result<Outgoing, GrantError> {
        self.issue_with(allowed, issued, link, Vec::new())
    }

    /// The same for an internal operation that has the agent read further objects.
    pub(crate) fn issue_with(
        &self,
        allowed: Allowed,
        issued: Option<Issued>,
        link: &AgentLink,
        more: Vec<Target>,
    ) -> Result<Outgoing, GrantError> {
        let attributes = allowed.attributes();
        if !attributes.info().is_read() && !issued.as_ref().is_some_and(|issued| issued.is_for(&allowed)) {
            return Err(GrantError::Unapproved);
        }
        let key = DigestKey::new(shared_net::crypto::random());
        let approval = allowed.approval().map(|mine| ApprovalClaim {
            approval: mine.approval,
            hold: mine.hold,
            intent: mine.intent,
            pin: mine.pin.clone(),
            expires: mine.expires,
            signatures: mine.signatures.clone(),
        });
        // The agent reads the live object once more, just before it sends: to compare it with what people saw, and to put its values where
        // the request has their placeholders.
        let pinned = approval.as_ref().is_some_and(|approval| approval.pin != VersionPin::None);
        // What can't be put back whatever is read the agent refuses.
        let carried = Carried::of(attributes.request()).ok();
        let carried = carried.as_ref();
        let live = if pinned { attributes.info().live_object() } else { carried.and_then(Carried::needed).cloned() };
        // The text of a pod is searched for the values of the Secrets that the pod uses; the agent learns them from the pod.
        let pod = values::pod_of(attributes.info());
        // Whether policy hides the object that the request is about, where the answer would not show it.
        let hidden =
            hide::asked_live(attributes.info(), attributes.request().wire()).filter(|_| !allowed.hide().is_empty());
        let beside = carried.and_then(Carried::beside).map(Target::all_beside);
        let mut reads: Vec<Target> =
            live.iter().chain(&hidden).chain(&pod).map(Target::of).chain(beside).chain(more).collect();
        reads.dedup();
        let terms = Terms {
            jti: issued.map_or_else(|| GrantId::new(Uuid::now_v7()), |issued| issued.issue().jti),
            epoch: link.epoch,
            life: self.life,
            ttl: limits::GRANT_TTL,
            until: limits::STREAM_LIFE,
            digest_key: &key,
            mask: [allowed.mask(), &self.policies.current().masked_fields(attributes.info())].concat(),
            reads,
            approval,
        };
        let grant = grant::issue(allowed, terms, &self.signer, Some(&link.read_key))?;
        Ok(Outgoing { grant, key })
    }
}
