//! The identity of a route's clients: proved or not, in searches, blocks and limits.

use super::legs::{Bridge, QUIET, request};
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, Listener, Server, eventually, field};
use crate::tokens;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

pub const SECRET: &str = "a-secret-of-at-least-32-characters";

/// A gateway with one route that has these lines.
pub struct Rig {
    pub gateway: Gateway,
    pub service: Listener,
    _folder: Folder,
}

impl Rig {
    /// Starts a gateway with one route. `{url}` in its lines is the location of the service.
    pub fn start(lines: &str, settings: &[(&str, &str)]) -> Rig {
        let (folder, service) = (Folder::new(), Listener::tcp());
        let url = &service.url;
        let lines = lines.replace("{url}", url);
        let route = format!("[[route]]\nname = 'r'\npath = '/'\nupstream = '{url}'\n{lines}\n");
        let file = folder.file("routes.toml", route);
        let gateway = Gateway::start(&[&QUIET[..], &[("CONFIG_FILE", &*file)], settings].concat());
        Rig {
            gateway,
            service,
            _folder: folder,
        }
    }

    /// Sends an upgrade request.
    #[track_caller]
    pub fn ask(&self, path: &str, lines: &str) -> Client {
        let mut client = Client::connect(self.gateway.addr);
        client.write(request(path, lines).as_bytes());
        client
    }

    /// Opens a pair.
    #[track_caller]
    pub fn pair(&self, path: &str, lines: &str) -> (Client, Server) {
        let mut client = self.ask(path, lines);
        let leg = self.service.open();
        client.switched();
        (client, leg)
    }

    /// Kicks the only connection of a user, and blocks the user for a minute.
    #[track_caller]
    fn block(&self, user: &str) -> (u16, serde_json::Value) {
        let found = self.gateway.connection(&format!("user={user}"));
        let id = found["id"].as_str().expect("an id");
        let body = json!({"reason": "out", "block_ms": 60_000}).to_string();
        let path = format!("/api/v1/connections/{id}/kick");
        self.gateway.act("POST", &path, &body)
    }
}

/// Returns a token with these claims.
pub fn token(claims: serde_json::Value) -> String {
    tokens::sign(SECRET, &claims)
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

#[test]
fn a_name_is_a_label_wherever_it_stands() {
    let unsigned = token(json!({"sub": "ada"})) + "x";
    let bearer = format!("Authorization: Bearer {unsigned}\r\n");
    for (identity, path, lines) in [
        ("header:X-User", "/", "X-User: ada\r\n"),
        ("query:user", "/?user=ada", ""),
        ("query:user", "/?user=&%75ser=%61d%61", ""),
        ("cookie:user", "/", "Cookie: a=b; user=ada\r\n"),
        ("jwt:sub", "/", &*bearer),
    ] {
        let rig = Rig::start(&format!("identity = '{identity}'"), &[]);
        let (client, leg) = rig.pair(path, lines);
        let found = rig.gateway.connection("user=ada");
        assert_eq!(found["class"], "client", "{identity}");
        drop((client, leg));
        let line = rig.gateway.line(&["pair route=r ", " user=ada "]);
        assert!(line.contains("cause=peer_"), "{line}");
        // Without a name the client is served as well.
        rig.pair("/", "");
        rig.gateway.end();
    }
}

/// A client that uses the name of another one cannot have it blocked.
#[test]
fn a_block_of_a_name_that_is_not_proved_concerns_its_address_alone() {
    let rig = Rig::start(
        "identity = 'query:user'",
        &[("TRUSTED_PROXIES", "127.0.0.1")],
    );
    let from = |n: u8| format!("X-Forwarded-For: 192.0.2.{n}\r\n");
    let (mut client, _leg) = rig.pair("/?user=ada", &from(1));
    let (status, answer) = rig.block("ada");
    assert_eq!(
        (status, &answer["blocked"]),
        (200, &json!(true)),
        "{answer}"
    );
    assert_eq!(client.expect_close().0, 4000);
    let refused = rig.ask("/?user=ada", &from(1)).response();
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    // No upstream was asked.
    assert!(rig.service.try_accept().is_none());
    // The same for plain HTTP.
    let plain = |path: &str, n: u8| {
        let mut client = Client::connect(rig.gateway.addr);
        let lines = from(n);
        client.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n").as_bytes());
        client
    };
    assert!(
        plain("/?user=ada", 1)
            .refusal()
            .starts_with("HTTP/1.1 403 ")
    );
    let other = plain("/?user=ada", 2);
    let mut leg = rig.service.accept();
    leg.read_head();
    drop(other);
    // Otherwise the request might be sent once more.
    leg.expect_end();
    rig.pair("/?user=ada", &from(2));
    rig.pair("/?user=bea", &from(1));
    let list = rig.gateway.api("/api/v1/blocks");
    assert_eq!(list["blocks"][0]["address"], "192.0.2.1", "{list}");
    rig.gateway.line(&[
        "operator action=kick",
        "user=ada package=- address=192.0.2.1 ",
    ]);
    rig.gateway.end();
}

#[test]
fn a_block_is_lifted_at_one_address_or_everywhere() {
    let rig = Rig::start(
        "identity = 'query:user'",
        &[("TRUSTED_PROXIES", "127.0.0.1")],
    );
    let from = |n: u8| format!("X-Forwarded-For: 192.0.2.{n}\r\n");
    let kick = |n: u8| {
        let pair = rig.pair("/?user=ada", &from(n));
        assert_eq!(rig.block("ada").0, 200);
        drop(pair);
        rig.gateway
            .line(&["pair route=r", &format!("peer=192.0.2.{n}:")]);
    };
    let is_blocked = |n| rig.ask("/?user=ada", &from(n)).response().status == 403;
    let lift = |place: &str| {
        let path = format!("/api/v1/blocks?user=ada{place}");
        rig.gateway.act("DELETE", &path, "").0
    };
    (1..=3).for_each(kick);
    assert_eq!(lift("&address=192.0.2.9"), 404);
    assert_eq!(lift("&address=none"), 404);
    assert_eq!(lift("&address=here"), 400);
    assert_eq!(lift("&address=192.0.2.2"), 204);
    rig.gateway
        .line(&["operator action=unblock user=ada package=- address=192.0.2.2 lifted=1"]);
    rig.pair("/?user=ada", &from(2));
    assert!(is_blocked(1) && is_blocked(3));
    assert_eq!(lift(""), 204);
    rig.gateway
        .line(&["operator action=unblock user=ada package=- address=all lifted=2"]);
    rig.pair("/?user=ada", &from(1));
    assert_eq!(lift(""), 404);
    rig.gateway.end();
}

/// The identity of a pair belongs to its client. An operator may find the other leg first.
#[test]
fn a_kick_of_the_leg_to_the_service_blocks_the_client() {
    let rig = Rig::start("identity = 'query:user'", &[]);
    let (mut client, leg) = rig.pair("/?user=ada", "");
    let [upstream, own] = ["upstream", "client"].map(|class| {
        let id = rig.gateway.connection(&format!("class={class}"))["id"].clone();
        id.as_str().expect("an id").to_owned()
    });
    let path = format!("/api/v1/connections/{upstream}/kick");
    let body = json!({"reason": "out", "block_ms": 60_000}).to_string();
    let (status, answer) = rig.gateway.act("POST", &path, &body);
    assert_eq!(status, 200, "{answer}");
    let told = json!({"id": upstream, "blocked": true, "partner": own});
    assert_eq!(answer, told);
    assert_eq!(client.expect_close(), (4000, "out".to_owned()));
    assert_eq!(leg.expect_close(), (1001, "out".to_owned()));
    assert_eq!(rig.ask("/?user=ada", "").response().status, 403);
    let line = format!("operator action=kick id={own} user=ada package=- address=127.0.0.1 ");
    let line = rig.gateway.line(&[&line]);
    assert!(line.ends_with(&format!("partner={upstream}")), "{line}");
    rig.gateway.end();
}

/// Twenty tabs of one user are one identity.
#[test]
fn a_block_closes_every_connection_of_the_identity() {
    let rig = Rig::start("identity = 'query:user'", &[]);
    let mut tabs: Vec<_> = (0..20).map(|_| rig.pair("/?user=ada", "")).collect();
    let (mut other, mut of_other) = rig.pair("/?user=bea", "");
    let list = rig.gateway.api("/api/v1/connections?user=ada");
    let id = list["connections"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let body = json!({"reason": "out", "block_ms": 60_000}).to_string();
    let (status, _) = rig
        .gateway
        .act("POST", &format!("/api/v1/connections/{id}/kick"), &body);
    assert_eq!(status, 200);
    for (client, _) in &mut tabs {
        assert_eq!(client.expect_close(), (4000, "out".to_owned()));
    }
    Bridge::assert_linked(&mut other, &mut of_other);
    rig.gateway.end();
}

#[test]
fn with_jwt_only_a_verified_token_opens_a_pair() {
    let rig = Rig::start(
        "auth = 'jwt'\nidentity = 'jwt:sub'",
        &[
            ("AUTH_JWT_SECRET", SECRET),
            ("TRUSTED_PROXIES", "127.0.0.1"),
        ],
    );
    rig.gateway
        .line(&["route name=r", "access=\"clients with a token"]);
    let good = token(json!({"sub": "ada", "exp": now() + 600}));
    let old = token(json!({"sub": "ada", "exp": now() - 600}));
    let foreign = tokens::sign("another-secret-of-32-characters!", &json!({"sub": "ada"}));
    for (path, lines) in [
        ("/".to_owned(), String::new()),
        (format!("/?token={old}"), String::new()),
        (format!("/?token={foreign}"), String::new()),
        ("/".to_owned(), "Authorization: Bearer x.y.z\r\n".to_owned()),
    ] {
        let refused = rig.ask(&path, &lines).response();
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        let mut plain = Client::connect(rig.gateway.addr);
        plain.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n").as_bytes());
        assert!(plain.refusal().starts_with("HTTP/1.1 401 "));
    }
    assert!(rig.service.try_accept().is_none());
    let from = |n: u8| format!("X-Forwarded-For: 192.0.2.{n}\r\n");
    let bearer = format!("Authorization: Bearer {good}\r\n");
    rig.pair(&format!("/?token={good}"), "");
    let (client, _leg) = rig.pair("/", &(bearer.clone() + &from(1)));
    drop(client);
    eventually("no connection", || {
        let list = rig.gateway.api("/api/v1/connections?user=ada");
        (list["matched"] == 0).then_some(())
    });
    let (_client, _leg) = rig.pair("/", &(bearer.clone() + &from(1)));
    // A proved name is blocked wherever it comes from.
    assert_eq!(rig.block("ada").0, 200);
    for n in [1, 2] {
        assert_eq!(
            rig.ask("/", &(bearer.clone() + &from(n))).response().status,
            403
        );
    }
    assert_eq!(
        rig.gateway.api("/api/v1/blocks")["blocks"][0]["address"],
        json!(null)
    );
    rig.gateway.end();
}

#[test]
fn a_pair_ends_when_the_token_of_its_client_expires() {
    let rig = Rig::start(
        "auth = 'jwt'\nidentity = 'jwt:sub'",
        &[("AUTH_JWT_SECRET", SECRET), ("AUTH_JWT_LEEWAY_MS", "10")],
    );
    let soon = token(json!({"sub": "ada", "exp": now() + 2}));
    let (mut client, leg) = rig.pair(&format!("/?token={soon}"), "");
    let reason = "the token has expired".to_owned();
    assert_eq!(client.expect_close(), (1008, reason));
    let told = leg.expect_close();
    assert_eq!(
        told,
        (1001, "client closed: the token has expired".to_owned())
    );
    rig.gateway
        .line(&["pair route=r ", " user=ada ", "cause=unauthorized"]);
    rig.gateway.end();
}

#[test]
fn an_identity_that_connects_too_often_is_refused_for_a_while() {
    let rig = Rig::start("identity = 'query:user'\nflapping_limit = 3", &[]);
    for _ in 0..3 {
        rig.pair("/?user=ada", "");
    }
    let refused = rig.ask("/?user=ada", "").response();
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    rig.pair("/?user=bea", "");
    // A client without a name is not counted.
    for _ in 0..5 {
        rig.pair("/", "");
    }
    rig.gateway.end();
}

/// Twenty tabs of one user are normal.
#[test]
fn by_default_no_identity_connects_too_often() {
    let rig = Rig::start("identity = 'query:user'", &[]);
    let pairs: Vec<_> = (0..20).map(|_| rig.pair("/?user=ada", "")).collect();
    drop(pairs);
    for _ in 0..20 {
        rig.pair("/?user=ada", "");
    }
    rig.gateway.end();
}

/// What a client sends under the name of the field never reaches the service.
#[test]
fn the_service_is_told_the_id_of_the_connection() {
    let rig = Rig::start("", &[("TRUSTED_PROXIES", "127.0.0.1")]);
    let start = rig.gateway.line(&["start version="]);
    let boot = field(&start, "boot").expect("an id").to_owned();
    let lines = "X-Pulsegate-Connection: 00000000.1.1\r\nX_Pulsegate_Connection: 1\r\n";
    let (client, leg) = rig.pair("/", lines);
    let told = leg.fields("x-pulsegate-connection");
    let id = rig.gateway.connection("class=client")["id"].clone();
    let full = format!("{boot}.{}", id.as_str().expect("an id"));
    assert_eq!(told, [&*full], "{}", leg.head);
    assert!(leg.fields("x_pulsegate_connection").is_empty());
    // The API takes it as it is.
    let found = rig.gateway.api(&format!("/api/v1/connections/{full}"));
    assert_eq!(found["connection"]["id"], id);
    let other = format!(
        "/api/v1/connections/ffffffff.{}",
        id.as_str().expect("an id")
    );
    let unknown = rig.gateway.admin_request("GET", &other, "", "");
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(
        unknown.body.contains("another run of the gateway"),
        "{unknown:?}"
    );
    let (status, _) = rig.gateway.act(
        "POST",
        &format!("/api/v1/connections/{full}/kick"),
        r#"{"reason":"by hand"}"#,
    );
    assert_eq!(status, 200);
    drop((client, leg));

    // Each plain request has one, too, and it stays the same on one connection.
    let mut client = Client::connect(rig.gateway.addr);
    let mut ids = Vec::new();
    for _ in 0..2 {
        client.write(format!("GET / HTTP/1.1\r\nHost: test\r\n{lines}\r\n").as_bytes());
        let mut leg = rig.service.accept();
        leg.read_head();
        ids.push(leg.fields("x-pulsegate-connection").join("|"));
        leg.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        client.refusal();
    }
    assert!(ids[0].starts_with(&format!("{boot}.")), "{ids:?}");
    assert_eq!(ids[0], ids[1]);
    rig.gateway.end();
}

/// An upstream that leads back to the gateway would connect to itself without end.
#[test]
fn a_request_of_the_gateway_itself_is_refused() {
    let rig = Rig::start("", &[]);
    let (_client, leg) = rig.pair("/", "");
    let own = leg.fields("x-pulsegate-connection").join("");
    let lines = format!("X-Pulsegate-Connection: {own}\r\n");
    let refused = rig.ask("/", &lines).response();
    assert_eq!(refused.status, 508, "{refused:?}");
    assert!(rig.service.try_accept().is_none());
    rig.gateway.end();
}

/// Each gateway passes on which ones came before it, so any of them finds the loop.
#[test]
fn a_loop_over_two_gateways_is_refused() {
    let nearer = Rig::start("", &[]);
    let upstream = format!("http://{}", nearer.gateway.addr);
    let farther = Gateway::start(&[&QUIET[..], &[("UPSTREAM", &*upstream)]].concat());
    for lines in ["", "Upgrade: websocket\r\n"] {
        let mut client = Client::connect(farther.addr);
        let head = match lines {
            "" => "GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
            _ => request("/", ""),
        };
        client.write(head.as_bytes());
        let mut leg = nearer.service.accept();
        leg.read_head();
        let own = ["x-pulsegate-connection", "x-pulsegate-hops"]
            .map(|name| format!("{name}: {}\r\n", leg.fields(name).join(", ")))
            .concat();
        // The service passes the request on to one of the gateways.
        let back = head.replacen("\r\n\r\n", &format!("\r\n{own}\r\n"), 1);
        for addr in [farther.addr, nearer.gateway.addr] {
            let mut client = Client::connect(addr);
            client.write(back.as_bytes());
            let refusal = client.refusal();
            assert!(refusal.starts_with("HTTP/1.1 508 "), "{refusal}");
        }
        drop(client);
        // Otherwise the request might be sent once more.
        leg.expect_end();
    }
    assert!(nearer.service.try_accept().is_none());
    farther.end();
    nearer.gateway.end();
}
