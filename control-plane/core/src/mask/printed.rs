//! What a container printed and the kubelet quotes (SECURITY.md M7): of a probe in an Event, what its command wrote or the page that it was sent
//! elsewhere with (k8s.io/kubernetes pkg/kubelet/prober/prober.go); of a hook in the status of the pod (pkg/kubelet/lifecycle/handlers.go).
//!
//! An Event doesn't say whether its pod takes Secrets, and looking for their values in what anybody may write would tell whether a guess is
//! right; so it goes by the shape of the text alone.

use std::borrow::Cow;
use std::net::SocketAddr;

use memchr::memmem;
use serde_json::Value;

use super::changes::pointer;
use crate::body::{Encoding, ParsedBody};
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
pub(super) fn without(text: &str) -> Option<String> {
    let (said, quoted) = text.split_at_checked(quote(text)?)?;
    let shown = kubelets(quoted).unwrap_or(Cow::Borrowed(PRINTED));
    (shown != quoted).then(|| [said, &shown].concat())
}

/// Where in a text that tells of a probe begins what the kubelet quotes.
fn quote(text: &str) -> Option<usize> {
    let after = |words: &str| Some(memmem::find(text.as_bytes(), words.as_bytes())? + words.len());
    ["probe failed: ", "probe warning: ", "probe errored and resulted in "].into_iter().filter_map(after).min()
}

/// What the kubelet itself says of a probe (pkg/probe: http, tcp, grpc, exec), with nothing but addresses in it: what comes from the pod's spec or
/// from inside of the container is cut. `None`: it is no such sentence.
fn kubelets(text: &str) -> Option<Cow<'_, str>> {
    let all = |part: &str, good: fn(u8) -> bool| part.bytes().all(good);
    let within = |start: &str, end: &str| text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    if let Some((url, error)) = text.strip_prefix(r#"Get ""#).and_then(|rest| rest.split_once(r#"": "#)) {
        let (scheme, rest) = url.split_once("://")?;
        let server = rest.split('/').next().filter(|server| is_address(server))?;
        let known = (scheme == "http" || scheme == "https") && (HTTP.contains(&error) || is_network(error));
        return known.then(|| format!(r#"Get "{scheme}://{server}": {error}"#).into());
    }
    if let Some((state, error)) = text.split_once(" state: ") {
        let code = error.strip_prefix("rpc error: code = ")?.split(' ').next()?;
        let known = STATES.contains(&state) && all(code, |byte| byte.is_ascii_alphabetic());
        return known.then(|| format!("{state} state: rpc error: code = {code}").into());
    }
    if text.starts_with("command ") && (text.contains("\" timed out after ") || text.ends_with("\" timed out")) {
        return Some(TIMED_OUT.into());
    }
    let known = [
        text.is_empty() || text == TIMED_OUT || text == UNSERVED,
        text.strip_prefix("HTTP probe failed with statuscode: ").is_some_and(|code| all(code, |b| b.is_ascii_digit())),
        within(r#"service unhealthy (responded with ""#, r#"")"#)
            .is_some_and(|status| all(status, |byte| byte.is_ascii_uppercase() || byte == b'_')),
        text.strip_prefix("timeout: health rpc did not complete within ").is_some_and(is_duration),
        text.strip_prefix("timeout: failed to connect service ").is_some_and(is_deadline),
        is_network(text),
    ];
    known.contains(&true).then_some(Cow::Borrowed(text))
}

/// What a probe ends in that has told nothing (pkg/probe/probe.go).
const STATES: [&str; 4] = ["success", "warning", "failure", "unknown"];
/// What is left of a command that took too long.
const TIMED_OUT: &str = "command timed out";
const UNSERVED: &str = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health";

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
    let is = |text: &str, start: &str| text.strip_prefix(start).is_some_and(|to| to.split("->").all(is_address));
    match *text.split(": ").collect::<Vec<_>>() {
        [to, "connect", why] => is(to, "dial tcp ") && REFUSED.contains(&why),
        [to, "i/o timeout"] => is(to, "dial tcp "),
        [to, "read", "connection reset by peer"] => is(to, "read tcp "),
        _ => false,
    }
}

/// `"10.0.0.1:80" within 1s: context deadline exceeded`.
fn is_deadline(text: &str) -> bool {
    let address = text.strip_prefix('"').and_then(|rest| rest.strip_suffix(": context deadline exceeded"));
    let parts = address.and_then(|rest| rest.split_once(r#"" within "#));
    parts.is_some_and(|(to, time)| is_address(to) && is_duration(time))
}

/// A number and a port, as the kubelet has them of a pod. A name may be taken from anywhere.
fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}

/// `1m30s`, as Go writes it.
fn is_duration(text: &str) -> bool {
    text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit() || b".hmsu".contains(&byte))
}

/// What stands in the place of an object that an error quotes.
const OBJECT: &str = "(not shown by sallyport: it may have in it what a container printed)";

/// An error about a pod or an Event without the object that it quotes: the API server quotes what a patch makes of one, where it can't read that
/// (k8s.io/apiserver pkg/endpoints/handlers/patch.go), and nothing in the quote is left out. `None`: it quotes none.
pub(super) fn without_object(message: &str) -> Option<String> {
    let (before, quote) = message.split_once(r#"Invalid value: "{"#)?;
    // Inside of the quote there is a backslash before each.
    let error = quote.rsplit_once("\": ").filter(|(object, _)| !object.ends_with('\\')).map(|(_, error)| error);
    let (colon, error) = error.map_or(("", ""), |error| (": ", error));
    Some([before, "Invalid value: ", OBJECT, colon, error].concat())
}

/// Whether a request gives an Event a text that tells of a probe, which is the kubelet's to write: it may be what was read, and would put what
/// is shown in the place of what is there, for everybody; or a guess, which the API server tells to be right where a text can't be changed.
pub fn writes_of_probe(info: &RequestInfo, body: &ParsedBody) -> bool {
    let is = |value: &Value| value.as_str().is_some_and(|text| quote(text).is_some());
    let has = |object: &Value| ["message", "note"].iter().any(|name| object.get(name).is_some_and(is));
    if !is_of_events(info) || info.is_read() {
        return false;
    }
    if body.encoding != Encoding::JsonPatch {
        return has(&body.value);
    }
    body.value.as_array().into_iter().flatten().any(|operation| {
        let path = operation.get("path").and_then(Value::as_str).map(pointer).unwrap_or_default();
        is_reached(&path) && operation.get("value").is_some_and(|value| is(value) || has(value))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mask::tests::info;
    use crate::request_info::Verb;

    #[test]
    fn m7_objects_in_errors() {
        let error = "json: cannot unmarshal number into Go struct field PodSpec.spec.hostname of type string";
        for (quote, error) in [
            (r#"{\"message\":\"a \\\": hunter2\"}"#, format!(": {error}")),
            (r#"{\"message\":\"hunter2\"}\n"#, ": strict decoding error: unknown field \"spec.nope\"".to_owned()),
            (r#"{\"message\":\"a\": hunter2"#, String::new()),
        ] {
            for before in [r#" "" is invalid: patch: "#, ""] {
                let shown = without_object(&format!("{before}Invalid value: \"{quote}\"{error}"));
                assert_eq!(shown, Some(format!("{before}Invalid value: {OBJECT}{error}")), "{quote}");
            }
        }
        for text in [r#"Pod "p" is invalid: spec: Invalid value: "x": no"#, "pods \"p\" not found"] {
            assert_eq!(without_object(text), None);
        }
    }

    #[test]
    fn m7_nobody_else_writes_what_is_said_of_a_probe() {
        let writes = |resource: &str, verb: Verb, encoding: Encoding, value: Value| {
            let body = ParsedBody { encoding, value };
            writes_of_probe(&info(resource, verb), &body)
        };
        let said = format!("Liveness probe failed: {PRINTED}");
        for verb in [Verb::Create, Verb::Update, Verb::Patch] {
            for member in ["message", "note"] {
                assert!(writes("events", verb, Encoding::Json, json!({member: said})), "{verb:?}");
                assert!(!writes("events", verb, Encoding::Json, json!({member: "Started container", "count": 2})));
                assert!(!writes("widgets", verb, Encoding::Json, json!({member: said})));
            }
        }
        for (path, value, expected) in [
            ("/message", json!(said), true),
            ("/note", json!(said), true),
            ("", json!({"message": said}), true),
            ("/message", json!("Started container"), false),
            ("/count", json!(2), false),
        ] {
            let patch = json!([{"op": "remove", "path": "/count"}, {"op": "replace", "path": path, "value": value}]);
            assert_eq!(writes("events", Verb::Patch, Encoding::JsonPatch, patch), expected, "{path}");
        }
    }

    #[test]
    fn m7_what_the_kubelet_says_of_a_probe_is_shown() {
        for text in [
            "",
            "HTTP probe failed with statuscode: 503",
            r#"Get "http://10.89.0.7:8080": dial tcp 10.89.0.7:8080: connect: connection refused"#,
            r#"Get "https://[fd00::1]:8443": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"#,
            r#"Get "http://10.89.0.7:80": read tcp 10.89.0.1:5->10.89.0.7:80: read: connection reset by peer"#,
            "dial tcp 10.89.0.7:5432: connect: connection refused",
            "dial tcp [fd00::1]:5432: i/o timeout",
            r#"service unhealthy (responded with "NOT_SERVING")"#,
            "timeout: health rpc did not complete within 1.5s",
            r#"timeout: failed to connect service "10.89.0.7:9000" within 1s: context deadline exceeded"#,
            UNSERVED,
        ] {
            for said in ["Readiness probe failed: ", "(combined from similar events): Liveness probe failed: "] {
                assert_eq!(without(&format!("{said}{text}")), None, "{text}");
            }
        }
        for text in ["Started container", "Container web failed liveness probe, will be restarted", "probe failed"] {
            assert_eq!(without(text), None, "{text}");
        }
        // But for what comes from elsewhere.
        for (text, shown) in [
            (r#"failed: Get "http://10.0.0.7:80/login/hunter2?a=b": EOF"#, r#"failed: Get "http://10.0.0.7:80": EOF"#),
            ("failed: command timed out: \"sh -c x\" timed out after 1s", "failed: command timed out"),
            ("failed: command \"sh -c x\" timed out", "failed: command timed out"),
            (
                "errored and resulted in unknown state: rpc error: code = NotFound desc = failed to exec: hunter2",
                "errored and resulted in unknown state: rpc error: code = NotFound",
            ),
        ] {
            let shown = format!("Readiness probe {shown}");
            assert_eq!(without(&format!("Readiness probe {text}")).as_ref(), Some(&shown));
            assert_eq!(without(&shown), None);
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
            r#"Get "https://api.example/hunter2/me": dial tcp 10.0.0.1:80: connect: connection refused"#,
            r#"Get "http://u:hunter2@10.0.0.1:80/": EOF"#,
            r#"Get "http://10.0.0.1:80/": malformed HTTP response "hunter2""#,
            r#"Get "http://10.0.0.1:80/": EOF hunter2"#,
            r#"Get "hunter2://10.0.0.1:80/": EOF"#,
            "dial tcp hunter2:80: i/o timeout",
            "dial tcp: lookup hunter2.example on 10.96.0.10:53: no such host",
            "timeout: health rpc did not complete within hunter2",
            "unknown state: hunter2",
            "hunter2 state: rpc error: code = NotFound",
            "dial tcp 10.0.0.1:80: hunter2: connection refused",
            "connection to server at 10.0.0.1 failed: FATAL: password hunter2 is wrong",
            r#"service unhealthy (responded with "hunter2")"#,
            "Readiness probe failed: ",
            "Probe terminated redirects, Response body: hunter2",
        ] {
            for said in
                ["Startup probe failed: ", "Readiness probe warning: ", "Liveness probe errored and resulted in "]
            {
                let shown = without(&format!("{said}{text}")).expect("it is left out");
                assert_eq!(shown, format!("{said}{PRINTED}"), "{text}");
                assert_eq!(without(&shown), None, "it is out");
            }
        }
    }
}
