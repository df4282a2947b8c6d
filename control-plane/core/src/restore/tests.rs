use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::*;
use crate::finish::{FinishError, Finished, Reads, finish};
use crate::mask::{LAST_APPLIED, MaskContext, PlaceholderKey, PlaceholderKeys};
use crate::request::Request;
use crate::version_pin::VersionPin;

mod derived;
mod properties;
mod refusals;
mod releases;
mod tried;
mod writes;

const SECRET: &str = "/api/v1/namespaces/default/secrets/db";
const PASSWORD: &str = "canary-correct-horse";

fn keys() -> PlaceholderKeys {
    PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None)
}

fn context_with(keys: PlaceholderKeys, path: &str) -> MaskContext {
    let info = request("GET", path, "", "").info().clone();
    MaskContext::response(Arc::new(keys), "prod", &info)
}

fn context(path: &str) -> MaskContext {
    context_with(keys(), path)
}

fn request(method: &str, target: &str, content_type: &str, body: impl Into<Bytes>) -> Request {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    }
    Request::parse(&method.parse().unwrap(), &target.parse().unwrap(), &headers, body.into()).unwrap()
}

/// In the order of the API server's own structs, which serde_json doesn't keep.
fn typed(object: &Value) -> String {
    let members = |object: &Value, first: &[&str]| {
        let object = object.as_object().unwrap();
        let rest = object.keys().map(String::as_str).filter(|name| !first.contains(name));
        let names: Vec<&str> = first.iter().copied().filter(|name| object.contains_key(*name)).chain(rest).collect();
        let member = |name: &&str| {
            let value = match *name {
                "metadata" => typed(&object[*name]),
                _ => object[*name].to_string(),
            };
            format!("{}:{value}", Value::from(*name))
        };
        format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(","))
    };
    members(object, &["kind", "apiVersion", "metadata", "name", "namespace"])
}

fn secret(data: &Value) -> Value {
    json!({
        "kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": data,
        "metadata": {"name": "db", "namespace": "default", "uid": "u", "resourceVersion": "5"},
    })
}

/// The Secret of these tests, as it is.
fn live() -> Value {
    secret(&json!({"password": STANDARD.encode(PASSWORD), "user": "YWRtaW4="}))
}

fn annotated(mut object: Value, name: &str, text: &str) -> Value {
    object["metadata"]["annotations"] = json!({name: text});
    object
}

fn read(object: &Value, context: &MaskContext) -> ReadObject {
    ReadObject::new(typed(object).as_bytes(), context).unwrap()
}

/// As a client is shown it.
fn shown(object: &Value) -> Value {
    read(object, &context(SECRET)).masked().clone()
}

fn decoded(placeholder: &Value) -> String {
    String::from_utf8(STANDARD.decode(placeholder.as_str().unwrap()).unwrap()).unwrap()
}

/// What is sent while this is the live object.
fn finished(request: &Request, live: Option<&Value>) -> Result<Finished, FinishError> {
    let carried = Carried::of(request).map_err(FinishError::Restore)?;
    let path = carried.needed().unwrap_or_else(|| request.info()).path();
    let context = context(&path);
    let live = live.map(|live| read(live, &context));
    finish(
        request.wire().clone(),
        request.body(),
        &carried,
        &VersionPin::None,
        Reads { live: live.as_ref(), more: &[] },
        &context,
    )
}

fn sent(request: &Request, live: &Value) -> Value {
    serde_json::from_slice(finished(request, Some(live)).unwrap().request.body()).unwrap()
}
