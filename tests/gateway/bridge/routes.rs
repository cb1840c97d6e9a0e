//! Several services behind one gateway: which of them a client reaches, and how its request
//! arrives.

use super::legs::{Bridge, QUIET, request};
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, Listener, eventually};

/// A gateway with this settings file.
pub fn gateway(file: &str) -> Gateway {
    Gateway::start(&[&QUIET[..], &[("CONFIG_FILE", file)]].concat())
}

/// Returns a route to a service, with further lines.
pub fn route(name: &str, service: &Listener, lines: &str) -> String {
    let url = &service.url;
    format!("[[route]]\nname = '{name}'\nupstream = '{url}'\n{lines}\n")
}

/// Sends a client's upgrade request with these lines, each ended by CRLF.
pub fn ask(gateway: &Gateway, path: &str, lines: &str) -> Client {
    let mut client = Client::connect(gateway.addr);
    client.write(request(path, lines).as_bytes());
    client
}

/// Asserts that this request reaches the service, as a request for `target`, and that frames pass.
#[track_caller]
fn reaches(gateway: &Gateway, path: &str, host: &str, service: &Listener, target: &str) {
    let mut client = Client::connect(gateway.addr);
    let head = request(path, "").replace("Host: test", &format!("Host: {host}"));
    client.write(head.as_bytes());
    let mut leg = service.accept();
    leg.agree("");
    let line = leg.head.lines().next();
    assert_eq!(line, Some(&*format!("GET {target} HTTP/1.1")));
    assert_eq!(leg.fields("host"), [host]);
    client.switched();
    Bridge::assert_linked(&mut client, &mut leg);
}

#[test]
fn host_and_path_say_which_service_a_client_reaches() {
    let [all, chat, other] = [(); 3].map(|()| Listener::tcp());
    let folder = Folder::new();
    let routes = [
        route("all", &all, ""),
        route("chat", &chat, "path = '/chat/'\nstrip_prefix = true"),
        route("other", &other, "host = 'other.example'\npath = '/chat'"),
    ];
    let file = folder.file("settings.toml", routes.concat());
    let gateway = gateway(&file);
    for (path, host, service, target) in [
        ("/", "a.example", &all, "/"),
        ("/chat/room?x=1", "a.example", &chat, "/room?x=1"),
        ("/chat?x", "a.example:81", &chat, "/?x"),
        ("/chats", "a.example", &all, "/chats"),
        ("/chat/x", "Other.Example:8080", &other, "/chat/x"),
        ("/x", "other.example", &all, "/x"),
        // The gateway's own paths belong to the route, too.
        ("/healthz", "a.example", &all, "/healthz"),
        ("/glasses-ws", "a.example", &all, "/glasses-ws"),
    ] {
        reaches(&gateway, path, host, service, target);
    }
    let health = Client::get(gateway.addr, "/.well-known/pulsegate/health");
    assert_eq!(health.status, 200);
    gateway.line(&[
        "route name=chat host=* path=/chat upstream=",
        "the service decides",
    ]);
    gateway.end();
}

#[test]
fn a_request_that_no_route_serves_goes_to_the_relay() {
    let service = Listener::tcp();
    let folder = Folder::new();
    let file = folder.file("settings.toml", route("chat", &service, "path = '/chat'"));
    let gateway = gateway(&file);
    reaches(&gateway, "/chat", "test", &service, "/chat");
    let mut glasses = ask(&gateway, "/glasses-ws?userId=ada", "");
    glasses.switched();
    let unknown = ask(&gateway, "/elsewhere?token=s", "").response();
    let told = "no such path: /elsewhere on the host test";
    assert_eq!(
        (unknown.status, unknown.body.contains(told)),
        (404, true),
        "{unknown:?}"
    );
    gateway.line(&["close ", "code=http_404", told]);
    assert_eq!(gateway.health(), 200);
    gateway.end();
}

#[test]
fn pages_of_other_origins_are_refused_only_if_the_route_says_which_are_allowed() {
    let service = Listener::tcp();
    let folder = Folder::new();
    let routes = [
        route("open", &service, ""),
        route(
            "closed",
            &service,
            "path = '/closed'\nallowed_origins = ['https://a.example']",
        ),
    ];
    let gateway = gateway(&folder.file("settings.toml", routes.concat()));
    for (path, origin, is_let_in) in [
        ("/", "Origin: https://evil.example\r\n", true),
        ("/closed", "Origin: https://evil.example\r\n", false),
        ("/closed", "Origin: https://a.example\r\n", true),
        ("/closed", "", true),
    ] {
        let mut client = ask(&gateway, path, origin);
        if is_let_in {
            let mut leg = service.accept();
            leg.agree("");
            client.switched();
        } else {
            let response = client.response();
            assert_eq!(response.status, 403, "{response:?}");
            let told = "the page's origin https://evil.example is not in allowed_origins of the \
                        route closed";
            assert!(response.body.contains(told), "{response:?}");
            assert!(service.try_accept().is_none());
        }
    }
    gateway.end();
}

#[test]
fn clients_are_spread_over_the_services_of_a_route() {
    let services = [(); 3].map(|()| Listener::tcp());
    let urls: Vec<_> = services.iter().map(|s| format!("'{}'", s.url)).collect();
    let folder = Folder::new();
    let lines = format!(
        "[[route]]\nname = 'r'\nhost_header = 'upstream'\nupstream = [{}]\n",
        urls.join(", ")
    );
    let gateway = gateway(&folder.file("settings.toml", lines));
    let mut pairs = Vec::new();
    let mut counts = [0; 3];
    for _ in 0..9 {
        let mut client = ask(&gateway, "/", "");
        let (at, mut leg) = eventually("a connection to a service", || {
            let mut all = services.iter().enumerate();
            all.find_map(|(at, service)| Some((at, service.try_accept()?)))
        });
        leg.agree("");
        assert_eq!(leg.fields("host"), [services[at].socket_addr().to_string()]);
        client.switched();
        counts[at] += 1;
        pairs.push((client, leg));
    }
    assert_eq!(counts, [3, 3, 3]);
    // A service that is gone is skipped: its clients reach the others.
    let [first, second, third] = services;
    drop(third);
    for _ in 0..6 {
        let mut client = ask(&gateway, "/", "");
        let mut leg = eventually("a connection to another service", || {
            first.try_accept().or_else(|| second.try_accept())
        });
        leg.agree("");
        client.switched();
        pairs.push((client, leg));
    }
    drop(pairs);
    gateway.end();
}

#[test]
fn an_upstream_may_be_named_and_each_of_its_addresses_is_one() {
    let service = Listener::tcp().named("localhost");
    let folder = Folder::new();
    let gateway = gateway(&folder.file("settings.toml", route("r", &service, "")));
    gateway.line(&["dns host=localhost port=", "addresses=", "127.0.0.1:"]);
    for _ in 0..3 {
        let mut client = ask(&gateway, "/", "");
        let mut leg = service.accept();
        leg.agree("");
        client.switched();
    }
    gateway.end();
}

#[test]
fn a_name_that_is_not_found_stops_no_start_and_its_clients_are_answered_502() {
    let service = Listener::tcp();
    let folder = Folder::new();
    let routes = [
        route("good", &service, ""),
        "[[route]]\nname = 'bad'\npath = '/bad'\nupstream = 'http://name.invalid:81'\n".to_owned(),
    ];
    let gateway = gateway(&folder.file("settings.toml", routes.concat()));
    gateway.line(&["[WARN] dns host=name.invalid port=81 outcome=failed"]);
    let response = ask(&gateway, "/bad", "").response();
    assert_eq!(response.status, 502, "{response:?}");
    assert!(
        response
            .body
            .contains("the name of the upstream was not found")
    );
    let list = gateway.api("/api/v1/upstreams");
    assert_eq!(list["upstreams"][1]["state"], "unresolved", "{list}");
    let up = r#"pulsegate_upstream_up{route="bad",upstream="http://name.invalid:81"}"#;
    assert_eq!(gateway.metrics().get(up), 0.0);
    reaches(&gateway, "/", "test", &service, "/");
    gateway.end();
}

#[test]
fn an_address_that_two_locations_lead_to_is_one_series() {
    let service = Listener::tcp();
    let at = service.socket_addr();
    let folder = Folder::new();
    let routes = format!(
        "[[route]]\nname = 'r'\nupstream = ['http://{at}', 'http://localhost:{}']\n",
        at.port()
    );
    let gateway = gateway(&folder.file("settings.toml", routes));
    eventually("both are known", || {
        let list = gateway.api("/api/v1/upstreams");
        let rows = list["upstreams"].as_array().expect("a list").iter();
        let here = rows.filter(|row| row["address"] == at.to_string());
        (here.count() == 2).then_some(())
    });
    let metrics = gateway.metrics();
    for metric in ["pulsegate_pairs", "pulsegate_upstream_up"] {
        let series = format!("{metric}{{route=\"r\",upstream=\"{at}\"}}");
        let found = metrics.samples().filter(|(name, _)| *name == series);
        assert_eq!(found.count(), 1, "{}", metrics.0);
    }
    gateway.end();
}
