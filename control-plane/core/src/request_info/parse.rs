//! From method, path and query to [`RequestInfo`]: the API server's own algorithm (k8s.io/apiserver
//! pkg/endpoints/request/requestinfo.go `NewRequestInfo`), narrowed to inputs that can be read in one way only.
//!
//! The API server resolves nothing: no dot segments, no double slashes, no redirect, and it decodes percent escapes once, *before* it
//! splits. Everything where a reader could differ from that (empty and dot segments, an encoded `/`, the deprecated `/watch/` and
//! `/proxy/` prefixes, list options that do not decode) is refused, so that what remains has one reading.

use http::Method;
use shared::limits;

use super::selector;
use super::{RequestInfo, RequestInfoError, Verb};
use crate::percent;
use crate::query::{Query, REPEATABLE};

impl RequestInfo {
    /// Reads a request. `path` is raw, as it stood in the request line, without the query.
    ///
    /// # Errors
    /// Whatever the API server would refuse, or another reader could take differently; never a guess.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Result<Self, RequestInfoError> {
        let path = Path::parse(path)?;
        let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        let info = match segments.as_slice() {
            ["api", version, rest @ ..] => {
                if *version != "v1" {
                    return Err(unknown(&path));
                }
                resource_or_discovery(method, &path, "", version, rest)?
            }
            ["apis", group, version, rest @ ..] => {
                check(Field::Group, group)?;
                check(Field::Version, version)?;
                resource_or_discovery(method, &path, group, version, rest)?
            }
            ["apis", group] => {
                check(Field::Group, group)?;
                non_resource(method, &path)?
            }
            segments if is_public(segments) => non_resource(method, &path)?,
            _ => return Err(unknown(&path)),
        };
        check_query(&info, query)?;
        with_options(info, query)
    }

    /// The path to forward, the only one that is written for this RequestInfo. Its query is [`Query::canonical`].
    ///
    /// Parsing it again with the same method and query gives the same RequestInfo.
    pub fn path(&self) -> String {
        let mut path = String::new();
        let mut add = |segment: &str| {
            path.push('/');
            percent::encode_segment(segment, &mut path);
        };
        if !self.is_resource_request {
            for segment in self.non_resource_path.split('/').skip(1) {
                add(segment);
            }
            return path;
        }
        if self.api_group.is_empty() {
            add("api");
        } else {
            add("apis");
            add(&self.api_group);
        }
        add(&self.api_version);
        if !self.namespace.is_empty() && self.resource != "namespaces" {
            add("namespaces");
            add(&self.namespace);
        }
        add(&self.resource);
        // The name of a list or watch stands in its field selector.
        if !self.name.is_empty() && !matches!(self.verb, Verb::List | Verb::Watch) {
            add(&self.name);
        }
        if !self.subresource.is_empty() {
            add(&self.subresource);
        }
        if self.is_proxy() {
            for segment in self.proxy_path.split('/') {
                add(segment);
            }
        }
        path
    }
}

/// Decoded segments, each checked. No leading, trailing or double slash is left.
struct Path {
    segments: Vec<String>,
    trailing_slash: bool,
}

impl Path {
    fn parse(raw: &str) -> Result<Self, RequestInfoError> {
        if raw.len() > limits::URI_BYTES {
            return Err(RequestInfoError::TooLong { expected: limits::URI_BYTES, got: raw.len() });
        }
        // '?' and '#' end a path for some readers and not for others; raw non-ASCII is legal for Go only.
        if let Some(got) = raw.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
            return Err(RequestInfoError::Character { got });
        }
        let Some(rest) = raw.strip_prefix('/') else {
            return Err(RequestInfoError::NotAbsolute { got: raw.to_owned() });
        };
        if rest.is_empty() {
            return Err(RequestInfoError::UnknownPath { got: raw.to_owned() });
        }
        let (rest, trailing_slash) = rest.strip_suffix('/').map_or((rest, false), |rest| (rest, true));
        let segments = rest.split('/').map(segment).collect::<Result<_, _>>()?;
        Ok(Self { segments, trailing_slash })
    }

    fn decoded(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }
}

fn segment(raw: &str) -> Result<String, RequestInfoError> {
    let text = percent::decode(raw).ok_or_else(|| RequestInfoError::Escape { got: raw.to_owned() })?;
    if text.is_empty() || text == "." || text == ".." {
        return Err(RequestInfoError::Segment { got: raw.to_owned() });
    }
    match text.chars().find(|c| matches!(c, '/' | '%' | '\\') || c.is_control()) {
        Some(got) => Err(RequestInfoError::Character { got }),
        None => Ok(text),
    }
}

fn unknown(path: &Path) -> RequestInfoError {
    RequestInfoError::UnknownPath { got: path.decoded() }
}

/// Discovery, version, health and OpenAPI. Not /metrics, /logs, /debug, /flagz, /statusz: they tell of the server, not of the cluster's
/// objects, and some of them of everybody's.
fn is_public(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["api" | "apis" | "version"]
            | ["openapi", "v2"]
            | ["openapi", "v3", ..]
            | [".well-known", "openid-configuration"]
            | ["openid", "v1", "jwks"]
            | ["healthz" | "livez" | "readyz", ..]
    )
}

fn non_resource(method: &Method, path: &Path) -> Result<RequestInfo, RequestInfoError> {
    let verb = match *method {
        Method::GET => Verb::Get,
        Method::HEAD => Verb::Head,
        _ => {
            return Err(RequestInfoError::Method { expected: "GET or HEAD", got: method.to_string() });
        }
    };
    Ok(RequestInfo {
        is_resource_request: false,
        non_resource_path: path.decoded(),
        verb,
        api_group: String::new(),
        api_version: String::new(),
        namespace: String::new(),
        resource: String::new(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    })
}

fn resource_or_discovery(
    method: &Method,
    path: &Path,
    group: &str,
    version: &str,
    rest: &[&str],
) -> Result<RequestInfo, RequestInfoError> {
    let (namespace, parts) = match rest {
        [] => return non_resource(method, path),
        // The verb would be this word whatever the method. No client has used these since 2016.
        [prefix @ ("watch" | "proxy"), ..] => {
            return Err(RequestInfoError::Prefix { got: (*prefix).to_owned() });
        }
        // A namespace's own subresources; in any group, as in the API server.
        ["namespaces", name] | ["namespaces", name, "status" | "finalize", ..] => (*name, rest),
        // It would be told apart from the namespace only by its empty name.
        ["namespaces", _, "namespaces", ..] => return Err(unknown(path)),
        ["namespaces", name, parts @ ..] => (*name, parts),
        parts => ("", parts),
    };
    if !namespace.is_empty() {
        check(Field::Namespace, namespace)?;
    }
    let mut parts = parts.iter().copied();
    let resource = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or_default();
    let subresource = parts.next().unwrap_or_default();
    check(Field::Resource, resource)?;
    if !subresource.is_empty() {
        check(Field::Subresource, subresource)?;
    }
    let mut info = RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb: verb(method, name)?,
        api_group: group.to_owned(),
        api_version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: name.to_owned(),
        proxy_path: String::new(),
    };
    let below: Vec<&str> = parts.collect();
    if info.is_proxy() {
        info.proxy_path = below.join("/");
        // A proxied path is the backend's own: `a` and `a/` are two of them.
        if path.trailing_slash && !below.is_empty() {
            info.proxy_path.push('/');
        }
    } else if !below.is_empty() {
        return Err(RequestInfoError::TooDeep { got: path.decoded() });
    }
    Ok(info)
}

fn verb(method: &Method, name: &str) -> Result<Verb, RequestInfoError> {
    let verb = match (method, name.is_empty()) {
        (&Method::POST, _) => Verb::Create,
        (&Method::GET, false) => Verb::Get,
        // List or watch, which the query tells.
        (&Method::GET, true) => Verb::List,
        (&Method::PUT, false) => Verb::Update,
        (&Method::PATCH, false) => Verb::Patch,
        (&Method::DELETE, false) => Verb::Delete,
        (&Method::DELETE, true) => Verb::DeleteCollection,
        // HEAD has no route on resources; any other method would have the empty verb, which no rule can name.
        _ => {
            return Err(RequestInfoError::Method {
                expected: if name.is_empty() { "GET, POST or DELETE" } else { "GET, POST, PUT, PATCH or DELETE" },
                got: method.to_string(),
            });
        }
    };
    Ok(verb)
}

fn with_options(mut info: RequestInfo, query: &Query) -> Result<RequestInfo, RequestInfoError> {
    let integers: &[&str] = match info.verb {
        Verb::List => &["limit", "timeoutSeconds"],
        Verb::Delete => &["gracePeriodSeconds"],
        Verb::DeleteCollection => &["limit", "timeoutSeconds", "gracePeriodSeconds"],
        Verb::Get | Verb::Watch | Verb::Create | Verb::Update | Verb::Patch => &[],
        Verb::Post | Verb::Put | Verb::Head | Verb::Options => &[],
    };
    for key in integers {
        if let Some(value) = query.get(key)
            && !is_integer(value)
        {
            return Err(option(key, "an integer", value));
        }
    }
    if !matches!(info.verb, Verb::List | Verb::DeleteCollection) {
        return Ok(info);
    }
    if let Some(value) = query.get("labelSelector")
        && !selector::is_label_selector(value)
    {
        return Err(option("labelSelector", "a label selector", value));
    }
    let name = match query.get("fieldSelector") {
        Some(value) => {
            selector::exact_name(value).map_err(|term| option("fieldSelector", "a field selector", &term))?
        }
        None => None,
    };
    if info.verb == Verb::DeleteCollection {
        return Ok(info);
    }
    if query.flag("watch") {
        info.verb = Verb::Watch;
    }
    if let Some(name) = name
        && !name.is_empty()
    {
        // What may not stand in a path may not be a name: the API server would forget it, or it would mislead whoever reads it.
        info.name = segment(&name.replace('%', "%25"))
            .map_err(|_| option("fieldSelector", "a field selector with a legal name", &name))?;
    }
    Ok(info)
}

fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && value.parse::<i64>().is_ok()
}

fn check_query(info: &RequestInfo, query: &Query) -> Result<(), RequestInfoError> {
    let exec = info.is_resource_request && info.is_connect() && info.subresource == "exec";
    if !exec && query.all(REPEATABLE).nth(1).is_some() {
        return Err(RequestInfoError::Option {
            key: REPEATABLE.to_owned(),
            expected: "one value",
            got: "several".to_owned(),
        });
    }
    // The API server knows only `All`, and refuses dryRun on a connect request; a policy must not be told of a dry run that is none.
    if let Some(value) = query.get("dryRun")
        && info.is_resource_request
        && (value != "All" || info.is_connect())
    {
        return Err(option("dryRun", "All, and not on a connection", value));
    }
    Ok(())
}

fn option(key: &str, expected: &'static str, got: &str) -> RequestInfoError {
    RequestInfoError::Option { key: key.to_owned(), expected, got: got.to_owned() }
}

#[derive(Clone, Copy)]
enum Field {
    Group,
    Version,
    Namespace,
    Resource,
    Subresource,
}

/// The words between the names. All real ones are DNS names; a segment that is none can be a trick only. Metrics of aggregated APIs
/// use any identifier as resource or subresource.
fn check(field: Field, got: &str) -> Result<(), RequestInfoError> {
    let identifier = || got.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let (name, expected, good) = match field {
        Field::Group => ("group", "a DNS name", selector::is_subdomain(got)),
        Field::Version => ("version", "a DNS label", got.len() <= 63 && selector::is_dns_label(got)),
        Field::Namespace => ("namespace", "a DNS label", got.len() <= 63 && selector::is_dns_label(got)),
        Field::Resource => ("resource", "letters, digits, '-', '_', '.'", identifier()),
        Field::Subresource => ("subresource", "letters, digits, '-', '_', '.'", identifier()),
    };
    if good {
        return Ok(());
    }
    Err(RequestInfoError::Field { field: name, expected, got: got.to_owned() })
}
