//! Reloads of the routes: what stays, and what is closed.

use super::legs::Bridge;
use super::routes::{ask, gateway, route};
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, Listener, Server, eventually};

/// Opens a pair through the gateway.
#[track_caller]
fn pair(gateway: &Gateway, path: &str, service: &Listener) -> (Client, Server) {
    let mut client = ask(gateway, path, "");
    let mut leg = service.accept();
    leg.agree("");
    client.switched();
    (client, leg)
}

#[test]
fn a_reload_touches_no_route_that_is_the_same_and_closes_what_was_removed() {
    let [kept, removed, moved, added] = [(); 4].map(|()| Listener::tcp());
    let folder = Folder::new();
    let unchanged = route("kept", &kept, "path = '/kept'");
    let before = [
        unchanged.clone(),
        route("removed", &removed, "path = '/removed'"),
        route("moved", &moved, "path = '/moved'"),
    ];
    let file = folder.file("settings.toml", before.concat());
    let gateway = gateway(&file);
    let mut of_kept = pair(&gateway, "/kept", &kept);
    let (mut client, leg) = pair(&gateway, "/removed", &removed);
    let mut of_moved = pair(&gateway, "/moved", &moved);

    let after = [
        unchanged,
        route("moved", &moved, "path = '/moved/further'"),
        route("added", &added, "path = '/added'"),
    ];
    folder.file("settings.toml", after.concat());
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload routes=\"-removed moved:path +added\""]);

    // The clients of a removed route are invited to come back.
    assert_eq!(client.expect_close(), (1012, "upstream removed".to_owned()));
    assert_eq!(leg.expect_close(), (1001, "upstream removed".to_owned()));
    assert_eq!(ask(&gateway, "/removed", "").response().status, 404);

    // Pairs of other routes go on, also where only the path has changed.
    Bridge::assert_linked(&mut of_kept.0, &mut of_kept.1);
    Bridge::assert_linked(&mut of_moved.0, &mut of_moved.1);
    assert_eq!(ask(&gateway, "/moved", "").response().status, 404);
    for (path, service) in [
        ("/kept", &kept),
        ("/moved/further", &moved),
        ("/added", &added),
    ] {
        let (mut client, mut leg) = pair(&gateway, path, service);
        Bridge::assert_linked(&mut client, &mut leg);
    }
    gateway.end();
}

#[test]
fn a_reload_with_a_faulty_route_changes_nothing() {
    let service = Listener::tcp();
    let folder = Folder::new();
    let good = route("r", &service, "");
    let gateway = gateway(&folder.file("settings.toml", &good));
    let (mut client, mut leg) = pair(&gateway, "/", &service);
    for (wrong, told) in [
        (format!("{good}path = 'x'\n"), "path="),
        (
            format!("{good}[[route]]\nname = 's'\n"),
            "upstream is missing",
        ),
        (
            good.replace(&service.url, &format!("http://{}", gateway.addr)),
            "it would dial itself",
        ),
    ] {
        folder.file("settings.toml", &wrong);
        gateway.signal("HUP");
        gateway.line(&["[ERROR] reload refused", told]);
    }
    // A file without routes, such as one that is half written, removes none.
    folder.file("settings.toml", "");
    gateway.signal("HUP");
    gateway.line(&["[WARN] reload settings=route", "the file has no [[route]]"]);
    Bridge::assert_linked(&mut client, &mut leg);
    let (mut client, mut leg) = pair(&gateway, "/", &service);
    Bridge::assert_linked(&mut client, &mut leg);
    gateway.end();
}

/// The relay is there again, without credentials, as soon as no route takes all paths.
#[test]
fn a_reload_says_when_the_relay_serves_what_is_left() {
    let service = Listener::tcp();
    let folder = Folder::new();
    let all = route("r", &service, "");
    let gateway = gateway(&folder.file("settings.toml", &all));
    folder.file("settings.toml", format!("{all}path = '/r'\n"));
    gateway.signal("HUP");
    let told = "no route serves all paths of all hosts: the relay serves /glasses-ws and /app-ws";
    gateway.line(&["[WARN] reload effect=", told]);
    gateway.end();
    let gateway = Gateway::start(&[
        ("CONFIG_FILE", &folder.file("none.toml", "")),
        ("DRAIN_MS", "0"),
    ]);
    folder.file("none.toml", &all);
    gateway.signal("HUP");
    gateway.line(&[
        "[WARN] reload settings=route",
        "the first [[route]] is served after a restart",
    ]);
    gateway.end();
}

/// An upstream that is removed from a route that stays loses its pairs; those of the others stay.
#[test]
fn an_upstream_can_be_replaced() {
    let [old, new] = [(); 2].map(|()| Listener::tcp());
    let folder = Folder::new();
    let file = folder.file("settings.toml", route("r", &old, ""));
    let gateway = gateway(&file);
    let (mut client, leg) = pair(&gateway, "/", &old);
    folder.file("settings.toml", route("r", &new, ""));
    gateway.signal("HUP");
    assert_eq!(client.expect_close(), (1012, "upstream removed".to_owned()));
    assert_eq!(leg.expect_close(), (1001, "upstream removed".to_owned()));
    let (mut client, mut leg) = pair(&gateway, "/", &new);
    Bridge::assert_linked(&mut client, &mut leg);
    gateway.end();
}

/// Requests that wait for room at an upstream are answered when their route is gone, and so are
/// those that an upstream accepts after its removal.
#[test]
fn requests_under_way_are_answered_when_their_route_is_removed() {
    let [gone, kept] = [(); 2].map(|()| Listener::tcp());
    let folder = Folder::new();
    let kept_route = route("kept", &kept, "path = '/kept'");
    let lines = "max_dialing = 1\nanswer_timeout_ms = 60000";
    let before = format!("{kept_route}{}", route("gone", &gone, lines));
    let gateway = gateway(&folder.file("settings.toml", before));
    let mut first = ask(&gateway, "/", "");
    let mut leg = gone.accept();
    leg.read_head();
    let mut second = ask(&gateway, "/", "");
    eventually("a request that waits", || {
        let overview = gateway.api("/api/v1/overview");
        (overview["opening"] == 3).then_some(())
    });
    folder.file("settings.toml", &kept_route);
    gateway.signal("HUP");
    let response = second.response();
    assert_eq!(response.status, 503, "{response:?}");
    let told = r#""error":"the route was removed""#;
    assert!(response.body.contains(told), "{response:?}");
    // The service agrees too late.
    let agreement = leg.agreement("");
    leg.write(agreement.as_bytes());
    let response = first.response();
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.body.contains("upstream removed"), "{response:?}");
    gateway.end();
}
