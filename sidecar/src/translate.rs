//! Heads, rebuilt: what goes on is made from the parsed request, never the client's bytes.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header, response};
use shared::ids::OperationId;
use shared::wire;

use crate::refusal::Refusal;

/// What belongs to one hop only (RFC 9110 §7.6.1), besides what we set ourselves.
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const HOP_UNNAMED: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];
/// Prefix of our own headers.
const OURS: &str = "sallyport-";

/// The protocols to which Kubernetes clients upgrade (client-go tools/remotecommand, tools/portforward).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// SPDY/3.1
    Spdy,
    /// RFC 6455
    WebSocket,
}

impl Upgrade {
    const fn token(self) -> &'static str {
        match self {
            Self::Spdy => "SPDY/3.1",
            Self::WebSocket => "websocket",
        }
    }

    /// What a request asks for: exactly one known protocol, named by `Connection` too; or nothing.
    ///
    /// # Errors
    /// Anything in between: an unknown or repeated protocol, or one that only one of the two headers speaks of.
    pub(crate) fn asked(parts: &Parts) -> Result<Option<Self>, Refusal> {
        let mut values = parts.headers.get_all(header::UPGRADE).iter();
        let named = names_upgrade(&parts.headers);
        let Some(value) = values.next() else {
            // The API server looks for the word anywhere in `Connection`; alone it means nothing, so it must not pass.
            return if named { Err(Refusal::Upgrade) } else { Ok(None) };
        };
        if values.next().is_some() || !named || parts.version != Version::HTTP_11 {
            return Err(Refusal::Upgrade);
        }
        [Self::Spdy, Self::WebSocket]
            .into_iter()
            .find(|known| value.as_bytes().eq_ignore_ascii_case(known.token().as_bytes()))
            .map(Some)
            .ok_or(Refusal::Upgrade)
    }

    /// Whether an answer agrees to exactly this.
    pub(crate) fn agreed(self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::UPGRADE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        names_upgrade(headers) && value.as_bytes().eq_ignore_ascii_case(self.token().as_bytes())
    }

    fn set(self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(self.token()));
    }
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// The head that goes to the control plane; made once, repeated under the same id.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    pub(crate) upgrade: Option<Upgrade>,
}

impl Outbound {
    /// Whether it changes nothing: what opens a stream, or goes through a proxy to whatever is behind it, is judged elsewhere.
    pub(crate) fn is_read(&self) -> bool {
        let proxied = self.target.path().split('/').any(|part| part == "proxy");
        matches!(self.method, Method::GET | Method::HEAD) && self.upgrade.is_none() && !proxied
    }

    /// Rebuilds a checked head.
    pub(crate) fn new(parts: Parts) -> Result<Self, Refusal> {
        let upgrade = Upgrade::asked(&parts)?;
        let target =
            parts.uri.into_parts().path_and_query.map(Uri::from).ok_or(Refusal::Malformed("target is not a path"))?;
        let mut headers = parts.headers;
        strip(&mut headers);
        for name in [
            header::AUTHORIZATION,
            header::HOST,
            header::EXPECT,
            // It was for us, as Host was.
            header::ORIGIN,
            // The body is read whole and framed anew.
            header::CONTENT_LENGTH,
        ] {
            headers.remove(name);
        }
        let ours: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(OURS)).cloned().collect();
        for name in ours {
            headers.remove(name);
        }
        headers.insert(header::HOST, HeaderValue::from_static(wire::HOST_KUBERNETES));
        if let Some(upgrade) = upgrade {
            upgrade.set(&mut headers);
        }
        Ok(Self { method: parts.method, target, headers, upgrade })
    }

    /// The request, under this operation id.
    pub(crate) fn request<B>(&self, operation: OperationId, body: B) -> Result<Request<B>, Refusal> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        let id = HeaderValue::try_from(operation.to_string()).map_err(|_| Refusal::Malformed("operation id"))?;
        request.headers_mut().insert(HeaderName::from_static(wire::header::OPERATION), id);
        Ok(request)
    }
}

/// Takes the hop's own headers out of an answer; everything else stays as it came. The version follows the client's.
pub(crate) fn inbound(parts: &mut response::Parts) {
    strip(&mut parts.headers);
    parts.headers.remove(wire::header::RENEW);
    parts.version = Version::default();
}

/// The head of a validated 101.
pub(crate) fn switched(parts: &mut response::Parts, upgrade: Upgrade) {
    strip(&mut parts.headers);
    upgrade.set(&mut parts.headers);
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP {
        headers.remove(name);
    }
    for name in HOP_UNNAMED {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("https://127.0.0.1:6443/api/v1/pods?watch=true&a=%2F").version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_head_is_rebuilt_for_the_control_plane() {
        let outbound = Outbound::new(parts(
            Version::HTTP_2,
            &[
                ("authorization", "Bearer x"),
                ("accept", "application/json"),
                ("te", "trailers"),
                ("keep-alive", "1"),
                ("sallyport-operation", "mine"),
                ("sallyport-grant", "mine"),
                ("Sallyport-Anything", "mine"),
                ("content-length", "5"),
                ("expect", "100-continue"),
                ("origin", "https://127.0.0.1:6443"),
                ("proxy-authorization", "x"),
            ],
        ))
        .unwrap();
        let id = OperationId::new(uuid::Uuid::from_u128(7));
        let request = outbound.request(id, ()).unwrap();
        assert_eq!(request.uri(), "/api/v1/pods?watch=true&a=%2F");
        assert_eq!(request.version(), Version::HTTP_11);
        let mut names: Vec<_> = request.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                ("accept", "application/json"),
                ("host", "kubernetes"),
                ("sallyport-operation", "00000000-0000-0000-0000-000000000007"),
            ]
        );
    }

    #[test]
    fn upgrades_are_on_a_list() {
        let asked = |version, headers: &[(&str, &str)]| Upgrade::asked(&parts(version, headers));
        let v11 = Version::HTTP_11;
        assert_eq!(asked(v11, &[]), Ok(None));
        for (value, upgrade) in
            [("SPDY/3.1", Upgrade::Spdy), ("websocket", Upgrade::WebSocket), ("WebSocket", Upgrade::WebSocket)]
        {
            assert_eq!(asked(v11, &[("connection", "keep-alive, Upgrade"), ("upgrade", value)]), Ok(Some(upgrade)));
        }
        let wrong: &[&[(&str, &str)]] = &[
            &[("connection", "upgrade"), ("upgrade", "h2c")],
            &[("connection", "upgrade"), ("upgrade", "foo, websocket")],
            &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "websocket")],
            &[("connection", "upgrade"), ("upgrade", "SPDY/3.1"), ("upgrade", "h2c")],
            &[("connection", "upgrade"), ("upgrade", "TLS/1.0")],
            &[("connection", "upgrade"), ("upgrade", "")],
            &[("connection", "upgrade")],
            &[("upgrade", "websocket")],
            &[("connection", "close"), ("upgrade", "websocket")],
        ];
        for headers in wrong {
            assert_eq!(asked(v11, headers), Err(Refusal::Upgrade), "{headers:?}");
        }
        assert_eq!(
            asked(Version::HTTP_2, &[("connection", "upgrade"), ("upgrade", "websocket")]),
            Err(Refusal::Upgrade)
        );
    }
}
