//! Which of several services a client reaches, and how one of them is taken out.

use super::legs::Bridge;
use super::routes::{ask, gateway};
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, Listener, Server, eventually};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// A gateway before some services, in one route `r` with further lines.
pub struct Rig {
    pub gateway: Gateway,
    pub services: Vec<Listener>,
    _folder: Folder,
}

impl Rig {
    pub fn start(services: usize, lines: &str) -> Rig {
        let services = (0..services).map(|_| Listener::tcp());
        Rig::before(services.collect(), &[], lines)
    }

    /// Starts a gateway before these services, and others at these locations.
    pub fn before(services: Vec<Listener>, others: &[&str], lines: &str) -> Rig {
        let urls = services.iter().map(|service| &*service.url);
        let urls: Vec<_> = urls.chain(others.iter().copied()).collect();
        let urls: Vec<_> = urls.iter().map(|url| format!("'{url}'")).collect();
        let urls = urls.join(", ");
        let folder = Folder::new();
        let route = format!("[[route]]\nname = 'r'\nupstream = [{urls}]\n{lines}\n");
        let gateway = gateway(&folder.file("settings.toml", route));
        Rig {
            gateway,
            services,
            _folder: folder,
        }
    }

    /// Opens a pair with these lines in the request. Returns which service has it, too.
    #[track_caller]
    fn pair(&self, path: &str, lines: &str) -> (usize, Client, Server) {
        let mut client = ask(&self.gateway, path, lines);
        let (at, mut leg) = self.accept();
        leg.agree("");
        client.switched();
        (at, client, leg)
    }

    #[track_caller]
    pub fn accept(&self) -> (usize, Server) {
        eventually("a connection to a service", || {
            let mut all = self.services.iter().enumerate();
            all.find_map(|(at, service)| Some((at, service.try_accept()?)))
        })
    }

    pub fn address(&self, at: usize) -> String {
        self.services[at].socket_addr().to_string()
    }

    /// Returns what the API says of a service.
    pub fn upstream(&self, at: usize) -> Value {
        self.row_of(&self.services[at].url)
    }

    /// Returns the state of the upstream at this location.
    pub fn state_of(&self, url: &str) -> String {
        let row = self.row_of(url);
        row["state"].as_str().expect("a state").to_owned()
    }

    fn row_of(&self, url: &str) -> Value {
        let list = self.gateway.api("/api/v1/upstreams");
        let mut all = list["upstreams"].as_array().expect("a list").iter();
        let found = all.find(|row| row["url"] == url);
        found.expect("an upstream").clone()
    }
}

#[test]
fn clients_with_the_same_key_reach_the_same_service() {
    let rig = Rig::start(3, "balance = 'hash:query:user'");
    let mut pairs = Vec::new();
    let mut places = HashMap::new();
    for nth in 0..24 {
        let user = nth % 8;
        let (at, client, leg) = rig.pair(&format!("/?user={user}"), "");
        assert_eq!(*places.entry(user).or_insert(at), at, "user {user}");
        pairs.push((client, leg));
    }
    let used: HashSet<_> = places.values().collect();
    assert!(used.len() > 1, "{places:?}");
    rig.gateway.end();
}

#[test]
fn a_cookie_leads_a_client_back_to_its_service() {
    let rig = Rig::start(2, "sticky = 'cookie:route'");
    let mut first = ask(&rig.gateway, "/", "");
    let (at, mut leg) = rig.accept();
    leg.agree("Set-Cookie: of=service\r\n");
    let head = first.switched();
    let cookies: Vec<&str> = head
        .lines()
        .filter_map(|line| line.strip_prefix("Set-Cookie: "))
        .collect();
    let [of_service, of_gateway] = cookies[..] else {
        panic!("{head}");
    };
    assert_eq!(of_service, "of=service");
    let (cookie, attributes) = of_gateway.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    let mut pairs = Vec::new();
    for _ in 0..4 {
        // It has the most pairs by now, and is chosen all the same.
        let mut client = ask(&rig.gateway, "/", &format!("Cookie: x=1; {cookie}\r\n"));
        let (again, mut leg) = rig.accept();
        assert_eq!(again, at);
        leg.agree("");
        let head = client.switched();
        assert!(!head.contains("Set-Cookie"), "it has the cookie: {head}");
        pairs.push((client, leg));
    }
    // A cookie that means no service is replaced.
    let mut client = ask(&rig.gateway, "/", "Cookie: route=0000000000000000\r\n");
    let (other, mut leg) = rig.accept();
    leg.agree("");
    assert!(client.switched().contains("Set-Cookie: route="));
    assert_ne!(other, at);
    rig.gateway.end();
}

#[test]
fn no_more_requests_than_allowed_wait_for_a_service_and_the_others_have_their_turn() {
    let rig = Rig::start(1, "max_dialing = 2");
    let ask = |path: &str| (path.to_owned(), ask(&rig.gateway, path, ""));
    let mut clients: HashMap<String, Client> = ["/0", "/1"].map(ask).into();
    let mut legs: Vec<Server> = (0..2).map(|_| rig.accept().1).collect();
    clients.extend(["/2", "/3"].map(ask));
    eventually("two requests that are passed on", || {
        (rig.upstream(0)["dialing"] == 2).then_some(())
    });
    assert!(rig.services[0].try_accept().is_none(), "two wait");
    // The third leaves before its turn.
    clients.remove("/2");
    eventually("a client that has left", || {
        let list = rig.gateway.api("/api/v1/closed");
        (list["closed"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let mut leg = legs.pop().unwrap_or_else(|| rig.accept().1);
        leg.agree("");
        let path = leg.head.split(' ').nth(1).expect("a path").to_owned();
        let mut client = clients.remove(&path).expect("a client that is there");
        client.switched();
        Bridge::assert_linked(&mut client, &mut leg);
        pairs.push((client, leg));
    }
    assert!(rig.services[0].try_accept().is_none());
    rig.gateway.end();
}

#[test]
fn a_request_that_waits_too_long_for_a_service_is_answered_503() {
    let rig = Rig::start(1, "max_dialing = 1\nanswer_timeout_ms = 60000");
    let first = ask(&rig.gateway, "/", "");
    let leg = rig.accept();
    let mut second = ask(&rig.gateway, "/", "");
    let response = second.response();
    assert_eq!(response.status, 503, "{response:?}");
    assert!(
        response
            .body
            .contains("max_dialing requests wait for each upstream already")
    );
    assert!(response.header("retry-after").is_some());
    drop((first, leg));
    rig.gateway.end();
}

#[test]
fn a_pair_is_closed_at_its_planned_age() {
    let rig = Rig::start(1, "max_age_ms = 300");
    let (_, mut client, leg) = rig.pair("/", "");
    let told = "planned age reached".to_owned();
    assert_eq!(client.expect_close(), (1012, told.clone()));
    assert_eq!(leg.expect_close(), (1001, told));
    rig.gateway.end();
}

#[test]
fn an_operator_drains_a_service_and_resumes_it() {
    let rig = Rig::start(2, "slow_start_ms = 0");
    let mut pairs: Vec<_> = (0..4).map(|_| rig.pair("/", "")).collect();
    let of_first =
        |pairs: &[(usize, Client, Server)]| pairs.iter().filter(|(at, ..)| *at == 0).count();
    assert_eq!(of_first(&pairs), 2);
    let body = json!({"route": "r", "upstream": rig.address(0), "spread_ms": 0}).to_string();
    let act = |path: &str, body: &str| rig.gateway.act("POST", path, body);
    let (status, answer) = act("/api/v1/upstreams/drain", &body);
    assert_eq!((status, &answer["pairs"]), (202, &json!(2)), "{answer}");
    for (at, client, leg) in &mut pairs {
        match at {
            0 => assert_eq!(client.expect_close(), (1012, "upstream drained".to_owned())),
            _ => Bridge::assert_linked(client, leg),
        }
    }
    // Over a reload, too.
    rig.gateway.signal("HUP");
    rig.gateway.line(&["reload changed=none"]);
    assert_eq!(rig.upstream(0)["state"], "drained");
    for _ in 0..3 {
        let pair = rig.pair("/", "");
        assert_eq!(pair.0, 1);
        pairs.push(pair);
    }
    let resume = json!({"route": "r", "upstream": rig.services[0].url}).to_string();
    assert_eq!(act("/api/v1/upstreams/resume", &resume).0, 204);
    assert_eq!(rig.upstream(0)["state"], "up");
    assert_eq!(rig.pair("/", "").0, 0, "it has the fewest pairs");
    for (path, body, status) in [
        ("resume", &*resume, 409),
        ("drain", r#"{"route":"r","upstream":"127.0.0.1:1"}"#, 404),
        ("resume", r#"{"route":"x","upstream":"127.0.0.1:1"}"#, 404),
        ("drain", r#"{"route":"r"}"#, 400),
    ] {
        let path = format!("/api/v1/upstreams/{path}");
        assert_eq!(act(&path, body).0, status, "{path} {body}");
    }
    // Without an upstream that is left, clients are told so.
    for at in 0..2 {
        let body = json!({"route": "r", "upstream": rig.address(at), "spread_ms": 0});
        assert_eq!(act("/api/v1/upstreams/drain", &body.to_string()).0, 202);
    }
    let refused = ask(&rig.gateway, "/", "").response();
    let told = r#""error":"every upstream of the route is drained""#;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains(told), "{refused:?}");
    rig.gateway.end();
}

#[test]
fn a_service_that_refuses_connections_is_avoided_and_said_to_be() {
    let rig = Rig::start(2, "");
    let Rig {
        gateway,
        mut services,
        _folder,
    } = rig;
    let gone = services.remove(0);
    let address = gone.socket_addr().to_string();
    drop(gone);
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let mut client = ask(&gateway, "/", "");
        let leg = services[0].open();
        client.switched();
        pairs.push((client, leg));
    }
    let list = gateway.api("/api/v1/upstreams");
    let rows = list["upstreams"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["address"] == address);
    let row = row.expect("the one that is gone");
    assert_eq!(
        (&row["state"], &row["pairs"]),
        (&json!("avoided"), &json!(0))
    );
    assert!(row["avoided_ms"].as_u64().is_some_and(|ms| ms > 0));
    gateway.end();
}
