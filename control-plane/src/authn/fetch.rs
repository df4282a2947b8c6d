//! Fetches one small JSON document from an issuer: https only, no redirect, bounded in size and time, and never from an address
//! inside our own network unless the configuration says so (SECURITY.md T5: a key-set address must not become a probe).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use shared::limits;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Not an https URL with a host.
    #[error("{0:?} is not an https URL")]
    Url(String),
    /// The name has no address that we may use.
    #[error("{0} has no public address; private ones need dangerAllowPrivateAddress")]
    Address(String),
    /// No connection, no TLS, no answer.
    #[error("{host} can't be reached")]
    Connection {
        /// Which.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Any answer but 200; redirects are not followed.
    #[error("{host} answered {status}")]
    Status {
        /// Which.
        host: String,
        /// What.
        status: u16,
    },
    /// More than the bound, or cut off.
    #[error("the answer of {0} is too large or incomplete")]
    Body(String),
    /// Took too long.
    #[error("{0} did not answer in time")]
    Timeout(String),
}

/// The document at `url`.
pub(crate) async fn get(url: &str, tls: &Arc<rustls::ClientConfig>, private: bool) -> Result<Bytes, FetchError> {
    let uri: http::Uri = url.parse().map_err(|_| FetchError::Url(url.to_owned()))?;
    let host = match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => host.trim_matches(['[', ']']).to_owned(),
        _ => return Err(FetchError::Url(url.to_owned())),
    };
    tokio::time::timeout(limits::ISSUER_WAIT, exchange(&uri, &host, tls, private))
        .await
        .map_err(|_| FetchError::Timeout(host))?
}

async fn exchange(
    uri: &http::Uri,
    host: &str,
    tls: &Arc<rustls::ClientConfig>,
    private: bool,
) -> Result<Bytes, FetchError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Connection { host: host.to_owned(), source };
    let port = uri.port_u16().unwrap_or(443);
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|e| failed(Box::new(e)))?;
    let addresses: Vec<SocketAddr> = addresses.filter(|a| private || is_public(a.ip())).collect();
    if addresses.is_empty() {
        return Err(FetchError::Address(host.to_owned()));
    }
    // The addresses that were checked are the ones that are dialled: a name that changes between the two gains nothing.
    let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(|e| failed(Box::new(e)))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| failed(Box::new(e)))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(|e| failed(Box::new(e)))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(Box::new(e)))?;
    let request = http::Request::get(uri.path_and_query().map_or("/", |p| p.as_str()))
        .header(http::header::HOST, uri.authority().map_or(host, |a| a.as_str()))
        .header(http::header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|e| failed(Box::new(e)))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| failed(Box::new(e)))?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status { host: host.to_owned(), status: response.status().as_u16() });
        }
        let body = Limited::new(response.into_body(), limits::JWKS_BYTES);
        #[expect(clippy::disallowed_methods, reason = "the body is Limited")]
        body.collect().await.map(http_body_util::Collected::to_bytes).map_err(|_| FetchError::Body(host.to_owned()))
    };
    tokio::pin!(answer);
    // The connection must be driven; it ends with this future.
    tokio::select! {
        biased;
        result = &mut answer => result,
        _ = connection => Err(FetchError::Body(host.to_owned())),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            let shared_space = first == 100 && (64..128).contains(&second);
            !(a.is_private()
                || a.is_loopback()
                || a.is_link_local()
                || a.is_unspecified()
                || a.is_broadcast()
                || a.is_multicast()
                || shared_space
                || first == 0
                || first >= 240)
        }
        IpAddr::V6(a) => {
            if let Some(v4) = a.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            // Global unicast only (RFC 4291 §2.4), without 6to4 and NAT64, which can hide an IPv4 address.
            let first = a.segments()[0];
            first & 0xe000 == 0x2000 && first != 0x2002
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_only_public_addresses() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::",
            "2002:7f00:1::",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}
