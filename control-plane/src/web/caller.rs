//! Who calls the web API, and whether it is a caller of ours at all or a web page that was made to ask.

use std::collections::BTreeSet;

use control_plane_core::four_eyes::{Via, Voter};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method};
use shared::time::Timestamp;

use super::Parts;
use super::answer::Problem;
use crate::config::LocalSocket;

/// The user of the machine on the other end of the Unix socket; put into the request by the listener.
#[derive(Clone, Debug)]
pub(super) struct LocalPeer {
    /// uid.
    pub(super) uid: u32,
    /// Groups that the configuration gives to local callers.
    pub(super) groups: BTreeSet<String>,
}

impl LocalPeer {
    /// The peer, if the configuration lets its uid speak.
    pub(super) fn new(uid: u32, socket: &LocalSocket) -> Option<Self> {
        socket.uids.contains(&uid).then(|| Self { uid, groups: socket.groups.iter().cloned().collect() })
    }
}

/// Somebody who is known.
pub(super) struct Caller {
    /// Who.
    pub(super) voter: Voter,
    /// Until when the credential is good; `None` for the local socket.
    pub(super) expires: Option<Timestamp>,
}

/// Authenticates a call. A local caller is who the kernel says; everybody else shows a token of an approvers' issuer.
pub(super) async fn authenticate(
    parts: &Parts,
    headers: &HeaderMap,
    local: Option<LocalPeer>,
) -> Result<Caller, Problem> {
    if let Some(peer) = local {
        let subject = format!("uid {}", peer.uid);
        let (issuer, groups) = ("local".to_owned(), peer.groups);
        return Ok(Caller {
            voter: Voter { issuer, subject, person: None, groups, via: Via::LocalSocket },
            expires: None,
        });
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::Unauthenticated("show one bearer token of an approvers' issuer".to_owned()));
    };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty());
    let Some((_, token)) = token else {
        return Err(Problem::Unauthenticated("the authorization header is no bearer token".to_owned()));
    };
    let approver = parts.authn.approver(token, parts.clock.now()).await;
    let approver = approver.map_err(|error| Problem::Unauthenticated(shared::chain::Chain(&error).to_string()))?;
    let expires = Some(approver.expires());
    let approver = approver.value().clone();
    Ok(Caller {
        voter: Voter {
            issuer: approver.issuer,
            subject: approver.subject,
            person: approver.person,
            groups: approver.groups,
            via: Via::Oidc,
        },
        expires,
    })
}

/// Whether somebody is a member of a group that approves something under the policy in force.
pub(super) fn approves(parts: &Parts, voter: &Voter) -> bool {
    !parts.policies.current().approver_groups().is_disjoint(&voter.groups)
}

impl Caller {
    /// Whether the record is theirs to read. A valid token of the issuer is not enough: everybody in the company may have one.
    pub(super) fn may_read(&self, parts: &Parts) -> bool {
        approves(parts, &self.voter) || !parts.auditors.is_disjoint(&self.voter.groups)
    }
}

/// Refuses what a browser was made to send by a page of somebody else (SECURITY.md P7): there is no page of ours yet, so no browser
/// has anything to say here. Credentials that a browser adds by itself don't count either.
pub(super) fn check_browser(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() != b"none");
    if site || headers.contains_key(ORIGIN) || headers.contains_key(COOKIE) {
        return Err(Problem::Forbidden("this server does not talk to web pages".to_owned()));
    }
    Ok(())
}

/// Refuses names that are not ours: behind them is a page whose name was made to point here (SECURITY.md U8, rebinding).
pub(super) fn check_host(names: &[String], authority: Option<&Authority>) -> Result<(), Problem> {
    let host = authority.map(|authority| authority.host().trim_matches(['[', ']']));
    let ours = host.is_some_and(|host| names.iter().any(|name| name.eq_ignore_ascii_case(host)));
    if ours { Ok(()) } else { Err(Problem::Host) }
}

/// A POST is JSON: a page can send forms and texts to anybody, JSON only to who lets it.
pub(super) fn check_type(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let json = match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(text)), None) => {
            text.split(';').next().is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json"))
        }
        _ => false,
    };
    if *method != Method::POST || json { Ok(()) } else { Err(Problem::MediaType) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), "sallyport.example".to_owned()];
        let check = |text: &str| check_host(&names, Some(&text.parse().unwrap())).is_ok();
        for right in ["localhost", "localhost:8443", "127.0.0.1:1", "[::1]:8443", "Sallyport.Example:8443"] {
            assert!(check(right), "{right}");
        }
        for wrong in
            ["evil.example", "localhost.evil.example", "127.0.0.2", "xlocalhost", "user@evil.example", "[::2]:1"]
        {
            assert!(!check(wrong), "{wrong}");
        }
        assert!(check_host(&names, None).is_err());
    }

    #[test]
    fn pages_have_nothing_to_say() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            check_browser(&headers.collect::<HeaderMap>()).is_ok()
        };
        assert!(check(&[]) && check(&[("sec-fetch-site", "none")]) && check(&[("user-agent", "curl")]));
        for wrong in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "same-origin"),
            ("cookie", "session=1"),
        ] {
            assert!(!check(&[wrong]), "{wrong:?}");
        }
    }

    #[test]
    fn a_post_is_json() {
        let check = |method: Method, kind: Option<&'static str>| {
            let headers = kind.into_iter().map(|kind| (CONTENT_TYPE, kind.parse().unwrap()));
            check_type(&method, &headers.collect::<HeaderMap>()).is_ok()
        };
        assert!(check(Method::GET, None) && check(Method::POST, Some("application/json; charset=utf-8")));
        for wrong in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data"),
            Some("application/jsonx"),
        ] {
            assert!(!check(Method::POST, wrong), "{wrong:?}");
        }
    }
}
