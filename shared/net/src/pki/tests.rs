use std::os::unix::fs::PermissionsExt as _;

use super::*;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

#[test]
fn pins_print_and_parse() {
    let pin = Ca::generate("test", NOW).unwrap().pin();
    assert_eq!(pin.to_string().parse(), Ok(pin));
    for wrong in [
        "",
        "pin-sha256:",
        "pin-sha256:AAAA",
        pin.to_string().trim_start_matches("pin-sha256:"),
        &pin.to_string().to_uppercase(),
        &format!("{pin}="),
        &format!(" {pin}"),
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ] {
        assert_eq!(wrong.parse::<KeyPin>(), Err(NotAPin), "{wrong}");
    }
}

#[test]
fn an_authority_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pki");
    let first = Ca::load_or_create(&path, "control plane", NOW).unwrap();
    let second = Ca::load_or_create(&path, "control plane", NOW).unwrap();
    assert_eq!((first.pin(), first.pem()), (second.pin(), second.pem()));
    let mode = std::fs::metadata(path.join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn half_an_authority_is_refused_and_not_replaced() {
    for lost in ["ca.key", "ca.crt"] {
        let folder = tempfile::tempdir().unwrap();
        Ca::load_or_create(folder.path(), "test", NOW).unwrap();
        std::fs::remove_file(folder.path().join(lost)).unwrap();
        assert!(matches!(Ca::load_or_create(folder.path(), "test", NOW), Err(PkiError::File { .. })));
        assert!(!folder.path().join(lost).exists());
    }
}

#[test]
fn a_foreign_certificate_beside_the_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Ca::load_or_create(folder.path(), "test", NOW).unwrap();
    let other = Ca::generate("test", NOW).unwrap();
    std::fs::write(folder.path().join("ca.crt"), other.pem()).unwrap();
    assert!(matches!(Ca::load_or_create(folder.path(), "test", NOW), Err(PkiError::Content { .. })));
    std::fs::write(folder.path().join("ca.crt"), "nothing").unwrap();
    assert!(matches!(Ca::load_or_create(folder.path(), "test", NOW), Err(PkiError::Content { .. })));
}
