//! Names of members that mean something, and how one is told from all others.

/// Members whose names mean something. Everything else is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Other,
    Kind,
    ApiVersion,
    Data,
    StringData,
    Metadata,
    Items,
    Rows,
    Object,
    Annotations,
    ManagedFields,
    FieldsV1,
    FieldsOfData,
    Name,
    Namespace,
    Details,
    Causes,
    Message,
    Reason,
    Field,
    Status,
    Spec,
    Token,
    /// By which the spec of a pod says that it takes one: a map that names it, or all that are called so and end in `secretRef`.
    Secret,
    /// The same, as a text.
    SecretName,
    /// How a container of a pod has ended.
    Terminated,
    /// What it waits for.
    Waiting,
    /// What an Event says, in the group `events.k8s.io`.
    Note,
    /// What a table shows of an object.
    Cells,
}

impl Key {
    /// Its place in a set of them.
    #[inline]
    pub(super) const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The decoded name. `data` is matched without regard to case: the API server is exact, but masking too much costs nothing here.
    #[inline(always)]
    pub(super) fn of(name: &[u8]) -> Self {
        let place = name.first_chunk().and_then(|&two| PLACES.get(slot(two))?.get(name.len()));
        match place {
            Some(known) if known.key != Self::Other => known.is(name),
            _ => Self::of_reference(name),
        }
    }

    /// Volumes name Secrets each in its own way: `secretRef`, `nodePublishSecretRef`.
    #[inline]
    fn of_reference(name: &[u8]) -> Self {
        if matches!(name.last_chunk(), Some(b"secretRef" | b"SecretRef")) { Self::Secret } else { Self::Other }
    }
}

/// All names that mean something, but for those that are told by how they end: four to fifteen bytes.
pub(super) const NAMES: [(&str, Key); 30] = [
    ("kind", Key::Kind),
    ("apiVersion", Key::ApiVersion),
    ("data", Key::Data),
    ("stringData", Key::StringData),
    ("metadata", Key::Metadata),
    ("items", Key::Items),
    ("rows", Key::Rows),
    ("object", Key::Object),
    ("annotations", Key::Annotations),
    ("managedFields", Key::ManagedFields),
    ("fieldsV1", Key::FieldsV1),
    ("f:data", Key::FieldsOfData),
    ("f:stringData", Key::FieldsOfData),
    ("name", Key::Name),
    ("namespace", Key::Namespace),
    ("details", Key::Details),
    ("causes", Key::Causes),
    ("message", Key::Message),
    ("reason", Key::Reason),
    ("field", Key::Field),
    ("status", Key::Status),
    ("spec", Key::Spec),
    ("token", Key::Token),
    ("secret", Key::Secret),
    ("secretKeyRef", Key::Secret),
    ("secretName", Key::SecretName),
    ("terminated", Key::Terminated),
    ("waiting", Key::Waiting),
    ("note", Key::Note),
    ("cells", Key::Cells),
];

/// The name that one can be which begins with two such letters and is so long: there is at most one, which the compiler checks.
#[expect(clippy::indexing_slicing, reason = "only the compiler runs it, and it refuses a place that is not there")]
static PLACES: [[Name; 16]; 32] = {
    let mut places = [[Name::NONE; 16]; 32];
    let mut at = 0;
    while at < NAMES.len() {
        let (name, key) = NAMES[at];
        let place = &mut places[slot([name.as_bytes()[0], name.as_bytes()[1]])][name.len()];
        assert!(matches!(place.key, Key::Other), "two names begin alike and are as long");
        let caseless = matches!(key, Key::Data | Key::StringData);
        let case = if caseless { u64::from_be_bytes([b' '; 8]) } else { 0 };
        let (head, tail) = ends(name.as_bytes());
        *place = Name { head: head | case, tail: tail | case, case, key };
        at += 1;
    }
    places
};

/// The same for letters in either case.
const fn slot([first, second]: [u8; 2]) -> usize {
    (first.wrapping_add(second) & 31) as usize
}

/// A name as two numbers, since a call that compares bytes takes longer than everything else that is done with a name.
#[derive(Clone, Copy, Debug)]
struct Name {
    head: u64,
    tail: u64,
    /// The bits that tell a small letter from a capital one, where that says nothing.
    case: u64,
    key: Key,
}

impl Name {
    const NONE: Self = Self { head: 0, tail: 0, case: 0, key: Key::Other };

    /// Its key, if it is this one. They are equally long.
    #[inline]
    fn is(&self, name: &[u8]) -> Key {
        let (head, tail) = ends(name);
        if head | self.case == self.head && tail | self.case == self.tail { self.key } else { Key::Other }
    }
}

/// The first and the last bytes of a name, which together are all of it if it has four to sixteen.
#[inline]
const fn ends(name: &[u8]) -> (u64, u64) {
    match (name.first_chunk(), name.last_chunk()) {
        (Some(&first), Some(&last)) => (u64::from_be_bytes(first), u64::from_be_bytes(last)),
        _ => match (name.first_chunk(), name.last_chunk()) {
            (Some(&first), Some(&last)) => (u32::from_be_bytes(first) as u64, u32::from_be_bytes(last) as u64),
            _ => (0, 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_all_of_its_bytes() {
        for (name, key) in NAMES {
            assert_eq!(Key::of(name.as_bytes()), key, "{name}");
            let caseless = matches!(key, Key::Data | Key::StringData);
            for at in 0..name.len() {
                for byte in 0..=u8::MAX {
                    let mut other = name.as_bytes().to_vec();
                    let Some(place) = other.get_mut(at) else { continue };
                    *place = byte;
                    let same = other == name.as_bytes() || caseless && other.eq_ignore_ascii_case(name.as_bytes());
                    let known = NAMES.iter().any(|(name, _)| name.as_bytes() == other);
                    assert_eq!(Key::of(&other) == key, same, "{byte} at {at} of {name}");
                    assert_eq!(Key::of(&other) != Key::Other, same || known, "{byte} at {at} of {name}");
                }
                let start = name.get(..at).unwrap_or_default();
                let known = NAMES.iter().any(|(name, _)| *name == start);
                assert!(known || Key::of(start.as_bytes()) == Key::Other, "{name} cut at {at}");
            }
            assert_eq!(Key::of(format!("{name} ").as_bytes()), Key::Other);
        }
        for name in ["", "uid", "DATA ", "a-name-of-more-than-fifteen-bytes", "\u{e4}\u{f6}\u{fc}"] {
            assert_eq!(Key::of(name.as_bytes()), Key::Other, "{name}");
        }
        // But for these.
        for name in ["secretRef", "nodePublishSecretRef", "aSecretRef"] {
            assert_eq!(Key::of(name.as_bytes()), Key::Secret, "{name}");
        }
        for name in ["ecretRef", "SECRETRef", "secretRefs", "imagePullSecrets", "secretsRef", "f:secretref"] {
            assert_eq!(Key::of(name.as_bytes()), Key::Other, "{name}");
        }
    }
}
