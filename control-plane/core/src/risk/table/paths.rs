//! Non-resource paths: discovery and health are free, the rest tells or changes too much of the API server itself.

use super::Row;
use crate::request_info::Verb;
use crate::risk::verbs::{Verbs, sets};

const READ: Verbs = sets::get.or(Verbs::of(Verb::Head)).or(Verbs::of(Verb::Options));

const fn path_row(name: &'static str, resource: &'static str, verbs: Verbs, risk: u8, fact: &'static str) -> Row {
    Row { name, group: "", resource, verbs, risk, fact }
}

const DISCOVERY: &str = "asks what the API server offers";

/// A path that ends in `*` stands for everything below it. The first that fits counts.
pub(super) const ROWS: &[Row] = &[
    path_row("table/paths:discovery", "/", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/api", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/api/*", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/apis", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/apis/*", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/openapi/*", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/version", READ, 0, DISCOVERY),
    path_row("table/paths:discovery", "/version/", READ, 0, DISCOVERY),
    path_row("table/paths:health", "/healthz", READ, 0, "asks for health"),
    path_row("table/paths:health", "/healthz/*", READ, 0, "asks for health"),
    path_row("table/paths:health", "/livez", READ, 0, "asks for health"),
    path_row("table/paths:health", "/livez/*", READ, 0, "asks for health"),
    path_row("table/paths:health", "/readyz", READ, 0, "asks for health"),
    path_row("table/paths:health", "/readyz/*", READ, 0, "asks for health"),
    path_row("table/paths:issuer", "/.well-known/openid-configuration", READ, 0, "reads public keys"),
    path_row("table/paths:issuer", "/openid/v1/jwks", READ, 0, "reads public keys"),
    path_row(
        "table/paths:metrics",
        "/metrics",
        READ,
        70,
        "reads the API server's metrics: names, paths, users' agents",
    ),
    path_row(
        "table/paths:metrics",
        "/metrics/*",
        READ,
        70,
        "reads the API server's metrics: names, paths, users' agents",
    ),
    path_row("table/paths:logs", "/logs", READ, 85, "reads log files of the API server's host"),
    path_row("table/paths:logs", "/logs/*", READ, 85, "reads log files of the API server's host"),
    path_row("table/paths:debug", "/debug/*", sets::any, 90, "reads the API server's memory or changes its flags"),
    path_row("table/paths:flags", "/flagz", READ, 70, "reads the API server's flags"),
    path_row("table/paths:flags", "/statusz", READ, 70, "reads the API server's state"),
    path_row("table/paths:flags", "/configz", READ, 70, "reads the API server's configuration"),
    path_row("table/paths:other", "*", sets::any, 80, "uses a path of the API server that nobody described"),
];

static OTHER: Row =
    path_row("table/paths:other", "*", sets::any, 80, "uses a path of the API server that nobody described");

/// The row of a non-resource path.
pub(crate) fn path(path: &str, verb: Verb) -> &'static Row {
    let fits = |row: &Row| {
        row.verbs.has(verb)
            && match row.resource.strip_suffix('*') {
                Some(below) => path.starts_with(below),
                None => row.resource == path,
            }
    };
    ROWS.iter().find(|row| fits(row)).unwrap_or(&OTHER)
}
