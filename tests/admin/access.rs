//! Access to the admin listener: tokens, origins and probes.

use crate::peers::{TOKEN, all_paths, quiet};
use crate::sockets::Gateway;
use serde_json::Value;

#[test]
fn nothing_is_reached_without_the_token() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let document = gateway.admin_request("GET", "/api/v1/openapi.json", &bearer, "");
    assert_eq!(document.status, 200);
    let document: Value = serde_json::from_str(&document.body).expect("JSON");
    let wrong = format!("Authorization: Bearer {}x\r\n", &TOKEN[..31]);
    let short = format!("Authorization: Bearer {}\r\n", &TOKEN[..31]);
    let basic = format!("Authorization: Basic {TOKEN}\r\n");
    let refused = |method: &str, path: &str| {
        for header in [
            "",
            "Authorization: Bearer \r\n",
            "Authorization:\r\n",
            &wrong,
            &short,
            &basic,
        ] {
            let response = gateway.admin_request(method, path, header, "");
            assert_eq!(
                response.status, 401,
                "{method} {path} {header:?}: {response:?}"
            );
            assert!(
                response.header("www-authenticate").is_some(),
                "{response:?}"
            );
        }
    };
    let paths: Vec<(String, String)> = all_paths(&document)
        .into_iter()
        .map(|(method, path)| {
            let path = path.replace("{id}", "1.1").replace("{class}", "app");
            (method, path.replace("{user}", "u"))
        })
        .collect();
    // Except the probes, which reveal nothing else.
    let paths: Vec<_> = paths
        .into_iter()
        .filter(|(_, path)| !matches!(&**path, "/healthz" | "/readyz"))
        .collect();
    // In parallel, because wrong tokens are delayed.
    std::thread::scope(|scope| {
        for (method, path) in &paths {
            scope.spawn(|| refused(method, path));
        }
    });
    for (method, path) in &paths {
        // tests/admin/page.rs and events.rs read the endless streams.
        if !["/api/v1/live", "/api/v1/events"].contains(&&**path) {
            let response = gateway.admin_request(method, path, &bearer, "");
            assert_ne!(response.status, 401, "{method} {path}: {response:?}");
        }
    }
    // A token in the address does not count, because addresses are logged.
    let path = format!("/api/v1/overview?token={TOKEN}");
    assert_eq!(gateway.admin_request("GET", &path, "", "").status, 401);
    let log = gateway.log.clone();
    gateway.end();
    let log = log.lock().expect("no panic");
    assert!(!log.iter().any(|line| line.contains(TOKEN)), "{log:?}");
}

#[test]
fn a_page_of_another_origin_can_neither_read_nor_act() {
    let gateway = quiet();
    let own = gateway.admin.expect("an address").to_string();
    let json_body = "Content-Type: application/json\r\n";
    for headers in [
        "Origin: http://evil.example\r\n".to_owned(),
        "Origin: null\r\n".to_owned(),
        format!("Origin: http://{own}.evil.example\r\n"),
        "Origin: http://localhost:3000\r\n".to_owned(),
        "Sec-Fetch-Site: cross-site\r\n".to_owned(),
        "Sec-Fetch-Site: same-site\r\n".to_owned(),
    ] {
        for (method, path, body) in [
            ("GET", "/api/v1/overview", ""),
            ("GET", "/metrics", ""),
            ("GET", "/api/v1/live", ""),
            ("GET", "/api/v1/events", ""),
            ("PUT", "/api/v1/log-level", r#"{"level":"trace"}"#),
            ("POST", "/api/v1/drain", r#"{"class":"all"}"#),
            ("OPTIONS", "/api/v1/drain", ""),
        ] {
            let response =
                gateway.admin_request(method, path, &format!("{headers}{json_body}"), body);
            assert_eq!(
                response.status, 403,
                "{method} {path} {headers}: {response:?}"
            );
            assert!(response.header("access-control-allow-origin").is_none());
        }
    }
    // DNS rebinding: the page's own name resolves to us, so the browser considers it the same
    // origin.
    for host in [
        "evil.example",
        "evil.example:9002",
        "localhost.evil.example",
        "",
    ] {
        let request =
            format!("GET /api/v1/overview HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.admin_raw(request.as_bytes()).status, 403, "{host}");
    }
    // A form can send a body without a preflight request, but not as JSON.
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let all = r#"{"class":"all"}"#;
        let response = gateway.admin_request("POST", "/api/v1/drain", kind, all);
        assert_eq!(response.status, 415, "{kind}: {response:?}");
    }
    // Our own pages, and clients that are not browsers.
    for headers in [
        String::new(),
        format!("Origin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n"),
        "Sec-Fetch-Site: none\r\n".to_owned(),
    ] {
        assert_eq!(
            gateway
                .admin_request("GET", "/api/v1/overview", &headers, "")
                .status,
            200,
            "{headers}"
        );
    }
    for host in ["localhost", "localhost:9002", "127.0.0.1", "[::1]:9002"] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.admin_raw(request.as_bytes()).status, 200, "{host}");
    }
    assert_eq!(
        gateway.api("/api/v1/log-level")["level"],
        "info",
        "nothing was done"
    );
    gateway.end();
}

/// Requests of load balancers and orchestrators: any Host or none, HTTP/1.0, OPTIONS, no token.
#[test]
fn probes_are_answered_without_a_token_and_nothing_else_is() {
    let open = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_HOSTS", "Gate.example.org,inner")]);
    let closed = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let ask = |gateway: &Gateway, method: &str, path: &str, rest: &str| {
        let request = format!("{method} {path} {rest}Connection: close\r\n\r\n");
        gateway.admin_raw(request.as_bytes()).status
    };
    for gateway in [&open, &closed] {
        for path in ["/healthz", "/readyz"] {
            for method in ["GET", "HEAD", "OPTIONS"] {
                for rest in [
                    "HTTP/1.0\r\n",
                    "HTTP/1.0\r\nHost: pod.example\r\n",
                    "HTTP/1.1\r\nHost: 10.1.2.3:9002\r\n",
                    "HTTP/1.1\r\nHost: pod.example:9002\r\n",
                    "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n",
                ] {
                    let status = ask(gateway, method, path, rest);
                    assert_eq!(status, 200, "{method} {path} {rest}");
                }
            }
            let post = ask(gateway, "POST", path, "HTTP/1.1\r\nHost: x\r\n");
            assert_ne!(post, 200, "POST {path}");
        }
    }
    // With the token any Host is accepted, but exactly one.
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (host, status) in [
        ("Host: pulsegate_upstream\r\n", 200),
        ("Host: a.example\r\n", 200),
        ("", 400),
    ] {
        let rest = format!("HTTP/1.1\r\n{host}{bearer}");
        assert_eq!(ask(&closed, "GET", "/metrics", &rest), status, "{host}");
    }
    // Without a token, only the names of this listener.
    for (host, status) in [
        ("gate.example.org", 200),
        ("GATE.EXAMPLE.ORG:9002", 200),
        ("inner", 200),
        ("evil.example", 403),
        ("gate.example.org.evil.example", 403),
        ("", 403),
    ] {
        let rest = format!("HTTP/1.1\r\nHost: {host}\r\n");
        assert_eq!(ask(&open, "GET", "/metrics", &rest), status, "{host}");
        assert_eq!(ask(&open, "GET", "/", &rest), status, "{host}: the page");
    }
    assert_eq!(ask(&open, "GET", "/metrics", "HTTP/1.0\r\n"), 400);
    open.end();
    closed.end();
}

/// nginx sends its upstream's name as the Host, which differs from the Origin of the page.
#[test]
fn a_page_behind_a_proxy_may_act() {
    let act = |gateway: &Gateway, headers: &str| {
        let body = r#"{"level":"info"}"#;
        let request = format!(
            "PUT /api/v1/log-level HTTP/1.1\r\nHost: 127.0.0.1:9002\r\n\
             Origin: https://ops.example.org\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        gateway.admin_raw(request.as_bytes()).status
    };
    let open = quiet();
    assert_eq!(act(&open, "Sec-Fetch-Site: same-origin\r\n"), 200);
    for headers in [
        "",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        assert_eq!(act(&open, headers), 403, "{headers}");
    }
    open.end();
    let closed = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(act(&closed, &bearer), 200);
    assert_eq!(
        act(&closed, &format!("{bearer}Sec-Fetch-Site: same-site\r\n")),
        200
    );
    assert_eq!(act(&closed, "Sec-Fetch-Site: same-origin\r\n"), 401);
    closed.end();
}
