//! The service manager: inherited sockets, and notifications. Without a service manager nothing
//! here has an effect.

use crate::base::time::Micros;
use crate::gateway::Watchdog;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::sync_channel;

/// Sockets that the service manager has opened for us (`LISTEN_FDS`). It keeps them open, too:
/// connections that arrive while no gateway runs wait in their queues.
#[derive(Debug, Default)]
pub(crate) struct InheritedSockets {
    /// The inherited socket for `LISTEN_ADDR`.
    pub listener: Option<TcpListener>,
    /// The inherited socket for `ADMIN_ADDR`.
    pub admin: Option<TcpListener>,
}

/// The name of the socket for `LISTEN_ADDR` in `LISTEN_FDNAMES` (systemd: `FileDescriptorName=`).
const LISTEN_NAME: &str = "listen";

/// The name of the socket for `ADMIN_ADDR`.
const ADMIN_NAME: &str = "admin";

/// The setting that an inherited socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketPurpose {
    Listen,
    Admin,
}

/// Takes the inherited sockets. The purpose of each follows from its name, otherwise from its
/// address: that of `LISTEN_ADDR` or `ADMIN_ADDR`, given as `listen` and `admin`.
///
/// Their order has no meaning. If neither name nor address distinguishes a socket from the other,
/// it is refused: if the two were swapped, the admin API would be on the public address.
///
/// # Errors
/// If a socket is no TCP listener, if there are more than two, or if the purpose of one is not
/// clear.
pub(crate) fn take_inherited(
    listen: SocketAddr,
    admin: Option<SocketAddr>,
) -> io::Result<InheritedSockets> {
    let mut given = ListenFd::from_env();
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
    if given.len() > 2 {
        let error = format!(
            "LISTEN_FDS={}: at most two sockets can be inherited",
            given.len()
        );
        return Err(invalid(error));
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for nth in 0..given.len() {
        let taken = given.take_tcp_listener(nth).map_err(|e| {
            let error = format!("socket {nth} of LISTEN_FDS is not a TCP listener: {e}");
            io::Error::new(e.kind(), error)
        })?;
        let name = names.next().unwrap_or_default().to_owned();
        if let Some(socket) = taken {
            let addr = socket.local_addr()?;
            sockets.push((socket, name, addr));
        }
    }
    let told: Vec<_> = sockets
        .iter()
        .map(|(_, name, addr)| (&**name, *addr))
        .collect();
    let purposes = purposes(&told, listen, admin).map_err(|e| invalid(e.to_string()))?;
    let mut inherited = InheritedSockets::default();
    for ((socket, ..), purpose) in sockets.into_iter().zip(purposes) {
        match purpose {
            SocketPurpose::Listen => inherited.listener = Some(socket),
            SocketPurpose::Admin => inherited.admin = Some(socket),
        }
    }
    Ok(inherited)
}

impl SocketPurpose {
    fn setting(self) -> &'static str {
        match self {
            SocketPurpose::Listen => "LISTEN_ADDR",
            SocketPurpose::Admin => "ADMIN_ADDR",
        }
    }
}

/// Why the purpose of the sockets is not clear; the service manager's units are wrong.
#[derive(Debug, thiserror::Error)]
enum PurposeError {
    #[error(
        "socket {at} of LISTEN_FDS, {addr} with the name {name:?} in LISTEN_FDNAMES: its name must \
         be {LISTEN_NAME} or \
         {ADMIN_NAME}, or its address that of LISTEN_ADDR or ADMIN_ADDR"
    )]
    Unknown {
        at: usize,
        addr: SocketAddr,
        name: String,
    },
    #[error(
        "LISTEN_FDS: two sockets are for {0}; LISTEN_FDNAMES or the addresses must tell them apart"
    )]
    Twice(&'static str),
    #[error("socket {0} of LISTEN_FDS has the name {ADMIN_NAME}, but ADMIN_ADDR is off")]
    AdminIsOff(usize),
}

/// Returns the purpose of each of up to two sockets, by name and address.
fn purposes(
    sockets: &[(&str, SocketAddr)],
    listen: SocketAddr,
    admin: Option<SocketAddr>,
) -> Result<Vec<SocketPurpose>, PurposeError> {
    let known: Vec<_> = sockets
        .iter()
        .map(|(name, addr)| by_name(name).or_else(|| by_address(*addr, listen, admin)))
        .collect();
    // The API is opened only on a socket that is marked for it; the other one, or the only one, is
    // for peers.
    let others = |but: usize| known.iter().enumerate().filter(move |(at, _)| *at != but);
    let mut purposes = Vec::new();
    for (at, &(name, addr)) in sockets.iter().enumerate() {
        let left_over = others(at).all(|(_, other)| *other == Some(SocketPurpose::Admin));
        let Some(purpose) = known[at].or(left_over.then_some(SocketPurpose::Listen)) else {
            return Err(PurposeError::Unknown {
                at,
                addr,
                name: name.to_owned(),
            });
        };
        if purposes.contains(&purpose) {
            return Err(PurposeError::Twice(purpose.setting()));
        }
        if purpose == SocketPurpose::Admin && admin.is_none() {
            return Err(PurposeError::AdminIsOff(at));
        }
        purposes.push(purpose);
    }
    Ok(purposes)
}

/// Returns the purpose for a socket's name. Any other name has no meaning: the default is the name
/// of the socket's unit.
fn by_name(name: &str) -> Option<SocketPurpose> {
    match name {
        LISTEN_NAME => Some(SocketPurpose::Listen),
        ADMIN_NAME => Some(SocketPurpose::Admin),
        _ => None,
    }
}

fn by_address(
    addr: SocketAddr,
    listen: SocketAddr,
    admin: Option<SocketAddr>,
) -> Option<SocketPurpose> {
    let canonical = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
    let is = |other: SocketAddr| canonical(addr) == canonical(other);
    match (is(listen), admin.is_some_and(is)) {
        (true, false) => Some(SocketPurpose::Listen),
        (false, true) => Some(SocketPurpose::Admin),
        (true, true) | (false, false) => None,
    }
}

/// Notifies that connections are accepted.
pub(crate) fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Notifies that the gateway is shutting down, so that the manager gives it time.
pub(crate) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Returns the watchdog call for the loop, and its interval, if the service manager has a watchdog:
/// a third of its timeout. The call itself only wakes a thread, which sends the message, because
/// the manager's socket may block.
///
/// # Errors
/// If that thread cannot be started.
pub(crate) fn start_watchdog() -> io::Result<Option<Watchdog>> {
    let mut timeout_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut timeout_us) {
        return Ok(None);
    }
    let (wake, wakes) = sync_channel::<()>(1);
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            while wakes.recv().is_ok() {
                notify(&[NotifyState::Watchdog]);
            }
        })?;
    Ok(Some(Watchdog {
        interval: Micros((timeout_us / 3).max(10_000)),
        // If the last notification is not sent yet, another one would be redundant.
        notify: Box::new(move || {
            let _ = wake.try_send(());
        }),
    }))
}

fn notify(what: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(false, what) {
        log::warn!("service manager not notified error=\"{e}\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SocketPurpose::{Admin, Listen};

    fn of(sockets: &[(&str, &str)], admin: Option<&str>) -> Result<Vec<SocketPurpose>, String> {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let sockets: Vec<_> = sockets.iter().map(|(name, at)| (*name, addr(at))).collect();
        purposes(&sockets, addr("127.0.0.1:8002"), admin.map(addr)).map_err(|e| e.to_string())
    }

    #[test]
    fn handed_over_sockets_are_told_apart_by_name_then_by_address_and_never_by_order() {
        let admin = Some("127.0.0.1:9002");
        let unit = "pulsegate.socket";
        for (sockets, expected) in [
            (&[][..], &[][..]),
            // By name, for any address.
            (
                &[("admin", "0.0.0.0:1"), ("listen", "0.0.0.0:2")],
                &[Admin, Listen],
            ),
            (
                &[("admin", "127.0.0.1:8002"), ("listen", "127.0.0.1:9002")],
                &[Admin, Listen],
            ),
            (&[("admin", "127.0.0.1:1")], &[Admin]),
            (
                &[("admin", "127.0.0.1:1"), (unit, "0.0.0.0:2")],
                &[Admin, Listen],
            ),
            // By address, in either order.
            (
                &[(unit, "127.0.0.1:8002"), (unit, "127.0.0.1:9002")],
                &[Listen, Admin],
            ),
            (
                &[(unit, "127.0.0.1:9002"), (unit, "127.0.0.1:8002")],
                &[Admin, Listen],
            ),
            (&[("", "[::ffff:127.0.0.1]:9002")], &[Admin]),
            (
                &[(unit, "127.0.0.1:9002"), (unit, "0.0.0.0:443")],
                &[Admin, Listen],
            ),
            // The remaining socket is for peers; so is a single one.
            (&[(unit, "0.0.0.0:443")], &[Listen]),
        ] {
            assert_eq!(of(sockets, admin).as_deref(), Ok(expected), "{sockets:?}");
        }
        for (sockets, why) in [
            // Neither name nor address tells its purpose.
            (
                &[(unit, "0.0.0.0:1"), (unit, "0.0.0.0:2")][..],
                "its name must be listen or admin",
            ),
            // The remaining socket is never for the API.
            (
                &[(unit, "127.0.0.1:8002"), (unit, "0.0.0.0:9003")],
                "its name must be",
            ),
            (
                &[("listen", "127.0.0.1:1"), ("", "127.0.0.1:2")],
                "its name must be",
            ),
            (
                &[("admin", "127.0.0.1:1"), ("admin", "127.0.0.1:2")],
                "two sockets are for ADMIN_ADDR",
            ),
            (
                &[("listen", "127.0.0.1:1"), ("listen", "127.0.0.1:2")],
                "two sockets are for LISTEN_ADDR",
            ),
        ] {
            let told = of(sockets, admin).expect_err("not clear");
            assert!(told.contains(why), "{sockets:?}: {told}");
        }
        let told = of(&[("admin", "127.0.0.1:1")], None).expect_err("it is off");
        assert!(told.contains("ADMIN_ADDR is off"), "{told}");
    }
}
