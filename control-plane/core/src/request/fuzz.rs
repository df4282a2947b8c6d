//! Entry point for a fuzzer, and for the replay of its corpus as a plain test.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::{Request, WireRequest};
use crate::digest::DigestKey;
use crate::headers;
use crate::intent::Intent;
use crate::version_pin::VersionPin;

/// `data` is a request as HTTP/1.1 writes it, with LF line ends: `METHOD target`, headers, an empty line, the body.
///
/// Nothing panics, and what is accepted is read by the agent as it was judged, and judged again comes out the same.
///
/// # Panics
/// If that does not hold: a bug.
#[doc(hidden)]
pub fn fuzz_request(data: &[u8]) {
    let Some((method, uri, headers, body)) = split(data) else {
        return;
    };
    let checked = headers::check(&headers);
    let Ok(request) = Request::parse(&method, &uri, &headers, body) else {
        return;
    };
    let wire = request.wire();
    let key = DigestKey::new([1; 32]);

    let uri: Uri = wire.path_and_query().parse().unwrap_or_default();
    let mut sent = HeaderMap::new();
    for (name, value) in wire.headers() {
        sent.insert(name, value.clone());
    }
    let arrived = WireRequest::arrived(wire.method(), &uri, &sent, wire.body().clone());
    assert_eq!(arrived.as_ref(), Ok(wire), "it does not arrive as it was sent");
    assert_eq!(wire.reparse().as_ref(), Ok(request.info()), "the agent reads something else");

    assert!(request.upgrade().is_none() || request.info().is_connect(), "an upgrade of what is no connection");
    assert!(checked.is_err() || headers::check(&sent).is_ok(), "what is forwarded would be refused");

    let intent = Intent::new("cluster", &request).digest(&key);
    let digest = request.digest(&key);
    let again = Request::parse(wire.method(), &uri, &sent, wire.body().clone());
    match again {
        Ok(again) => {
            assert_eq!(again.digest(&key), digest, "judged again, it is another request");
            assert_eq!(Intent::new("cluster", &again).digest(&key), intent, "judged again, it is another intent");
        }
        // Written with escapes a body may grow.
        Err(error) => {
            assert!(wire.body().len() > shared::limits::REQUEST_BODY_BYTES, "judged again, it is refused: {error}")
        }
    }
    let pin = VersionPin::of(request.info(), None);
    assert!(pin.holds(None).is_ok(), "a pin that does not hold at once");
}

fn split(data: &[u8]) -> Option<(Method, Uri, HeaderMap, Bytes)> {
    let mut rest = data;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = rest.split_at_checked(end)?;
        rest = after.get(1..)?;
        Some(line)
    };
    let first = line()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(first.get(..space)?).ok()?;
    let uri = Uri::try_from(first.get(space + 1..)?).ok()?;
    let mut headers = HeaderMap::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        headers.append(
            HeaderName::from_bytes(line.get(..colon)?).ok()?,
            HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?,
        );
    }
    Some((method, uri, headers, Bytes::copy_from_slice(rest)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn corpus() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Files named `ok-…` must be accepted, or the corpus has rotted and covers nothing.
    #[test]
    fn the_corpus() {
        let files = corpus();
        assert!(files.len() >= 20, "{} files", files.len());
        for (name, data) in files {
            fuzz_request(&data);
            let (method, uri, headers, body) = split(&data).unwrap_or_else(|| panic!("{name} is no request"));
            let accepted = headers::check(&headers).is_ok() && Request::parse(&method, &uri, &headers, body).is_ok();
            assert_eq!(accepted, name.contains("/ok-"), "{name}");
        }
    }

    proptest! {
        /// A corpus file with a few bytes changed: a small fuzzer in every test run.
        #[test]
        fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let files = corpus();
            let mut data = choice.get(&files).1.clone();
            for (place, byte) in changes {
                *place.get_mut(&mut data) = byte;
            }
            fuzz_request(&data);
        }
    }
}
