//! What a container printed and the kubelet quotes (SECURITY.md M7): of a probe in an Event, what its command wrote or the page that it was sent
//! elsewhere with (k8s.io/kubernetes pkg/kubelet/prober/prober.go); of a hook in the status of the pod (pkg/kubelet/lifecycle/handlers.go).
//!
//! An Event doesn't say whether its pod takes Secrets, and looking for their values in what anybody may write would tell whether a guess is
//! right; so it goes by the shape of the text alone.

use std::borrow::Cow;

use memchr::memmem;

use crate::request_info::RequestInfo;

/// What stands in its place.
pub(super) const PRINTED: &str = "(masked by sallyport: what a container prints may have values of secrets in it)";

/// Whether a request is about Events, in either of the groups that have them.
pub(super) fn is_of_events(info: &RequestInfo) -> bool {
    info.is_resource_request
        && info.resource == "events"
        && (info.api_group.is_empty() || info.api_group == "events.k8s.io")
}

/// Whether what a JSON pointer points to in an Event is its text, or holds it.
pub(super) fn is_reached(path: &[String]) -> bool {
    path.first().is_none_or(|first| first == "message" || first == "note")
}

/// Whether a container waits for this reason because its hook has failed; of all others the runtime or the kubelet speaks.
pub(super) fn is_hooks(reason: &[u8]) -> bool {
    reason == b"PostStartHookError"
}

/// The text of an Event without what a container printed; `None` if there is nothing of the kind in it.
pub(super) fn without(text: &str) -> Option<Cow<'static, str>> {
    let after = |words: &str| Some(memmem::find(text.as_bytes(), words.as_bytes())? + words.len());
    let first = ["probe failed: ", "probe warning: "].into_iter().filter_map(after).min()?;
    let (said, printed) = text.split_at_checked(first)?;
    (!is_kubelets(printed)).then(|| [said, PRINTED].concat().into())
}

/// Whether the kubelet itself says this of a probe (pkg/probe: http, tcp, grpc, exec), with nothing from inside of the container.
fn is_kubelets(text: &str) -> bool {
    let within = |start: &str, end: &str| text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    let all = |part: Option<&str>, good: fn(u8) -> bool| part.is_some_and(|part| part.bytes().all(good));
    text.is_empty()
        || all(text.strip_prefix("HTTP probe failed with statuscode: "), |byte| byte.is_ascii_digit())
        || all(within(r#"service unhealthy (responded with ""#, r#"")"#), |byte| {
            byte.is_ascii_uppercase() || byte == b'_'
        })
        || text.strip_prefix("timeout: health rpc did not complete within ").is_some_and(is_address)
        || text.strip_prefix("timeout: failed to connect service ").is_some_and(is_deadline)
        || text == "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): \
                    unknown service grpc.health.v1.Health"
        // The command is the one that the pod's spec has.
        || text.strip_prefix("command timed out: \"").is_some_and(|rest| {
            rest.rsplit_once("\" timed out after ").is_some_and(|(_, time)| is_address(time))
        })
        || is_network(text)
        || text.strip_prefix(r#"Get ""#).and_then(|rest| rest.split_once(r#"": "#)).is_some_and(|(url, error)| {
            is_address(url) && (HTTP.contains(&error) || is_network(error))
        })
}

/// What Go's net/http says of a server that does not answer.
const HTTP: [&str; 5] = [
    "EOF",
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    "net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
    "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
    "http: server gave HTTP response to HTTPS client",
];

/// `dial tcp 10.0.0.1:80: connect: connection refused`, as Go's net says it.
fn is_network(text: &str) -> bool {
    const REFUSED: [&str; 4] =
        ["connection refused", "connection timed out", "no route to host", "network is unreachable"];
    let is = |text: &str, start: &str| text.strip_prefix(start).is_some_and(is_address);
    match *text.split(": ").collect::<Vec<_>>() {
        [to, "connect", why] => is(to, "dial tcp ") && REFUSED.contains(&why),
        [to, "i/o timeout"] => is(to, "dial tcp "),
        [to, "read", "connection reset by peer"] => is(to, "read tcp "),
        ["dial tcp", name, "no such host"] => {
            let (name, server) = name.split_once(" on ").unwrap_or((name, ""));
            is(name, "lookup ") && is_address(server)
        }
        _ => false,
    }
}

/// `"10.0.0.1:80" within 1s: context deadline exceeded`.
fn is_deadline(text: &str) -> bool {
    let address = text.strip_prefix('"').and_then(|rest| rest.strip_suffix(": context deadline exceeded"));
    address
        .and_then(|rest| rest.split_once(r#"" within "#))
        .is_some_and(|(to, time)| is_address(to) && is_address(time))
}

/// One word that is an address with a path at most: no query, no user, nothing quoted.
fn is_address(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/[]-_%>~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m7_what_the_kubelet_says_of_a_probe_is_shown() {
        for text in [
            "",
            "HTTP probe failed with statuscode: 503",
            r#"Get "http://10.89.0.7:8080/healthz": dial tcp 10.89.0.7:8080: connect: connection refused"#,
            r#"Get "https://[fd00::1]:8443/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"#,
            r#"Get "http://10.89.0.7:80/": read tcp 10.89.0.1:5->10.89.0.7:80: read: connection reset by peer"#,
            r#"Get "http://10.89.0.7:80/": EOF"#,
            "dial tcp 10.89.0.7:5432: connect: connection refused",
            "dial tcp 10.89.0.7:5432: i/o timeout",
            "dial tcp: lookup db: no such host",
            "dial tcp: lookup db on 10.96.0.10:53: no such host",
            r#"service unhealthy (responded with "NOT_SERVING")"#,
            "timeout: health rpc did not complete within 1s",
            "command timed out: \"sh -c sleep 5\" timed out after 1s",
            r#"timeout: failed to connect service "10.89.0.7:9000" within 1s: context deadline exceeded"#,
        ] {
            for said in ["Readiness probe failed: ", "(combined from similar events): Liveness probe failed: "] {
                assert_eq!(without(&format!("{said}{text}")), None, "{text}");
            }
        }
        for text in ["Started container", "Container web failed liveness probe, will be restarted", "probe failed"] {
            assert_eq!(without(text), None, "{text}");
        }
    }

    #[test]
    fn m7_what_a_container_printed_is_left_out() {
        for text in [
            "hunter2",
            " ",
            "HTTP probe failed with statuscode: hunter2",
            "HTTP probe failed with statuscode: 503\nhunter2",
            r#"Get "http://db/?token=hunter2": dial tcp 10.0.0.1:80: connect: connection refused"#,
            r#"Get "http://u:hunter2@db/": EOF"#,
            r#"Get "http://db/": malformed HTTP response "hunter2""#,
            r#"Get "http://db/": EOF hunter2"#,
            "dial tcp hunter 2: i/o timeout",
            "dial tcp 10.0.0.1:80: hunter2: connection refused",
            "connection to server at 10.0.0.1 failed: FATAL: password hunter2 is wrong",
            r#"service unhealthy (responded with "hunter2")"#,
            "Readiness probe failed: ",
            "Probe terminated redirects, Response body: hunter2",
        ] {
            for said in ["Startup probe failed: ", "Readiness probe warning: ", "x Liveness probe failed: "] {
                let shown = without(&format!("{said}{text}")).expect("it is left out");
                assert_eq!(shown, format!("{said}{PRINTED}"), "{text}");
                // Shown once more it is left out once more, the same.
                assert_eq!(without(&shown).as_deref(), Some(&*shown));
            }
        }
    }
}
