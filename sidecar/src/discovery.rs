//! The first calls of kubectl: `/api` and `/apis`.
//!
//! client-go reads them as raw bytes and never decodes the `Status` of a refusal: kubectl prints "unknown" and nothing of what we say. It
//! shows the body of an answer in plain text (`isTextResponse`, client-go `rest/request.go`), so here our refusals are one sentence.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use hyper::body::Incoming;
use shared::status::Status;
use shared_net::body::{BoxBody, collect_bounded, full};

/// As long as a refusal is.
const BOUND: usize = 64 << 10;
const WAIT: Duration = Duration::from_secs(5);

/// Whether a request is one of them.
pub(crate) fn is_first(request: &http::Request<Incoming>) -> bool {
    request.method() == Method::GET && matches!(request.uri().path(), "/api" | "/apis")
}

/// A refusal of ours as its sentence. Everything else, and what the API server refused, stays as it is.
pub(crate) async fn readable(answer: Response<BoxBody>) -> Response<BoxBody> {
    let json = HeaderValue::from_static("application/json");
    if answer.status().as_u16() < 400 || answer.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(bytes) = collect_bounded(body, BOUND, WAIT).await else {
        // It broke off, and so does this.
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, shared_net::body::empty());
    };
    let Some(sentence) = ours(&bytes) else { return Response::from_parts(parts, full(bytes)) };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, full(Bytes::from(sentence)))
}

fn ours(body: &[u8]) -> Option<String> {
    let status: Status = serde_json::from_slice(body).ok()?;
    let causes = status.details.as_ref()?.causes.iter();
    causes.into_iter().any(|cause| cause.reason.starts_with("Sallyport")).then_some(status.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    async fn text(answer: Response<BoxBody>) -> (HeaderValue, String) {
        let kind = answer.headers()[header::CONTENT_TYPE].clone();
        let bytes = collect_bounded(answer.into_body(), BOUND, WAIT).await.unwrap();
        (kind, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn our_refusal_is_its_sentence() {
        let (kind, said) = text(readable(Refusal::Session("it is over".to_owned()).reply(None)).await).await;
        assert_eq!(
            (kind.to_str().unwrap(), said.as_str()),
            ("text/plain; charset=utf-8", "control plane refused this runner's session: it is over")
        );
    }

    #[tokio::test]
    async fn the_api_servers_own_refusal_stays() {
        let body = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403}"#;
        let answer = Response::builder().status(403).header(header::CONTENT_TYPE, "application/json");
        let (kind, said) = text(readable(answer.body(full(body)).unwrap()).await).await;
        assert_eq!((kind.to_str().unwrap(), said.as_str()), ("application/json", body));
    }
}
