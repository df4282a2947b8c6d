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

#[test]
fn an_authority_is_followed_by_another_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(Ca::rotate(folder.path(), "test", NOW).is_err(), "there is none");
    let first = Ca::load_or_create(folder.path(), "test", NOW).unwrap();
    assert!(!Ca::finish(folder.path(), "test").unwrap());
    let second = Ca::rotate(folder.path(), "test", NOW).unwrap();
    let read = Ca::load_or_create(folder.path(), "test", NOW).unwrap();
    assert!(second.pin() != first.pin() && read.pin() == second.pin() && read.before_pem() == second.before_pem());
    assert!(read.before_pem().unwrap().contains(first.pem().trim()));
    assert_eq!(std::fs::metadata(at("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Ca::rotate(folder.path(), "test", NOW), Err(PkiError::Unfinished)));
    assert!(Ca::finish(folder.path(), "test").unwrap());
    assert_eq!(Ca::load(folder.path(), "test").unwrap().before_pem(), None);
    // What leads to another key is no way to this one.
    std::fs::write(at("ca-before.crt"), first.successor(NOW).unwrap().before_pem().unwrap()).unwrap();
    assert!(Ca::load(folder.path(), "test").is_err());
}

/// Wherever it was broken off, nothing is used half, and the next call completes it.
#[test]
fn a_change_of_authority_that_was_broken_off_is_completed() {
    for moved in 0..=3 {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let next = Ca::load_or_create(folder.path(), "test", NOW).unwrap().successor(NOW).unwrap();
        std::fs::create_dir(at("ca-next")).unwrap();
        let files = [
            ("ca-before.crt", next.before_pem().unwrap()),
            ("ca.crt", next.pem().to_owned()),
            ("ca.key", next.key_pem().expose().clone()),
        ];
        for (number, (name, text)) in files.iter().enumerate() {
            let place = if number < moved { at(name) } else { at("ca-next").join(name) };
            std::fs::write(place, text).unwrap();
        }
        assert!(matches!(Ca::load_or_create(folder.path(), "test", NOW), Err(PkiError::Interrupted { .. })), "{moved}");
        let completed = Ca::rotate(folder.path(), "test", NOW).unwrap();
        assert!(completed.pin() == next.pin() && completed.before_pem() == next.before_pem(), "{moved}");
        assert!(!at("ca-next").exists());
    }
}
