//! The issue stage: the key that signs grants, and their record. A grant is on record before it is sent.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use control_plane_core::decision::Allowed;
use control_plane_core::digest::DigestKey;
use control_plane_core::grant::{self, ApprovalClaim, Grant, GrantError, Signer, Target, Terms};
use control_plane_core::lifecycle::Life;
use control_plane_core::request::WireRequest;
use shared::ids::{GrantId, OperationId, SessionId};
use shared::limits;
use shared_net::clock::Clock;
use uuid::Uuid;

use crate::agents::AgentLink;
use crate::store::{GrantRow, Store};

/// Signs grants.
pub struct Grants {
    signer: Signer,
    store: Store,
    clock: Clock,
}

/// A grant with what is to be sent under it. `forward` takes it by value.
pub struct Issued {
    /// The grant.
    pub grant: Grant,
    /// The request.
    pub wire: WireRequest,
    /// Key of the request digest; travels beside the grant and is stored nowhere.
    pub key: DigestKey,
    /// What the store keeps of the grant.
    pub row: GrantRow,
}

/// What people approved, and may be read for it.
#[derive(Default)]
pub struct Approved {
    /// The spent approval.
    pub approval: Option<ApprovalClaim>,
    /// Objects that the agent may read inside the operation.
    pub reads: Vec<Target>,
}

impl Grants {
    /// Reads the signing key `grant.key` (Ed25519, PKCS#8) of the data folder, or makes it.
    pub fn load_or_create(folder: &Path, store: Store, clock: Clock) -> std::io::Result<Self> {
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
        let signer = Signer::from_pkcs8(&der).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string()))?;
        Ok(Self { signer, store, clock })
    }

    /// The key that agents check grants with.
    pub fn public_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }

    /// Spends an [`Allowed`] into a grant for one connection. Nothing is recorded or sent yet.
    pub fn issue(&self, allowed: Allowed, link: &AgentLink, approved: Approved) -> Result<Issued, GrantError> {
        let attributes = allowed.attributes();
        let (session, operation): (SessionId, OperationId) = (attributes.session(), attributes.operation());
        let wire = attributes.request().wire().clone();
        let key = DigestKey::new(shared_net::crypto::random());
        let approval = approved.approval.as_ref().map(|approval| approval.approval);
        // A watch or log may last as long as the server lets it; everything else is over when its answer is.
        let terms = Terms {
            jti: GrantId::new(Uuid::new_v4()),
            operation,
            session,
            cluster: link.cluster.clone(),
            epoch: link.epoch,
            life: Life(self.store.life()),
            ttl: limits::GRANT_TTL,
            until: limits::STREAM_LIFE,
            digest: wire.digest(&key),
            mask: Vec::new(),
            reads: approved.reads,
            approval: approved.approval,
        };
        let grant = grant::issue(allowed, terms, &self.signer, Some(&link.read_key))?;
        let row = GrantRow {
            jti: grant.claims().jti,
            session,
            operation,
            cluster: link.cluster.clone(),
            agent: link.id,
            epoch: link.epoch.to_string(),
            approval,
            claims: serde_json::to_string(grant.claims()).map_err(|_| GrantError::Serialise)?,
            issued: self.clock.now(),
            outcome: None,
        };
        Ok(Issued { grant, wire, key, row })
    }
}
