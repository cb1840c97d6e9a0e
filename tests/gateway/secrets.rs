//! Secrets are never shown. All output of a gateway is searched for every secret, key and token of
//! the run: its log at trace, its admin listener, and its answers to refused clients.

use crate::commands::gateway_with;
use crate::folder::Folder;
use crate::sockets::{Client, Event, Gateway, Response, eventually, upgrade};
use crate::tokens::token;
use serde_json::{Value, json};

const SECRET: &str = "jwt-secret-7f3a9c-that-signs-tokens";
const ADMIN: &str = "admin-token-55d1e0-of-the-operator";
const KEY: &str = "api-key-aa41b2-of-the-notes";
const WRONG_KEY: &str = "api-key-0badc0de-that-is-wrong";

/// The token of a user, valid or signed with another secret.
fn tokens() -> [String; 2] {
    [SECRET, "another-secret-entirely"].map(|secret| token("ada@x.y", secret))
}

/// A gateway with credentials that logs at trace, and everything that its clients read so far.
struct Overheard {
    folder: Folder,
    gateway: Gateway,
    said: Vec<String>,
}

impl Overheard {
    fn start() -> Overheard {
        let folder = Folder::new();
        // The server is down, so its failures are in the log, too.
        let webhook = "http://127.0.0.1:9/webhook";
        let app = json!({"package": "p.notes", "api_key": KEY, "webhook_url": webhook});
        let apps = folder.file("apps.json", json!([app]).to_string());
        let gateway = gateway_with(&[
            ("LOG_LEVEL", "trace"),
            ("AUTH_JWT_SECRET", SECRET),
            ("ADMIN_TOKEN", ADMIN),
            ("APPS_FILE", &apps),
            ("STATE_FILE", &folder.path("state.json")),
        ]);
        Overheard {
            folder,
            gateway,
            said: Vec::new(),
        }
    }

    fn open(&self, path: &str) -> Client {
        Client::open(self.gateway.addr, path)
    }

    /// Asserts that glasses are refused with 401.
    #[track_caller]
    fn refused(&mut self, refused: &Response) {
        assert_eq!(refused.status, 401, "{refused:?}");
        let body: Value = serde_json::from_str(&refused.body).expect("JSON");
        assert_eq!(body["type"], "connection_error");
        self.said.push(format!("{refused:?}"));
    }

    /// Glasses without credentials, or with wrong ones.
    fn refuse_glasses(&mut self) {
        let [valid, forged] = tokens();
        for path in [
            "/glasses-ws".to_owned(),
            "/glasses-ws?user=ada@x.y".to_owned(),
            format!("/glasses-ws?token={forged}"),
            format!("/glasses-ws?token={valid}x"),
            format!("/glasses-ws?token={SECRET}"),
        ] {
            let response = Client::refused(self.gateway.addr, &path);
            self.refused(&response);
        }
        let mut bearer = Client::connect(self.gateway.addr);
        let field = format!("\r\nAuthorization: Bearer {forged}\r\n\r\n");
        bearer.write(
            upgrade("/glasses-ws")
                .replace("\r\n\r\n", &field)
                .as_bytes(),
        );
        self.refused(&bearer.response());
    }

    /// Apps with a wrong key, without one, and with the right one but no session.
    fn refuse_apps(&mut self) {
        for (key, code) in [
            (WRONG_KEY, "INVALID_API_KEY"),
            ("", "INVALID_API_KEY"),
            (KEY, "SESSION_NOT_FOUND"),
        ] {
            let mut app = self.open("/app-ws?user=ada@x.y&package=p.notes");
            app.send_text(&init(key));
            let Event::Text(told) = app.next_or_ack() else {
                panic!("no error is told");
            };
            let told: Value = serde_json::from_str(&told).expect("JSON");
            assert_eq!(told["code"], code);
            self.said.push(format!("{:?}", app.next_answering()));
        }
    }

    /// Peers with the right credentials, and then invalid messages with secrets in them.
    fn admit_and_confuse(&mut self) {
        let [valid, _] = tokens();
        let mut glasses = self.open(&format!("/glasses-ws?token={valid}"));
        glasses.send_text(r#"{"type":"start_app","packageName":"p.notes"}"#);
        let mut app = self.open("/app-ws");
        app.send_text(&init(KEY));
        app.send_text(r#"{"type":"subscription_update","subscriptions":["*"]}"#);
        app.send_text(&format!("{{\"type\":\"x\",\"apiKey\":\"{KEY}\""));
        app.send_text(&format!(
            "{{\"type\":\"tpa_connection_init\",\"apiKey\":{KEY:?}}}"
        ));
        for _ in 0..2 {
            match app.next_answering() {
                Event::Text(text) => self.said.push(text),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads all that an operator can read, with and without the token.
    fn ask_everything(&mut self) {
        let bearer = format!("Authorization: Bearer {ADMIN}\r\n");
        let ask = |path: &str| {
            ["", "Authorization: Bearer wrong\r\n", &*bearer].map(|headers| {
                let answer = self.gateway.admin_request("GET", path, headers, "");
                let is_probe = matches!(path, "/healthz" | "/readyz");
                if headers != bearer && path != "/" && !path.starts_with("/assets") && !is_probe {
                    assert_eq!(answer.status, 401, "{path}: {answer:?}");
                }
                format!("{answer:?}")
            })
        };
        let paths = self.readable_paths(&bearer);
        // In parallel, because wrong tokens are delayed.
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = paths.iter().map(|path| scope.spawn(|| ask(path))).collect();
            let answers = asking.into_iter().map(|ask| ask.join().expect("no panic"));
            answers.flatten().collect()
        });
        self.said.extend(answers);
    }

    /// Returns the paths of the OpenAPI document. Endless answers are left out.
    fn readable_paths(&self, bearer: &str) -> Vec<String> {
        let document = self
            .gateway
            .admin_request("GET", "/api/v1/openapi.json", bearer, "");
        let document: Value = serde_json::from_str(&document.body).expect("JSON");
        let paths = document["paths"].as_object().expect("paths").keys();
        let paths = paths.map(|path| path.replace("{user}", "ada@x.y").replace("{id}", "0.1"));
        let is_endless = |path: &str| path.ends_with("/live") || path.ends_with("/events");
        paths.filter(|path| !is_endless(path)).collect()
    }

    /// Ends the gateway, and returns all that was said, with its log and its state file.
    fn end(self) -> Vec<String> {
        let log = self.gateway.log.clone();
        self.gateway.end();
        let mut said = self.said;
        said.extend(log.lock().expect("no panic").iter().cloned());
        let state = std::fs::read_to_string(self.folder.path("state.json"));
        said.push(state.expect("a state"));
        said
    }
}

fn init(key: &str) -> String {
    json!({
        "type": "tpa_connection_init", "sessionId": "ada@x.y-p.notes", "packageName": "p.notes",
        "apiKey": key,
    })
    .to_string()
}

#[test]
fn without_credentials_nothing_gets_in_and_no_secret_gets_out() {
    let mut overheard = Overheard::start();
    overheard.refuse_glasses();
    overheard.refuse_apps();
    overheard.admit_and_confuse();
    eventually("all have ended", || {
        let closes = overheard.gateway.lines(&[" close "]).len();
        (closes >= 11).then_some(())
    });
    overheard.ask_everything();
    let said = overheard.end();
    assert!(
        said.iter().any(|line| line.contains("ada@x.y")),
        "something was said"
    );
    let signatures = tokens().map(|token| token.rsplit('.').next().expect("a part").to_owned());
    let [of_valid, of_forged] = &signatures;
    for secret in [SECRET, ADMIN, KEY, WRONG_KEY, of_valid, of_forged] {
        for text in &said {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
