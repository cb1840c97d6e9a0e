//! The gateway below a service manager: sockets handed over, notifications, the watchdog.

use crate::commands::{ended, in_shell};
use crate::folder::Folder;
use crate::peers::glasses;
use crate::sockets::{Client, Event, Gateway, PATIENCE, upgrade};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts the gateway with two sockets as descriptors 3 and 4, which have these names.
fn with_sockets(
    names: &str,
    [third, fourth]: [&TcpListener; 2],
    settings: &[(&str, &str)],
) -> Command {
    let fd = |listener: &TcpListener| OwnedFd::from(listener.try_clone().expect("a copy"));
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_FDNAMES={names} LISTEN_PID=$$ \
         WATCHDOG_PID=$$ exec \"$0\""
    );
    let mut command = in_shell(&script, settings);
    command
        .stdin(Stdio::from(fd(third)))
        .stdout(Stdio::from(fd(fourth)));
    command
}

fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

/// A service manager like systemd: it starts the gateway, holds the sockets, and receives the
/// notifications.
struct Manager {
    folder: Folder,
    notes: UnixDatagram,
    listener: TcpListener,
    admin: TcpListener,
}

impl Manager {
    fn new() -> Manager {
        let folder = Folder::new();
        let notes = UnixDatagram::bind(folder.path("notify")).expect("a socket");
        let manager = Manager {
            folder,
            notes,
            listener: bound(),
            admin: bound(),
        };
        manager.wait_at_most(PATIENCE);
        manager
    }

    /// Starts the gateway with both sockets.
    fn start(&self, settings: &[(&str, &str)]) -> Gateway {
        let sockets = [&self.listener, &self.admin];
        let mut command = with_sockets("listen:admin", sockets, settings);
        command.env("NOTIFY_SOCKET", self.folder.path("notify"));
        Gateway::start_unread(command).read()
    }

    /// Sets how long a notification is waited for.
    fn wait_at_most(&self, time: Duration) {
        let set = self.notes.set_read_timeout(Some(time));
        set.expect("a timeout");
    }

    /// Returns the next notification.
    fn told(&self) -> String {
        let mut note = [0; 256];
        let len = self.notes.recv(&mut note).expect("a note");
        String::from_utf8_lossy(&note[..len]).trim().to_owned()
    }
}

#[test]
fn a_restart_with_handed_over_sockets_loses_no_waiting_client() {
    let manager = Manager::new();
    let addr = manager.listener.local_addr().expect("an address");
    let mut first = manager.start(&[("DRAIN_MS", "0"), ("CLOSE_TIMEOUT_MS", "20000")]);
    assert_eq!(first.addr, addr);
    assert_eq!(first.admin, manager.admin.local_addr().ok());
    assert_eq!(manager.told(), "READY=1");
    let mut old = glasses(&first, "old");
    first.signal("TERM");
    let restart = Event::Close(1012, "service restart".to_owned());
    assert_eq!(old.next_answering(), restart);
    assert_eq!(manager.told(), "STOPPING=1");
    // It still runs, because `old` has not answered; connections are neither accepted nor refused
    // any more.
    let waits = |i| {
        let mut client = Client::connect(addr);
        client.write(upgrade(&format!("/glasses-ws?user=waits-{i}")).as_bytes());
        client
    };
    let mut waiting: Vec<Client> = (0..50).map(waits).collect();
    drop(old);
    assert_eq!(first.wait_for_exit().code(), Some(0));
    // And some more while no gateway runs at all.
    waiting.extend((50..100).map(waits));
    let second = manager.start(&[("DRAIN_MS", "0")]);
    assert_eq!(manager.told(), "READY=1");
    for client in &mut waiting {
        client.switched();
    }
    assert_eq!(second.api("/api/v1/connections?limit=1")["matched"], 100);
    drop(waiting);
    second.end();
}

#[test]
fn the_watchdog_hears_from_the_loop_and_not_from_a_process_that_stands_still() {
    let manager = Manager::new();
    let gateway = manager.start(&[("DRAIN_MS", "0"), ("WATCHDOG_USEC", "300000")]);
    // The first watchdog message and READY arrive in any order.
    let notes: Vec<String> = (0..6).map(|_| manager.told()).collect();
    let many = |what: &str| notes.iter().filter(|note| *note == what).count();
    assert_eq!((many("READY=1"), many("WATCHDOG=1")), (1, 5), "{notes:?}");
    gateway.signal("STOP");
    // Reads what was sent before it stopped; then nothing arrives for longer than the watchdog's
    // timeout.
    manager.wait_at_most(Duration::from_millis(600));
    let mut note = [0; 64];
    let left = (0..100)
        .take_while(|_| manager.notes.recv(&mut note).is_ok())
        .count();
    assert!(left < 10, "{left} notes of a process that stands still");
    manager.wait_at_most(PATIENCE);
    gateway.signal("CONT");
    assert_eq!(manager.told(), "WATCHDOG=1");
    gateway.end();
}

#[test]
fn a_socket_that_is_open_to_the_world_needs_what_an_address_would_need() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\"";
    let mut command = in_shell(script, &[]);
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let output = command.output().expect("the gateway");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("ALLOW_UNAUTHENTICATED is 1"), "{log}");
}

/// The name of both sockets where their names do not tell their purpose.
const UNCLEAR: &str = "pulsegate.socket:pulsegate.socket";

#[test]
fn a_socket_without_a_clear_name_gets_the_purpose_of_its_address() {
    let (world, inner) = (bound(), bound());
    let [listen, admin] = [&world, &inner].map(|l| l.local_addr().expect("an address"));
    let [listen_addr, admin_addr] = [listen, admin].map(|addr| addr.to_string());
    let settings = [
        ("DRAIN_MS", "0"),
        ("LISTEN_ADDR", &*listen_addr),
        ("ADMIN_ADDR", &*admin_addr),
    ];
    for sockets in [[&world, &inner], [&inner, &world]] {
        let gateway = Gateway::start_unread(with_sockets(UNCLEAR, sockets, &settings)).read();
        assert_eq!((gateway.addr, gateway.admin), (listen, Some(admin)));
        gateway.end();
    }
}

#[test]
fn a_socket_of_unclear_purpose_does_not_open_the_api() {
    let sockets = [&bound(), &bound()];
    let (code, log) = ended(with_sockets(
        UNCLEAR,
        sockets,
        &[("ADMIN_ADDR", "127.0.0.1:0")],
    ));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("its name must be listen or admin"), "{log}");
}
