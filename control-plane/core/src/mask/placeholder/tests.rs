use proptest::prelude::*;

use super::*;
use crate::tests as corpus;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m6_whatever_is_made_of_one_is_known(data in prop::collection::vec(any::<u8>(), 0..16)) {
        fuzz(&data);
    }

    #[test]
    fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in corpus::changes()) {
        fuzz(&corpus::changed("placeholder", &choice, &changes));
    }
}

/// The MAC by its definition, with another library's SHA-256.
fn defined(key: &[u8; 32], field: &Field<'_>) -> String {
    let mut text = [key.as_slice(), &[0; 32]].concat();
    let parts = [field.name, field.section.as_bytes(), field.key];
    for mut number in std::iter::once(field.ordinal).chain(parts.iter().map(|part| part.len() as u64)) {
        while number > 0x7f {
            text.push(number as u8 | 0x80);
            number >>= 7;
        }
        text.push(number as u8);
    }
    text.extend_from_slice(&parts.concat());
    let mac = digest::digest(&digest::SHA256, &text);
    let mac = URL_SAFE_NO_PAD.encode(mac.as_ref().first_chunk::<MAC_BYTES>().unwrap());
    STANDARD.encode(format!("{SENTENCE}{mac}"))
}

#[test]
fn m5_a_mac_is_sha_256_whatever_the_names_are_long() {
    let key = std::array::from_fn(|at| at as u8);
    let scope = ScopeKey::new(&key);
    let names = vec![b'n'; 300];
    for length in 0..names.len() {
        for ordinal in [0, 1, 127, 128, u64::MAX] {
            let field =
                Field { name: &names[..length / 2], ordinal, section: "data", key: &names[..length - length / 2] };
            let mut out = Vec::new();
            scope.write(&field, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), defined(&key, &field), "{length} {ordinal}");
        }
    }
}
