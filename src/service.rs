//! The service manager: what it hands us at the start, and what it is told. Without one all of this does nothing.

use listenfd::ListenFd;
use pulsegate::Micros;
use pulsegate::gateway::Watchdog;
use sd_notify::NotifyState;
use std::io;
use std::net::TcpListener;
use std::sync::mpsc::sync_channel;

/// Sockets that the service manager has opened for us (`LISTEN_FDS`) and holds, too: whoever connects while no gateway runs
/// waits in their queues.
#[derive(Default)]
pub struct Inherited {
    /// The first: for `LISTEN_ADDR`.
    pub listener: Option<TcpListener>,
    /// The second: for `ADMIN_ADDR`.
    pub admin: Option<TcpListener>,
}

/// The sockets that we were handed.
///
/// # Errors
/// If one of them is no TCP listener, or there are more than two.
pub fn inherited() -> io::Result<Inherited> {
    let mut given = ListenFd::from_env();
    if given.len() > 2 {
        let error = format!("LISTEN_FDS={}: two sockets at most", given.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    }
    let mut take = |nth| {
        given.take_tcp_listener(nth).map_err(|e| {
            let error = format!("socket {nth} of LISTEN_FDS is no TCP listener: {e}");
            io::Error::new(e.kind(), error)
        })
    };
    Ok(Inherited {
        listener: take(0)?,
        admin: take(1)?,
    })
}

/// Says that connections are accepted.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that we are going away, so that time is given for it.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What the loop has to call, and how often, if the service manager watches it: three times within the time after which it
/// would be ended. The call itself only knocks: the message is sent by a thread of its own, for its socket may block.
///
/// # Errors
/// If that thread cannot be started.
pub fn watchdog() -> io::Result<Option<Watchdog>> {
    let mut timeout_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut timeout_us) {
        return Ok(None);
    }
    let (knock, knocks) = sync_channel::<()>(1);
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            while knocks.recv().is_ok() {
                tell(&[NotifyState::Watchdog]);
            }
        })?;
    Ok(Some(Watchdog {
        interval: Micros((timeout_us / 3).max(10_000)),
        // If the last knock is not answered yet, this one would say nothing new.
        tell: Box::new(move || {
            let _ = knock.try_send(());
        }),
    }))
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(false, what) {
        log::warn!("service manager not told error=\"{e}\"");
    }
}
