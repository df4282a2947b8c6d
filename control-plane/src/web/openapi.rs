//! The OpenAPI 3.1 document: made from [`ROUTES`], with the schemas of `schemas.json`. Every schema of ours is closed, so a member
//! that nobody wrote down fails the tests.

use serde_json::{Map, Value, json};

use super::routes::{Call, ROUTES, Route};

/// The schemas, by name.
const SCHEMAS: &str = include_str!("schemas.json");

/// The whole document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for route in &ROUTES {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(route.method.as_str().to_ascii_lowercase(), operation(route));
        }
    }
    // The text is ours, and a test reads it; without schemas the document still lists the routes.
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Sallyport",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Approvals, sessions, records. Over HTTPS with an OIDC token of an approvers' issuer, or over the local socket, where the kernel says who calls.",
        },
        "security": [{ "oidc": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "oidc": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "schemas": schemas,
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if route.path.contains("{id}") {
        parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": reference("Id") }));
    }
    for (name, schema) in route.query {
        let schema = match *schema {
            "boolean" => json!({ "type": "boolean" }),
            "integer" => json!({ "type": "integer", "minimum": 0 }),
            named => reference(named),
        };
        parameters.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }));
    }
    let media_type = if route.call == Call::Events { "text/event-stream" } else { "application/json" };
    let problem = |why: &str| json!({ "description": why, "content": { "application/json": { "schema": reference("Problem") } } });
    let mut operation = json!({
        "operationId": format!("{:?}", route.call),
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer", "content": { media_type: { "schema": reference(route.answer) } } },
            "401": problem("No credential that counts"),
            "403": problem("A credential that may not do this"),
            "default": problem("A problem"),
        },
    });
    if let (Some(body), Some(operation)) = (route.body, operation.as_object_mut()) {
        let content = json!({ "application/json": { "schema": reference(body) } });
        operation
            .insert("requestBody".to_owned(), json!({ "required": route.call != Call::Approve, "content": content }));
    }
    operation
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members of a schema whose form is not ours to close.
    const OPEN: [&str; 2] = ["Document", "OpenApi"];

    fn closed(place: &str, schema: &Value) {
        let object = schema
            .get("type")
            .is_some_and(|kind| kind == "object" || kind.as_array().is_some_and(|all| all.contains(&json!("object"))));
        if object {
            assert!(schema.get("additionalProperties").is_some_and(|more| more != &json!(true)), "{place} is open");
        }
        if let (Some(properties), Some(required)) = (schema.get("properties"), schema.get("required")) {
            for name in required.as_array().unwrap() {
                assert!(
                    properties.get(name.as_str().unwrap()).is_some(),
                    "{place} requires {name}, which it does not have"
                );
            }
        }
        match schema {
            Value::Object(members) => {
                members.iter().for_each(|(name, inner)| closed(&format!("{place}/{name}"), inner))
            }
            Value::Array(items) => items.iter().for_each(|inner| closed(place, inner)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_schema_is_closed_and_every_reference_leads_somewhere() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.len() > 30);
        for (name, schema) in schemas.iter().filter(|(name, _)| !OPEN.contains(&name.as_str())) {
            closed(name, schema);
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for name in schemas.keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "nothing has a {name}");
        }
    }
}
