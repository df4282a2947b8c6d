//! The `Accept` header that goes upstream: only encodings that the agent can mask (Kubernetes' content negotiation:
//! k8s.io/apiserver pkg/endpoints/handlers/negotiation/negotiate.go).
//!
//! Every client decodes by the content type of the answer and has JSON, so nothing breaks where protobuf is left out. It stays where one
//! object of a kind that we know is answered, or a watch of them (with `sendInitialEvents` too: a list that comes as events). Lists are
//! asked for in JSON, which is masked as it comes; so are tables, discovery, and all that is served from custom resources and by
//! aggregated API servers, whose messages we don't know. YAML and CBOR are never asked for.

use http::HeaderValue;

use crate::protobuf::table;
use crate::request_info::{RequestInfo, Verb};

/// Kubernetes' own binary encoding.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

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

/// What is kept beside JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing.
    Json,
    /// The protobuf of OpenAPI documents.
    OpenApi,
    /// The protobuf of objects, as they are or as their metadata alone.
    Protobuf,
}

impl Keep {
    /// What the answers to a request may be written in.
    pub(super) fn of(info: &RequestInfo) -> Self {
        if info.non_resource_path.starts_with("/openapi/") {
            return Self::OpenApi;
        }
        let one_by_one = match info.verb {
            Verb::Get | Verb::Watch | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => true,
            Verb::List | Verb::DeleteCollection | Verb::Post | Verb::Put | Verb::Head | Verb::Options => false,
        };
        let group = if info.api_group.is_empty() { String::new() } else { format!("{}/", info.api_group) };
        let known = || table().is_ok_and(|table| table.serves(&format!("{group}{}", info.api_version), &info.resource));
        if info.is_resource_request && one_by_one && !info.is_connect() && known() {
            return Self::Protobuf;
        }
        Self::Json
    }
}

/// Rewrites what the client accepts. Clauses that can't be read are left out, as the API server does; what then is empty is JSON.
pub(super) fn rewrite<'a>(values: impl Iterator<Item = &'a HeaderValue>, keep: Keep) -> String {
    let mut clauses: Vec<Clause> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(clause)
        .filter(|clause| clause.weight > 0)
        .collect();
    // Stable, as in the API server: the first acceptable in order of weight wins.
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.weight));

    let mut kept: Vec<String> = Vec::new();
    let mut add = |text: String| {
        if !kept.contains(&text) {
            kept.push(text);
        }
    };
    for clause in &clauses {
        if clause.media_type == JSON {
            add(format!("{JSON}{}", clause.view));
        } else if keep == Keep::OpenApi && OPENAPI.contains(&clause.media_type.as_str()) {
            add(clause.media_type.clone());
        } else if keep == Keep::Protobuf && clause.media_type == PROTOBUF && clause.has_protobuf() {
            add(format!("{PROTOBUF}{}", clause.view));
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

impl Clause {
    /// Tables exist in JSON only.
    fn has_protobuf(&self) -> bool {
        self.view.is_empty() || self.view.split(';').any(|part| part == "as=PartialObjectMetadata")
    }
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
        rewrite(std::iter::once(&HeaderValue::from_str(accept).unwrap()), Keep::Json)
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
        assert_eq!(rewrite(std::iter::empty(), Keep::Json), "application/json");
    }

    #[test]
    fn openapi_keeps_its_protobuf() {
        let openapi = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
        let value = HeaderValue::from_static(openapi);
        assert_eq!(rewrite(std::iter::once(&value), Keep::OpenApi), openapi);
        assert_eq!(rewrite(std::iter::once(&value), Keep::Json), "application/json");
    }

    #[test]
    fn protobuf_stays_where_single_objects_are_answered() {
        let kept = |accept: &str| rewrite(std::iter::once(&HeaderValue::from_str(accept).unwrap()), Keep::Protobuf);
        let metadata = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        for (accept, expected) in [
            (
                "application/vnd.kubernetes.protobuf,application/json",
                "application/vnd.kubernetes.protobuf,application/json",
            ),
            ("application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"),
            ("application/vnd.kubernetes.protobuf;stream=watch", "application/vnd.kubernetes.protobuf"),
            (
                "application/vnd.kubernetes.protobuf;q=0.5,application/json",
                "application/json,application/vnd.kubernetes.protobuf",
            ),
            (
                &format!("application/vnd.kubernetes.protobuf;{metadata},application/json;{metadata}"),
                &format!("application/vnd.kubernetes.protobuf;{metadata},application/json;{metadata}"),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
                "application/json;as=Table;v=v1;g=meta.k8s.io",
            ),
            ("application/json", "application/json"),
            ("application/yaml, application/cbor", "application/json"),
            ("*/*", "application/json"),
        ] {
            assert_eq!(kept(accept), expected, "{accept}");
        }
    }

    #[test]
    fn requests_whose_answers_may_be_protobuf() {
        use crate::query::Query;
        for (method, path, expected) in [
            ("GET", "/api/v1/namespaces/x/secrets/s", Keep::Protobuf),
            ("GET", "/api/v1/secrets?watch=true", Keep::Protobuf),
            (
                "GET",
                "/api/v1/secrets?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                Keep::Protobuf,
            ),
            ("GET", "/api/v1/secrets", Keep::Json),
            // A list of one is a list.
            ("GET", "/api/v1/namespaces/x/secrets?fieldSelector=metadata.name%3Ds", Keep::Json),
            ("DELETE", "/api/v1/namespaces/x/secrets", Keep::Json),
            ("DELETE", "/api/v1/namespaces/x/secrets/s", Keep::Protobuf),
            ("POST", "/api/v1/namespaces/x/secrets", Keep::Protobuf),
            ("PUT", "/apis/apps/v1/namespaces/x/deployments/d/scale", Keep::Protobuf),
            ("PATCH", "/apis/networking.k8s.io/v1/namespaces/x/networkpolicies/n", Keep::Protobuf),
            ("GET", "/apis/networking.k8s.io/v1/namespaces/x/ingresses/n", Keep::Protobuf),
            ("GET", "/api/v1/namespaces/x/endpoints/e", Keep::Protobuf),
            ("POST", "/api/v1/namespaces/x/serviceaccounts/s/token", Keep::Protobuf),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", Keep::Protobuf),
            ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c", Keep::Protobuf),
            ("GET", "/apis/example.com/v1/namespaces/x/widgets/w", Keep::Json),
            ("GET", "/apis/example.com/v1/namespaces/x/secrets/s", Keep::Json),
            ("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/x/pods/p", Keep::Json),
            ("GET", "/apis/apps/v9/namespaces/x/deployments/d", Keep::Json),
            ("GET", "/api/v1/namespaces/x/widgets/w", Keep::Json),
            ("POST", "/api/v1/namespaces/x/pods/p/exec?command=ls", Keep::Json),
            ("GET", "/api/v1/namespaces/x/services/s/proxy/a", Keep::Json),
            ("GET", "/api", Keep::Json),
            ("GET", "/openapi/v2", Keep::OpenApi),
        ] {
            let (plain, query) = path.split_once('?').unwrap_or((path, ""));
            let method = http::Method::from_bytes(method.as_bytes()).unwrap();
            let info = RequestInfo::parse(&method, plain, &Query::parse(query).unwrap()).unwrap();
            assert_eq!(Keep::of(&info), expected, "{method} {path}");
        }
    }
}
