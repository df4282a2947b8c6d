//! The files that clients read: the folder that stands in for a pod's service account mount, and optionally a kubeconfig.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shared_net::crypto;

/// The authority's certificate in the folder.
pub(crate) const CA_FILE: &str = "ca.crt";
/// What clients show.
pub(crate) const TOKEN_FILE: &str = "token";

/// What the files say.
pub(crate) struct Served<'a> {
    pub(crate) token: &'a str,
    pub(crate) ca_pem: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) address: SocketAddr,
    /// The folder is shared with the pod's other containers, which often run as other users; else only our own user may read it.
    pub(crate) in_pod: bool,
}

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write {path}")]
pub(crate) struct WriteError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes `ca.crt` and `namespace`. A token of an earlier life, which nobody takes any more, goes: clients look for that file.
pub(crate) fn write_folder(folder: &Path, served: &Served<'_>) -> Result<(), WriteError> {
    let mode = if served.in_pod { 0o644 } else { 0o600 };
    std::fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.to_owned(), source })?;
    write(&folder.join(CA_FILE), served.ca_pem.as_bytes(), mode)?;
    write(&folder.join("namespace"), served.namespace.as_bytes(), mode)?;
    let path = folder.join(TOKEN_FILE);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(WriteError { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `token`, the last of the files.
pub(crate) fn write_token(folder: &Path, token: &str, in_pod: bool) -> Result<(), WriteError> {
    // Without a newline: the python and javascript clients send the file's bytes as they are.
    write(&folder.join(TOKEN_FILE), token.as_bytes(), if in_pod { 0o644 } else { 0o600 })
}

/// Writes a kubeconfig that needs no other file. JSON is YAML.
pub(crate) fn write_kubeconfig(path: &Path, served: &Served<'_>) -> Result<(), WriteError> {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sallyport", "cluster": {
            "server": format!("https://{}", served.address),
            "certificate-authority-data": STANDARD.encode(served.ca_pem),
        }}],
        "users": [{"name": "sallyport", "user": {"token": served.token}}],
        "contexts": [{"name": "sallyport", "context": {
            "cluster": "sallyport", "user": "sallyport", "namespace": served.namespace,
        }}],
        "current-context": "sallyport",
    });
    write(path, format!("{config:#}\n").as_bytes(), 0o600)
}

/// All or nothing, and never readable by more than `mode` says: a new file is filled and then put in the old one's place.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), WriteError> {
    let suffix = URL_SAFE_NO_PAD.encode(crypto::random::<9>());
    let fresh = path.with_extension(format!("{suffix}.tmp"));
    let result = (|| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        // Not in `open`, where the umask would take bits away.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&fresh, path)
    })();
    result.map_err(|source| {
        // It may not exist; the first error is the one to tell.
        drop(std::fs::remove_file(&fresh));
        WriteError { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(in_pod: bool) -> Served<'static> {
        Served { token: "t0ken", ca_pem: "PEM", namespace: "ci", address: "127.0.0.1:6443".parse().unwrap(), in_pod }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_as_clients_expect_them() {
        for (in_pod, expected) in [(true, 0o644), (false, 0o600)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("serve");
            for _ in 0..2 {
                write_folder(&path, &served(in_pod)).unwrap();
                assert!(!path.join("token").exists(), "of an earlier life");
                write_token(&path, "t0ken", in_pod).unwrap();
            }
            assert_eq!(std::fs::read(path.join("token")).unwrap(), b"t0ken");
            assert_eq!(mode(&path.join("token")), expected);
            assert_eq!(std::fs::read_dir(&path).unwrap().count(), 3);
        }
    }

    #[test]
    fn the_kubeconfig_is_private_and_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_kubeconfig(&path, &served(true)).unwrap();
        assert_eq!(mode(&path), 0o600);
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(value["users"][0]["user"]["token"], "t0ken");
        assert_eq!(value["contexts"][0]["context"]["namespace"], "ci");
    }
}
