//! Lists of the API: filters, order, and pages bounded by bytes.

use crate::peers::{app, glasses, quiet};
use crate::sockets::{Client, Gateway, eventually};
use serde_json::{Value, json};

/// Starts a gateway with 25 glasses, `u00` to `u24`, and five apps of `u00`, `p0` to `p4`.
fn crowd() -> (Gateway, Vec<Client>) {
    let gateway = quiet();
    let glasses = (0..25).map(|i| glasses(&gateway, &format!("u{i:02}")));
    let apps = (0..5).map(|i| app(&gateway, "u00", &format!("p{i}")));
    let clients = glasses.chain(apps).collect();
    (gateway, clients)
}

/// Asserts that following `next` lists each of the 25 glasses once, and in the order of their age.
fn assert_paged(gateway: &Gateway, sort: &str, order: &str) {
    let (mut seen, mut since, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path =
            format!("/api/v1/connections?sort={sort}&order={order}&limit=7&class=glasses{after}");
        let page = gateway.api(&path);
        let rows = page["connections"].as_array().expect("rows");
        assert!(rows.len() <= 7);
        assert_eq!(page["matched"], 25);
        seen.extend(rows.iter().map(|c| c["id"].to_string()));
        since.extend(rows.iter().map(|c| c["since"].to_string()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 25, "{sort} {order}");
    let ids: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(ids.len(), 25, "{sort} {order}");
    if sort == "age" {
        // Ages are taken at different moments, and opening times are rounded: only the
        // first and the last are compared.
        let (first, last) = (&since[0], &since[24]);
        let ordered = match order {
            "desc" => first <= last,
            _ => first >= last,
        };
        assert!(ordered, "{order}: {since:?}");
    }
}

#[test]
fn connections_are_filtered() {
    let (gateway, clients) = crowd();
    let matched = |parameters: &str| {
        let list = gateway.api(&format!("/api/v1/connections?{parameters}"));
        assert_eq!(
            list["connections"].as_array().map(|c| c.len() as u64),
            list["matched"].as_u64(),
            "one page: {parameters}"
        );
        list["matched"].as_u64().expect("a number")
    };
    assert_eq!(matched("limit=1000"), 30);
    assert_eq!(matched("class=glasses"), 25);
    assert_eq!(matched("class=app"), 5);
    assert_eq!(matched("user=u00"), 6);
    assert_eq!(matched("user=u00&class=glasses"), 1);
    assert_eq!(matched("package=p3"), 1);
    assert_eq!(matched("user=u0"), 0);
    assert_eq!(matched("state=healthy"), 30);
    assert_eq!(matched("state=suspect"), 0);
    assert_eq!(matched("address=127.0.0.1"), 30);
    assert_eq!(matched("address=127.0.0.0/8"), 30);
    assert_eq!(matched("address=127.0.0.2"), 0);
    assert_eq!(matched("address=::1"), 0);
    // A connection with an incomplete request counts, too.
    let mut half = Client::connect(gateway.addr);
    half.write(b"GET / HTTP/1.1\r\n");
    eventually("a connection that opens", || {
        (matched("state=opening") == 1).then_some(())
    });
    drop(clients);
    gateway.end();
}

#[test]
fn connections_are_sorted_and_paged() {
    let (gateway, clients) = crowd();
    for sort in ["age", "silence", "rtt", "pending"] {
        for order in ["desc", "asc"] {
            assert_paged(&gateway, sort, order);
        }
    }
    drop(clients);
    gateway.end();
}

#[test]
fn sessions_are_paged_by_user() {
    let (gateway, clients) = crowd();
    let (mut users, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.api(&format!("/api/v1/sessions?limit=4{after}"));
        assert_eq!(page["total"], 25);
        let sessions = page["sessions"].as_array().expect("sessions");
        users.extend(
            sessions
                .iter()
                .map(|s| s["user"].as_str().expect("a user").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).map(|i| format!("u{i:02}")).collect();
    assert_eq!(users, expected);
    let session = gateway.api("/api/v1/sessions/u00");
    assert_eq!(session["apps"].as_array().map(Vec::len), Some(5));
    assert_eq!(session["glasses"]["state"], "healthy");
    assert_eq!(gateway.act("GET", "/api/v1/sessions/nobody", "").0, 404);
    drop(clients);
    gateway.end();
}

#[test]
fn ended_connections_are_filtered_and_paged_newest_first() {
    let (gateway, clients) = crowd();
    drop(clients);
    eventually("all have ended", || {
        (gateway.api("/api/v1/closed?limit=1")["remembered"].as_u64() >= Some(30)).then_some(())
    });
    let (mut numbers, mut before) = (Vec::new(), String::new());
    loop {
        let page = gateway.api(&format!("/api/v1/closed?limit=4&class=glasses{before}"));
        let closed = page["closed"].as_array().expect("records");
        numbers.extend(
            closed
                .iter()
                .map(|c| c["number"].as_u64().expect("a number")),
        );
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(numbers.len(), 25);
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    assert_eq!(
        gateway.api("/api/v1/closed?package=p3")["closed"][0]["user"],
        "u00"
    );
    assert_eq!(
        gateway.api("/api/v1/closed?cause=stale")["closed"],
        json!([])
    );
    gateway.end();
}

/// The largest page, in bytes: the limit for its entries, plus some for the rest.
const PAGE_MAX: usize = (1 << 20) + 1_000;

/// Returns all entries of a list, page by page, and the number of pages.
#[track_caller]
fn all_pages(gateway: &Gateway, path: &str, list: &str, cursor: &str) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut next) = (Vec::new(), 0, String::new());
    loop {
        let answer = gateway.admin_request("GET", &format!("{path}{next}"), "", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.body.len() <= PAGE_MAX,
            "{path}: {}",
            answer.body.len()
        );
        let mut page: Value = serde_json::from_str(&answer.body).expect("JSON");
        pages += 1;
        let found = page[list].as_array_mut().expect("a list");
        assert!(!found.is_empty(), "{path}: page {pages}");
        entries.append(found);
        next = match &page["next"] {
            Value::Null => return (entries, pages),
            Value::String(next) => format!("&{cursor}={next}"),
            next => format!("&{cursor}={next}"),
        };
        next = next.replace('"', "%22");
    }
}

/// Starts a gateway that waits long for lost apps.
fn patient() -> Gateway {
    Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "20000"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
        ("APP_GRACE_MS", "600000"),
    ])
}

/// Returns a name that doubles its size as JSON.
fn long_user(n: usize) -> String {
    format!("u{n:02}{}", "%22".repeat(250))
}

fn long_package(n: usize) -> String {
    format!("p{n:02}{}", "%22".repeat(250))
}

#[test]
fn a_page_is_bounded_by_bytes_and_the_next_goes_on_where_it_ended() {
    let gateway = patient();
    let crowd = |users: std::ops::Range<usize>| -> Vec<Client> {
        let apps = users.flat_map(|user| (0..64).map(move |app| (user, app)));
        apps.map(|(u, p)| app(&gateway, &long_user(u), &long_package(p)))
            .collect()
    };
    let is_once = |entries: &[Value], count: usize, key: &str| {
        assert_eq!(entries.len(), count);
        let keys: std::collections::BTreeSet<_> =
            entries.iter().map(|entry| entry[key].to_string()).collect();
        assert_eq!(keys.len(), count, "nothing is skipped, nothing comes twice");
    };
    let first = crowd(0..14);
    let (found, pages) = all_pages(
        &gateway,
        "/api/v1/connections?limit=1000&sort=age",
        "connections",
        "after",
    );
    is_once(&found, 896, "id");
    assert_eq!(pages, 2);
    // Eight at a time use no more memory than eight pages.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                all_pages(
                    &gateway,
                    "/api/v1/connections?limit=1000",
                    "connections",
                    "after",
                )
            });
        }
    });
    drop(first);
    eventually("all have ended", || {
        (gateway.api("/api/v1/closed?limit=1")["remembered"] == 896).then_some(())
    });
    let (found, pages) = all_pages(&gateway, "/api/v1/closed?limit=1000", "closed", "before");
    is_once(&found, 896, "id");
    assert_eq!(pages, 2);
    drop(crowd(14..28));
    eventually("these, too", || {
        (gateway.api("/api/v1/closed?limit=1")["remembered"] == 1_792).then_some(())
    });
    let (found, pages) = all_pages(&gateway, "/api/v1/sessions?limit=1000", "sessions", "after");
    is_once(&found, 28, "user");
    assert_eq!(pages, 2);
    for session in &found {
        assert_eq!(session["apps"].as_array().map(Vec::len), Some(64));
        assert_eq!(session["apps_total"], 64);
        assert_eq!(session["apps_next"], Value::Null);
    }
    gateway.end();
}

#[test]
fn a_session_shows_64_apps_and_the_rest_on_the_next_page() {
    let gateway = patient();
    let apps: Vec<Client> = (0..64)
        .map(|n| app(&gateway, &long_user(3), &long_package(n)))
        .collect();
    // One more than a list shows.
    drop(app(&gateway, &long_user(3), "zz"));
    let list = gateway.api(&format!("/api/v1/sessions?limit=1&after={}", long_user(2)));
    let session = &list["sessions"][0];
    assert_eq!(session["apps"].as_array().map(Vec::len), Some(64));
    assert_eq!(session["apps_total"], 65);
    let next = session["apps_next"].as_str().expect("there is one more");
    let next = next.replace('"', "%22");
    let rest = gateway.api(&format!("/api/v1/sessions/{}?after={next}", long_user(3)));
    assert_eq!(rest["apps"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&rest["apps"][0]["package"], &rest["apps_next"]),
        (&json!("zz"), &Value::Null)
    );
    let some = gateway.api(&format!("/api/v1/sessions/{}?limit=10", long_user(3)));
    assert_eq!(some["apps"].as_array().map(Vec::len), Some(10));
    assert_eq!(some["apps_next"], some["apps"][9]["package"]);
    drop(apps);
    gateway.end();
}

#[test]
fn blocks_are_listed_a_page_at_a_time() {
    let gateway = quiet();
    let clients: Vec<Client> = (0..9)
        .map(|n| glasses(&gateway, &format!("u{n}")))
        .collect();
    for n in 0..9 {
        let id = gateway.connection(&format!("user=u{n}"))["id"].clone();
        let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
        let (status, _) = gateway.act(
            "POST",
            &path,
            &format!(r#"{{"block_ms":{}}}"#, 600_000 - n * 1_000),
        );
        assert_eq!(status, 200);
    }
    assert_eq!(
        gateway.api("/api/v1/blocks")["blocks"]
            .as_array()
            .map(Vec::len),
        Some(9)
    );
    let (blocks, pages) = all_pages(&gateway, "/api/v1/blocks?limit=4", "blocks", "after");
    let users: Vec<_> = blocks
        .iter()
        .map(|block| block["user"].as_str().expect("a user"))
        .collect();
    assert_eq!(
        users,
        ["u8", "u7", "u6", "u5", "u4", "u3", "u2", "u1", "u0"]
    );
    assert_eq!(pages, 3);
    assert_eq!(gateway.act("GET", "/api/v1/blocks?after=x", "").0, 400);
    drop(clients);
    gateway.end();
}
