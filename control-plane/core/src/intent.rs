//! The intent: what a hold and an approval are bound to. Two requests that would do the same have the same intent digest, also where a
//! client changes its way of asking (exec as a WebSocket GET, then as a SPDY POST; the same object as JSON, then as protobuf).

use crate::attributes::Attributes;
use crate::body::{self, Encoding};
use crate::digest::{Digest, DigestKey};
use crate::query::Query;
use crate::request::Request;
use crate::request_info::{RequestInfo, Verb};

/// Query options that say how to answer, not what to do: the client's own patience, and the layout of the answer.
/// Everything else counts, also options that look harmless: an approver saw it, and so it is what was approved.
const NOT_INTENT: [&str; 2] = ["timeout", "pretty"];

/// What somebody wants done, in one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    cluster: String,
    info: RequestInfo,
    query: Query,
    /// How the body is to be understood: the same text means different things as merge patch and as JSON Patch.
    form: &'static str,
    body: Vec<u8>,
}

impl Intent {
    /// The intent of a request on a cluster.
    pub fn new(cluster: &str, request: &Request) -> Self {
        let mut info = request.info().clone();
        // Only where the method says nothing: a proxied POST is not a proxied GET.
        if info.is_connect() && !info.is_proxy() {
            info.verb = Verb::Create;
        }
        Self {
            cluster: cluster.to_owned(),
            info,
            query: request.query().without(&NOT_INTENT),
            form: request.body().map_or("none", |body| form(body.encoding)),
            body: request.body().map(|body| body::canonical(&body.value)).unwrap_or_default(),
        }
    }

    /// The intent of judged attributes.
    pub fn of(attributes: &Attributes) -> Self {
        Self::new(attributes.cluster(), attributes.request())
    }

    /// The intent digest, under the key of the hold that it is compared with.
    pub fn digest(&self, key: &DigestKey) -> Digest {
        let info = &self.info;
        let resource = if info.is_resource_request { "resource" } else { "path" };
        let query = self.query.canonical();
        key.digest(&[
            b"sallyport intent 1",
            self.cluster.as_bytes(),
            resource.as_bytes(),
            info.non_resource_path.as_bytes(),
            info.verb.as_str().as_bytes(),
            info.api_group.as_bytes(),
            info.api_version.as_bytes(),
            info.namespace.as_bytes(),
            info.resource.as_bytes(),
            info.subresource.as_bytes(),
            info.name.as_bytes(),
            info.proxy_path.as_bytes(),
            query.as_bytes(),
            self.form.as_bytes(),
            &self.body,
        ])
    }
}

const fn form(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json | Encoding::Yaml | Encoding::Protobuf => "object",
        Encoding::JsonPatch => "json-patch",
        Encoding::MergePatch => "merge-patch",
        Encoding::StrategicMergePatch => "strategic-merge-patch",
        Encoding::ApplyPatch => "apply-patch",
    }
}

#[cfg(test)]
mod tests;
