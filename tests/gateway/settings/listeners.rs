//! The two listeners: which addresses are allowed without credentials, and which fit each other.

use super::loading::{addr, fault, run, wrong_flag};
use super::samples::{SECRET, TOKEN};
use crate::folder::Folder;

#[test]
fn other_machines_are_let_in_only_on_purpose() {
    for open in [
        "0.0.0.0:8002",
        "[::]:8002",
        "192.168.1.5:0",
        "[::ffff:10.0.0.1]:1",
    ] {
        let listen = format!("--listen-addr {open}");
        let fault = fault(&listen, &[]);
        assert!(
            fault.starts_with(&format!(
                "LISTEN_ADDR={open:?} (flag): must be a loopback address"
            )),
            "{fault}"
        );
        assert!(fault.contains("ALLOW_UNAUTHENTICATED is 1"), "{fault}");
        let settings = run(&listen, &["ALLOW_UNAUTHENTICATED=1"]);
        assert_eq!(settings.listen_addr, addr(open));
        assert!(settings.allow_unauthenticated);
    }
}

#[test]
fn what_is_no_credential_opens_nothing() {
    let args = "--listen-addr 0.0.0.0:1 --app-admission key";
    let told = fault(args, &["ALLOWED_ORIGINS=http://a"]);
    assert!(told.starts_with("LISTEN_ADDR="), "{told}");
}

#[test]
fn a_loopback_address_needs_no_credentials() {
    for local in [
        "127.0.0.1:0",
        "127.9.9.9:1",
        "[::1]:8002",
        "[::ffff:127.0.0.1]:1",
    ] {
        run(&format!("--listen-addr {local}"), &[]);
    }
}

#[test]
fn credentials_let_other_machines_in() {
    let folder = Folder::new();
    let (secret, apps) = (folder.file("secret", SECRET), folder.file("apps", "[]"));
    for credentials in [
        format!("AUTH_JWT_SECRET={SECRET}"),
        format!("AUTH_JWT_SECRET_FILE={secret}"),
        format!("APPS_FILE={apps}"),
    ] {
        let settings = run("--listen-addr 0.0.0.0:1", &[&credentials]);
        assert!(!settings.allow_unauthenticated && !settings.credentials().is_open());
    }
}

#[test]
fn a_fault_of_what_would_let_others_in_is_the_only_fault() {
    for unknown in [
        "AUTH_JWT_SECRET=short",
        "AUTH_JWT_SECRET_FILE=/none",
        "APPS_FILE=/none",
    ] {
        let told = fault("--listen-addr 0.0.0.0:1", &[unknown]);
        let name = unknown.split_once('=').unwrap().0;
        assert!(
            told.starts_with(name),
            "there were to be credentials: {told}"
        );
    }
    assert!(
        fault("--listen-addr 0.0.0.0:1 --allow-unauthenticated maybe", &[])
            .starts_with("ALLOW_UNAUTHENTICATED=\"maybe\""),
        "what was meant is not known: one fault"
    );
}

#[test]
fn the_operators_endpoints_are_open_to_others_only_with_a_token() {
    for open in [
        "0.0.0.0:9002",
        "[::]:0",
        "10.0.0.1:1",
        "[::ffff:10.0.0.1]:1",
    ] {
        let flag = format!("--admin-addr {open}");
        assert_eq!(
            fault(&flag, &[]),
            format!(
                "ADMIN_ADDR={open:?} (flag): must be off or a loopback address, unless ADMIN_TOKEN \
                 or ADMIN_TOKEN_FILE is set: otherwise every client that reaches this address \
                 could close all connections"
            )
        );
        let settings = run(&flag, &[&format!("ADMIN_TOKEN={TOKEN}")]);
        assert_eq!(settings.admin_addr, Some(addr(open)));
        let token = fault(&flag, &["ADMIN_TOKEN=short"]);
        assert!(token.starts_with("ADMIN_TOKEN="), "one fault: {token}");
    }
}

#[test]
fn the_operators_endpoints_may_be_local_or_off() {
    for local in ["127.0.0.1:0", "[::1]:9", "[::ffff:127.0.0.1]:1"] {
        let settings = run(&format!("--admin-addr {local}"), &[]);
        assert_eq!(settings.admin_addr, Some(addr(local)));
    }
    for off in ["off", "OFF"] {
        assert_eq!(run(&format!("--admin-addr {off}"), &[]).admin_addr, None);
    }
    let address = "off, or an IP address with a port, such as 127.0.0.1:8002 or [::1]:8002; a \
                   loopback address unless a token is set; another address or port than \
                   LISTEN_ADDR";
    wrong_flag("ADMIN_ADDR", "none", address);
}

/// With these variables both listeners may be open to other machines.
const OPEN: [&str; 2] = [
    "ADMIN_TOKEN=s3cret-s3cret-s3cret",
    "ALLOW_UNAUTHENTICATED=1",
];

fn both(listen: &str, admin: &str) -> String {
    format!("--listen-addr {listen} --admin-addr {admin}")
}

#[test]
fn operators_and_peers_are_not_served_at_one_address() {
    for (listen, admin) in [
        ("127.0.0.1:8002", "127.0.0.1:8002"),
        ("127.0.0.1:8002", "[::ffff:127.0.0.1]:8002"),
        ("0.0.0.0:8002", "127.0.0.1:8002"),
        ("10.0.0.1:8002", "0.0.0.0:8002"),
        ("[::]:8002", "127.0.0.1:8002"),
        ("[::1]:8002", "[::]:8002"),
        ("0.0.0.0:8002", "[::]:8002"),
    ] {
        assert_eq!(
            fault(&both(listen, admin), &OPEN),
            format!(
                "ADMIN_ADDR={admin:?} (flag): must be another address or port than LISTEN_ADDR, \
                 which is {listen} (flag): two listeners cannot share one"
            )
        );
    }
    let default = fault("--listen-addr 127.0.0.1:9002", &[]);
    assert!(default.contains("must be another address"), "{default}");
}

#[test]
fn operators_and_peers_may_share_an_address_or_a_port() {
    for (listen, admin) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:8002", "127.0.0.1:8003"),
        ("127.0.0.1:8002", "127.0.0.2:8002"),
        ("0.0.0.0:8002", "[::1]:8002"),
        ("127.0.0.1:8002", "off"),
    ] {
        run(&both(listen, admin), &OPEN);
    }
}
