//! What is asked of the API server where objects are hidden, and what is said of one that is.

use http::Method;
use shared::status::{Details, Reason, Status};

use super::Hidden;
use crate::request::WireRequest;
use crate::request_info::{RequestInfo, Verb};

/// Why such a request is not sent. `Display` is the sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// Rows that nobody can tell the objects of.
    #[error("policy hides objects there, and a table without their metadata (includeObject=None) can't be judged")]
    NoObject,
    /// Our own fault.
    #[error("the request can't be read")]
    Request,
}

impl Hidden {
    /// The request that is sent instead.
    ///
    /// - In JSON, which is what the filter reads; each client takes it.
    /// - With a selector of the labels that are shown, in front of the client's own, which can only narrow it.
    /// - Where namespaces or names are hidden, without `limit`: a page would be short by what is hidden, and `continue` has the name of the
    ///   last object in it, shown or not. A server may always answer with everything at once (meta/v1 `ListOptions`).
    ///
    /// # Errors
    /// [`NarrowError`]: nothing may be sent.
    pub fn narrow(&self, request: WireRequest) -> Result<WireRequest, NarrowError> {
        if self.is_empty() {
            return Ok(request);
        }
        let (info, query) = request.read().map_err(|_| NarrowError::Request)?;
        // What is below an object is shown only where that one isn't hidden ([`asked_live`]).
        if !info.is_read() || !info.subresource.is_empty() {
            return Ok(request);
        }
        if query.get("includeObject") == Some("None") {
            return Err(NarrowError::NoObject);
        }
        let mut query = query;
        if !self.places.is_empty() && info.verb == Verb::List {
            query = query.without(&["limit"]);
        }
        if !self.labels.is_empty() && matches!(info.verb, Verb::List | Verb::Watch) {
            let own = query.get("labelSelector").filter(|own| !own.is_empty()).map(str::to_owned);
            let selector: Vec<String> = self.labels.iter().map(super::Requirement::complement).chain(own).collect();
            query = query.with("labelSelector", selector.join(","));
        }
        Ok(WireRequest { path_and_query: crate::request::path_and_query(&info, &query), ..request.in_json() })
    }
}

/// The object that has to be read to know whether a request is about one that is hidden; `None`: there is no one object, or the answer
/// shows it.
pub fn asked_live(info: &RequestInfo, wire: &WireRequest) -> Option<RequestInfo> {
    let shown = info.verb == Verb::Get && info.subresource.is_empty() && wire.method() == Method::GET;
    if shown { None } else { info.live_object() }
}

/// What the API server says of an object that isn't there (k8s.io/apimachinery pkg/api/errors `NewNotFound`).
pub fn not_found(info: &RequestInfo) -> Vec<u8> {
    let RequestInfo { resource, api_group, name, .. } = info;
    let word = crate::request_info::resource_word(resource, api_group, "");
    let details =
        Details { name: name.clone(), group: api_group.clone(), kind: resource.clone(), ..Details::default() };
    let status = Status::failure(Reason::NotFound, format!("{word} \"{name}\" not found")).with_details(details);
    let mut text = status.to_json();
    text.push(b'\n');
    text
}
