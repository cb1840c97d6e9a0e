//! Secrets are never shown. All output of a gateway is searched for every secret, key and token of
//! the run: its log at trace, its admin listener, and its answers to refused clients.

use crate::sockets::{Client, Event, Gateway, eventually, upgrade};
use crate::tokens::token;
use serde_json::{Value, json};

const SECRET: &str = "jwt-secret-7f3a9c-that-signs-tokens";
const ADMIN: &str = "admin-token-55d1e0-of-the-operator";
const KEY: &str = "api-key-aa41b2-of-the-notes";
const WRONG_KEY: &str = "api-key-0badc0de-that-is-wrong";

fn init(key: &str) -> String {
    json!({
        "type": "tpa_connection_init", "sessionId": "ada@x.y-p.notes", "packageName": "p.notes",
        "apiKey": key,
    })
    .to_string()
}

#[track_caller]
fn code(client: &mut Client) -> (String, Event) {
    let first = match client.next_or_ack() {
        Event::Text(text) => {
            let text: Value = serde_json::from_str(&text).expect("JSON");
            text["code"].as_str().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    };
    (first, client.next_answering())
}

#[test]
fn without_credentials_nothing_gets_in_and_no_secret_gets_out() {
    let folder = std::env::temp_dir().join(format!("pulsegate-secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let apps = folder.join("apps.json");
    // The server is down, so its failures are in the log, too.
    let list =
        json!([{"package":"p.notes","api_key":KEY,"webhook_url":"http://127.0.0.1:9/webhook"}]);
    std::fs::write(&apps, list.to_string()).expect("a file");
    let state = folder.join("state.json");
    let gateway = Gateway::start(&[
        ("LOG_LEVEL", "trace"),
        ("AUTH_JWT_SECRET", SECRET),
        ("ADMIN_TOKEN", ADMIN),
        ("APPS_FILE", apps.to_str().expect("UTF-8")),
        ("STATE_FILE", state.to_str().expect("UTF-8")),
        ("DRAIN_MS", "0"),
    ]);
    let addr = gateway.addr;
    let mut said = Vec::new();

    // No credentials, or wrong ones.
    let (good, forged) = (
        token("ada@x.y", SECRET),
        token("ada@x.y", "another-secret-entirely"),
    );
    let tampered = format!("{}x", good);
    for path in [
        "/glasses-ws".to_owned(),
        "/glasses-ws?user=ada@x.y".to_owned(),
        format!("/glasses-ws?token={forged}"),
        format!("/glasses-ws?token={tampered}"),
        format!("/glasses-ws?token={SECRET}"),
    ] {
        let refused = Client::refused(addr, &path);
        assert_eq!(refused.status, 401, "{path}: {refused:?}");
        let body: Value = serde_json::from_str(&refused.body).expect("JSON");
        assert_eq!(body["type"], "connection_error");
        said.push(format!("{refused:?}"));
    }
    let mut bearer = Client::connect(addr);
    let field = format!("Authorization: Bearer {forged}\r\n\r\n");
    bearer.write(
        upgrade("/glasses-ws")
            .replace("\r\n\r\n", &format!("\r\n{field}"))
            .as_bytes(),
    );
    let refused = bearer.response();
    assert_eq!(refused.status, 401);
    said.push(format!("{refused:?}"));
    for (key, expected) in [
        (WRONG_KEY, "INVALID_API_KEY"),
        ("", "INVALID_API_KEY"),
        (KEY, "SESSION_NOT_FOUND"),
    ] {
        let mut app = Client::open(addr, "/app-ws?user=ada@x.y&package=p.notes");
        app.send_text(&init(key));
        let (got, end) = code(&mut app);
        assert_eq!(got, expected);
        said.push(format!("{end:?}"));
    }

    // Right credentials, then invalid messages with secrets in them.
    let mut glasses = Client::open(addr, &format!("/glasses-ws?token={good}"));
    glasses.send_text(r#"{"type":"start_app","packageName":"p.notes"}"#);
    let mut app = Client::open(addr, "/app-ws");
    app.send_text(&init(KEY));
    app.send_text(r#"{"type":"subscription_update","subscriptions":["*"]}"#);
    app.send_text(&format!("{{\"type\":\"x\",\"apiKey\":\"{KEY}\""));
    app.send_text(&format!(
        "{{\"type\":\"tpa_connection_init\",\"apiKey\":{KEY:?}}}"
    ));
    for _ in 0..2 {
        match app.next_answering() {
            Event::Text(text) => said.push(text),
            other => panic!("{other:?}"),
        }
    }
    drop((app, glasses));
    eventually("all have ended", || {
        let closes = gateway
            .log
            .lock()
            .expect("no panic")
            .iter()
            .filter(|l| l.contains(" close "))
            .count();
        (closes >= 11).then_some(())
    });

    // All that an operator can read, with and without the token.
    let bearer = format!("Authorization: Bearer {ADMIN}\r\n");
    let document = gateway.admin_request("GET", "/api/v1/openapi.json", &bearer, "");
    let document: Value = serde_json::from_str(&document.body).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").keys();
    let paths = paths.map(|path| path.replace("{user}", "ada@x.y").replace("{id}", "0.1"));
    // Endless answers are left out.
    let paths: Vec<String> = paths.filter(|path| !path.contains("live")).collect();
    let ask = |path: &str| {
        ["", "Authorization: Bearer wrong\r\n", &*bearer].map(|headers| {
            let answer = gateway.admin_request("GET", path, headers, "");
            let is_probe = matches!(path, "/healthz" | "/readyz");
            if headers != bearer && path != "/" && !path.starts_with("/assets") && !is_probe {
                assert_eq!(answer.status, 401, "{path}: {answer:?}");
            }
            format!("{answer:?}")
        })
    };
    // In parallel, because wrong tokens are delayed.
    std::thread::scope(|scope| {
        let asking: Vec<_> = paths.iter().map(|path| scope.spawn(|| ask(path))).collect();
        for answers in asking {
            said.extend(answers.join().expect("no panic"));
        }
    });
    let log = gateway.log.clone();
    gateway.end();
    said.extend(log.lock().expect("no panic").iter().cloned());
    said.push(std::fs::read_to_string(&state).expect("a state"));
    std::fs::remove_dir_all(&folder).expect("removed");

    let signature = |token: &str| token.rsplit('.').next().expect("a signature").to_owned();
    let hidden = [
        SECRET,
        ADMIN,
        KEY,
        WRONG_KEY,
        &signature(&good),
        &signature(&forged),
    ]
    .map(str::to_owned);
    assert!(
        said.iter().any(|line| line.contains("ada@x.y")),
        "something was said"
    );
    for text in &said {
        for secret in &hidden {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    }
}
