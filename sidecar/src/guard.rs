//! What a local request must be before anything is done for it: addressed to us by an exact name, not from a browser, with the token of
//! this pod, and with one reading.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use shared::limits;
use shared::secret::Secret;
use shared_net::crypto;

use crate::hosts::Hosts;
use crate::refusal::Refusal;

/// The checks of one listener.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: Hosts,
    token: Secret<String>,
}

impl Guard {
    pub(crate) const fn new(hosts: Hosts, token: Secret<String>) -> Self {
        Self { hosts, token }
    }

    /// Passes, or says why not. Nothing about a request that fails here leaves this process.
    pub(crate) fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        shape(parts)?;
        self.host(parts)?;
        self.browser(&parts.headers)?;
        self.credential(&parts.headers)?;
        connection_header(&parts.headers)
    }

    /// Every name that the request says must be one of ours: `Host`, and the authority of an absolute target or of HTTP/2.
    fn host(&self, parts: &Parts) -> Result<(), Refusal> {
        let named = parts.uri.authority().map(http::uri::Authority::as_str);
        let mut hosts = parts.headers.get_all(header::HOST).iter();
        let host = match hosts.next() {
            Some(host) => Some(host.to_str().map_err(|_| Refusal::Host)?),
            None => None,
        };
        if hosts.next().is_some() {
            return Err(Refusal::Malformed("more than one Host header"));
        }
        let target = match (named, host) {
            (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => return Err(Refusal::Host),
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err(Refusal::Host),
        };
        if self.hosts.accepts(target) { Ok(()) } else { Err(Refusal::Host) }
    }

    /// Browsers always send these for what a page asks (Fetch standard, Fetch Metadata). Of Kubernetes clients only fabric8's for Java sends
    /// one: each of its watches has our own address as `Origin`. No page has that origin, for none is served here, and what another
    /// program's page at this address asks says `Sec-Fetch-Site` too.
    fn browser(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let ours = |origin: &HeaderValue| {
            let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| self.hosts.accepts(authority))
        };
        match (origins.next(), origins.next()) {
            (None, _) => {}
            (Some(origin), None) if ours(origin) => {}
            _ => return Err(Refusal::Browser("Origin")),
        }
        let site = HeaderName::from_static("sec-fetch-site");
        if headers.get_all(site).iter().any(|value| value.as_bytes() != b"none") {
            return Err(Refusal::Browser("Sec-Fetch-Site"));
        }
        Ok(())
    }

    /// Exactly one `Authorization: Bearer <token>`; the scheme in any case, since the python client writes it small.
    fn credential(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refusal::Token);
        };
        let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len()).ok_or(Refusal::Token)?;
        // A wrong length shows in the time it takes; it is the same for every token of this program.
        if scheme.eq_ignore_ascii_case(b"bearer ") && crypto::equal(token, self.token.expose().as_bytes()) {
            Ok(())
        } else {
            Err(Refusal::Token)
        }
    }
}

fn shape(parts: &Parts) -> Result<(), Refusal> {
    if parts.version != Version::HTTP_11 && parts.version != Version::HTTP_2 {
        return Err(Refusal::Malformed("only HTTP/1.1 and HTTP/2 are served"));
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Malformed("method is not part of the Kubernetes API"));
    }
    let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    if !target.starts_with('/') {
        return Err(Refusal::Malformed("target is not a path"));
    }
    if target.len() > limits::URI_BYTES {
        return Err(Refusal::Malformed("target is too long"));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Malformed("target has bytes that must be escaped"));
    }
    if parts.headers.len() > limits::HEADERS {
        return Err(Refusal::Headers(limits::HEADERS));
    }
    Ok(())
}

/// A `Connection` that names other headers would delete them on the way (rancher/rancher#33588); no client needs that.
fn connection_header(headers: &HeaderMap) -> Result<(), Refusal> {
    const KNOWN: [&str; 6] = ["close", "keep-alive", "upgrade", "te", "http2-settings", "proxy-connection"];
    for value in headers.get_all(header::CONNECTION) {
        let text = value.to_str().map_err(|_| Refusal::Malformed("Connection header"))?;
        for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
            if !KNOWN.iter().any(|known| token.eq_ignore_ascii_case(known)) {
                return Err(Refusal::Malformed("Connection names a header that is not hop-by-hop"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn guard() -> Guard {
        Guard::new(Hosts::new("127.0.0.1:6443".parse().unwrap()), Secret::new("s3cret-token".to_owned()))
    }

    type Headers<'a> = &'a [(&'a str, &'a str)];

    #[expect(clippy::unwrap_in_result, reason = "only what the guard says is a result")]
    fn check(target: &str, headers: Headers<'_>) -> Result<(), Refusal> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard().check(&request.body(()).unwrap().into_parts().0)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:6443");
    const AUTH: (&str, &str) = ("authorization", "Bearer s3cret-token");

    #[test]
    fn credentials() {
        for right in ["Bearer s3cret-token", "bearer s3cret-token", "BEARER s3cret-token"] {
            assert_eq!(check("/api", &[HOST, ("authorization", right)]), Ok(()), "{right}");
        }
        for wrong in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "Bearer  s3cret-token",
            "Bearer s3cret-toke",
            "Bearer s3cret-token2",
            "Bearer s3cret-tokeN",
            "s3cret-token",
            "Basic s3cret-token",
            "Bearer s3cret-token, Bearer s3cret-token",
            "Bearer\ts3cret-token",
            "Bearer null",
            "Bearer undefined",
        ] {
            assert_eq!(check("/api", &[HOST, ("authorization", wrong)]), Err(Refusal::Token), "{wrong:?}");
        }
        assert_eq!(check("/api", &[HOST]), Err(Refusal::Token));
        assert_eq!(check("/api", &[HOST, AUTH, AUTH]), Err(Refusal::Token));
    }

    #[test]
    fn browsers_and_foreign_names() {
        let tries: &[(&str, Headers<'_>, Refusal)] = &[
            ("/api", &[AUTH], Refusal::Host),
            ("/api", &[AUTH, ("host", "evil.example:6443")], Refusal::Host),
            ("/api", &[AUTH, ("host", "evil.example")], Refusal::Host),
            ("/api", &[AUTH, ("host", "")], Refusal::Host),
            ("/api", &[AUTH, HOST, HOST], Refusal::Malformed("more than one Host header")),
            ("https://evil.example/api", &[AUTH, HOST], Refusal::Host),
            ("https://127.0.0.1:6443/api", &[AUTH, ("host", "evil.example")], Refusal::Host),
            ("/api", &[AUTH, HOST, ("origin", "https://evil.example")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "null")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "http://127.0.0.1:6443")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "https://127.0.0.1:6444")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "https://127.0.0.1:6443/")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "127.0.0.1:6443")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "https://evil.example:6443")], Refusal::Browser("Origin")),
            ("/api", &[AUTH, HOST, ("origin", "")], Refusal::Browser("Origin")),
            (
                "/api",
                &[AUTH, HOST, ("origin", "https://127.0.0.1:6443"), ("origin", "https://evil.example")],
                Refusal::Browser("Origin"),
            ),
            (
                "/api",
                &[AUTH, HOST, ("origin", "https://127.0.0.1:6443"), ("sec-fetch-site", "same-origin")],
                Refusal::Browser("Sec-Fetch-Site"),
            ),
            ("/api", &[AUTH, HOST, ("sec-fetch-site", "cross-site")], Refusal::Browser("Sec-Fetch-Site")),
            ("/api", &[AUTH, HOST, ("sec-fetch-site", "same-origin")], Refusal::Browser("Sec-Fetch-Site")),
            (
                "/api",
                &[AUTH, HOST, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
                Refusal::Browser("Sec-Fetch-Site"),
            ),
        ];
        for (target, headers, refusal) in tries {
            assert_eq!(check(target, headers), Err(refusal.clone()), "{target} {headers:?}");
        }
        assert_eq!(check("/api", &[AUTH, HOST, ("sec-fetch-site", "none")]), Ok(()));
        // fabric8's client for Java.
        assert_eq!(check("/api", &[AUTH, HOST, ("origin", "https://127.0.0.1:6443")]), Ok(()));
        assert_eq!(check("https://127.0.0.1:6443/api", &[AUTH]), Ok(()));
        assert_eq!(check("https://localhost:6443/api", &[AUTH, ("host", "localhost:6443")]), Ok(()));
    }

    #[test]
    fn shapes() {
        for method in ["CONNECT", "TRACE"] {
            let request = Request::builder().method(method).uri("/").header(HOST.0, HOST.1).header(AUTH.0, AUTH.1);
            let parts = request.body(()).unwrap().into_parts().0;
            assert!(matches!(guard().check(&parts), Err(Refusal::Malformed(_))), "{method}");
        }
        let long = format!("/{}", "a".repeat(limits::URI_BYTES));
        assert!(matches!(check(&long, &[HOST, AUTH]), Err(Refusal::Malformed(_))));
        assert!(matches!(check("*", &[HOST, AUTH]), Err(Refusal::Malformed(_))));
        let old = Request::get("/api").version(Version::HTTP_10).header(HOST.0, HOST.1).header(AUTH.0, AUTH.1);
        let parts = old.body(()).unwrap().into_parts().0;
        assert!(matches!(guard().check(&parts), Err(Refusal::Malformed(_))));
        for (value, right) in [
            ("close", true),
            ("Keep-Alive, Upgrade", true),
            ("Impersonate-User", false),
            ("close, Authorization", false),
        ] {
            assert_eq!(check("/api", &[HOST, AUTH, ("connection", value)]).is_ok(), right, "{value}");
        }
    }
}
