//! The `Accept` header that goes upstream: only encodings that the agent can mask (Kubernetes' content negotiation:
//! k8s.io/apiserver pkg/endpoints/handlers/negotiation/negotiate.go).
//!
//! Every client decodes by the content type of the answer and has JSON, so nothing breaks where protobuf is left out.

use http::HeaderValue;

/// What the server shall turn the objects into (`as`), with the parameters that belong to it. Anything else is no known view.
const VIEWS: [&str; 4] = ["Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"];

/// OpenAPI documents hold no objects: their protobuf forms stay.
const OPENAPI: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
];

const JSON: &str = "application/json";

struct Clause {
    media_type: String,
    /// `;as=…;g=…;v=…` in the client's order: discovery compares them in order.
    view: String,
    /// In thousandths (RFC 9110 §12.4.2).
    weight: u16,
}

/// Rewrites what the client accepts. Clauses that can't be read are left out, as the API server does; what then is empty is JSON.
pub(super) fn rewrite<'a>(values: impl Iterator<Item = &'a HeaderValue>, openapi: bool) -> String {
    let mut clauses: Vec<Clause> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(clause)
        .filter(|clause| clause.weight > 0)
        .collect();
    // Stable, as in the API server: the first acceptable in order of weight wins.
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.weight));

    let mut kept: Vec<String> = Vec::new();
    let mut keep = |text: String| {
        if !kept.contains(&text) {
            kept.push(text);
        }
    };
    for clause in &clauses {
        if clause.media_type == JSON {
            keep(format!("{JSON}{}", clause.view));
        } else if openapi && OPENAPI.contains(&clause.media_type.as_str()) {
            keep(clause.media_type.clone());
        }
    }
    if kept.is_empty() {
        // The same views in the encoding that we read; a wildcard is JSON, as for the API server.
        for clause in &clauses {
            let text = format!("{JSON}{}", clause.view);
            if !kept.contains(&text) {
                kept.push(text);
            }
        }
    }
    if kept.is_empty() {
        kept.push(JSON.to_owned());
    }
    kept.join(",")
}

fn clause(text: &str) -> Option<Clause> {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().filter(|t| !t.is_empty())?.to_ascii_lowercase();
    let mut view = String::new();
    let mut known = true;
    let mut has_view = false;
    let mut weight = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        match key {
            "q" => weight = quality(value)?,
            "as" => {
                known = VIEWS.contains(&value);
                has_view = true;
            }
            "g" | "v" => {}
            // The server's own groups only, not its peers'.
            "profile" if value == "nopeer" => {}
            _ => continue,
        }
        if key != "q" {
            if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
                return None;
            }
            view.push(';');
            view.push_str(key);
            view.push('=');
            view.push_str(value);
        }
    }
    // The API server skips a clause whose view it does not know.
    known.then(|| Clause { media_type, view: if has_view { view } else { String::new() }, weight })
}

fn quality(text: &str) -> Option<u16> {
    let value: f32 = text.parse().ok()?;
    if !(0.0..=1.0).contains(&value) {
        return None;
    }
    // Between 0 and 1000 by the check above.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to int cast saturates, and the range was checked"
    )]
    Some((value * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(accept: &str) -> String {
        rewrite(std::iter::once(&HeaderValue::from_str(accept).unwrap()), false)
    }

    #[test]
    fn each_client() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        for (accept, expected) in [
            // kubectl get
            (table, table),
            // kubectl create
            ("application/json, */*", "application/json"),
            // typed client-go
            ("application/vnd.kubernetes.protobuf,application/json", "application/json"),
            ("application/vnd.kubernetes.protobuf", "application/json"),
            ("application/vnd.kubernetes.protobuf;stream=watch", "application/json"),
            // metadata client
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            ),
            // discovery
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json",
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json",
            ),
            (aggregated, aggregated),
            // python, curl, a browser
            ("application/yaml", "application/json"),
            ("*/*", "application/json"),
            ("text/html, application/xhtml+xml;q=0.9", "application/json"),
            ("application/cbor, application/json;q=0.5", "application/json"),
            (
                "application/json;q=0.1, application/json;as=Table;g=meta.k8s.io;v=v1;q=0.9",
                "application/json;as=Table;g=meta.k8s.io;v=v1,application/json",
            ),
            ("application/json;as=Secret", "application/json"),
            ("application/json;q=0", "application/json"),
            ("application/json;pretty=1", "application/json"),
            (";;,,=", "application/json"),
            ("", "application/json"),
        ] {
            assert_eq!(rewritten(accept), expected, "{accept}");
        }
        assert_eq!(rewrite(std::iter::empty(), false), "application/json");
    }

    #[test]
    fn openapi_keeps_its_protobuf() {
        let openapi = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
        let value = HeaderValue::from_static(openapi);
        assert_eq!(rewrite(std::iter::once(&value), true), openapi);
        assert_eq!(rewrite(std::iter::once(&value), false), "application/json");
    }
}
