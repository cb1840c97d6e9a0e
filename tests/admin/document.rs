//! The OpenAPI document, the handbook and the formats of the metrics agree with what is served.

use crate::peers::{all_paths, quiet};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};

#[test]
fn the_document_describes_what_is_there() {
    let gateway = quiet();
    let document = gateway.api("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    // Every response is described, and every reference resolves.
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    found.push(to.clone());
                }
                map.values().for_each(|v| references(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 30, "{found:?}");
    for reference in found {
        let name = reference.rsplit('/').next().expect("a name");
        assert!(schemas.contains_key(name), "{reference}");
    }
    for (method, path) in all_paths(&document) {
        let operation = &document["paths"][&path][method.to_lowercase()];
        if ["/", "/nowhere"].contains(&&*path) {
            continue;
        }
        assert!(
            operation["summary"].is_string(),
            "{method} {path}: {operation}"
        );
        for status in ["400", "401", "403"] {
            let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
            assert_eq!(
                schema["$ref"], "#/components/schemas/Problem",
                "{method} {path} {status}"
            );
        }
    }
    gateway.end();
}

const HANDBOOK: &str = include_str!("../../docs/operations.md");

/// Returns the names in backticks in the first cells of the handbook's table with this name.
fn handbook(table: &str) -> Vec<String> {
    let (_, rest) = HANDBOOK
        .split_once(&format!("<!-- {table}:begin -->"))
        .expect("a begin");
    let (rows, _) = rest
        .split_once(&format!("<!-- {table}:end -->"))
        .expect("an end");
    let cells = rows.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut found: Vec<String> = cells
        .flat_map(|line| {
            let cell = line.split(" | ").next().expect("a cell");
            cell.split("`, `")
                .map(|name| name.trim_end_matches('`').to_owned())
        })
        .collect();
    found.sort();
    found
}

/// Returns the lines of `# TYPE` as a map from the family to its type.
fn types(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = lines.map(|line| line.split_once(' ').expect("a name and a kind"));
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let gateway = quiet();
    let ask = |headers: &str| gateway.admin_request("GET", "/metrics", headers, "");
    // The format that every parser understands, unless the client asks for another.
    for headers in [
        "",
        "Accept: */*\r\n",
        "Accept: text/plain;version=0.0.4\r\n",
    ] {
        let page = ask(headers);
        let kind = page.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(page.header("vary"), Some("accept, accept-encoding"));
        let types = types(&page.body);
        let samples = page.body.lines().filter(|line| !line.starts_with('#'));
        for sample in samples {
            let end = sample.find(['{', ' ']).expect("a name");
            let name = &sample[..end];
            // A histogram has three names of one family.
            let family = ["", "_bucket", "_sum", "_count"]
                .into_iter()
                .filter_map(|ending| name.strip_suffix(ending))
                .find_map(|family| types.get(family));
            assert!(family.is_some(), "{name} is of no family with a type");
        }
        assert!(
            types
                .values()
                .all(|kind| kind != "unknown" && kind != "untyped")
        );
        assert!(!page.body.contains("# EOF") && !page.body.contains("# UNIT"));
    }
    let newer = ask("Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    let kind = newer.header("content-type");
    assert_eq!(
        kind,
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(newer.body.ends_with("# EOF\n"));
    // Compressed only if the client accepts it.
    let mut stream = gateway.admin_stream();
    let request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("room");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    assert!(String::from_utf8_lossy(head).contains("content-encoding: gzip"));
    let mut page = String::new();
    let mut decoder = flate2::read::GzDecoder::new(body);
    decoder
        .read_to_string(&mut page)
        .expect("what was compressed");
    assert_eq!(types(&page), types(&ask("").body));
    assert!(
        ask("Accept-Encoding: gzip;q=0\r\n")
            .header("content-encoding")
            .is_none()
    );
    gateway.end();
}

#[test]
fn the_handbook_has_every_metric_and_every_endpoint_and_no_other() {
    let gateway = quiet();
    let page = gateway.metrics().0;
    let mut metrics: Vec<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned()))
        .collect();
    metrics.sort();
    assert_eq!(metrics, handbook("metrics"));
    let document = gateway.api("/api/v1/openapi.json");
    let mut endpoints: Vec<String> = all_paths(&document)
        .into_iter()
        .map(|(method, path)| format!("{method} {path}"))
        .filter(|endpoint| endpoint != "GET /nowhere")
        .collect();
    endpoints.sort();
    assert_eq!(endpoints, handbook("endpoints"));
    gateway.end();
}
