//! FIN and RST at every byte of a script, and errors of the socket: each ends in its cause.

use crate::bytes::script::{SMALL, script};
use crate::echo::{check_all_ended, server};
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::upgrade_request;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    /// A FIN after everything was answered.
    Fin,
    /// A FIN in one event with the last bytes.
    FinAtOnce,
    Rst,
}

#[test]
fn fin_and_rst_at_every_byte_end_in_their_cause() {
    let head = upgrade_request("/").len();
    for path in ["/", "/defer", "/nowhere"] {
        let script = script(path, &SMALL);
        let head = head + path.len() - 1;
        for (at, how) in (0..=script.len())
            .flat_map(|at| [Leaves::Fin, Leaves::FinAtOnce, Leaves::Rst].map(|how| (at, how)))
        {
            let mut net = server(Config::default());
            let peer = net.open_socket();
            net.mute(peer);
            if at > 0 {
                net.write(peer, &script[..at]);
            }
            if how != Leaves::FinAtOnce {
                net.settle();
            }
            match how {
                Leaves::Fin | Leaves::FinAtOnce => net.half_close(peer),
                Leaves::Rst => net.reset(peer),
            }
            net.settle();
            let cause = match (path, at) {
                (_, 0) => Cause::PROBE,
                (_, at) if at < head => Cause::ABORTED,
                ("/defer", _) => Cause::ABORTED,
                ("/nowhere", _) => Cause::BAD_REQUEST,
                (_, at) if at == script.len() => Cause::PEER_CLOSED,
                _ if how == Leaves::Rst => Cause::PEER_RESET,
                _ => Cause::PEER_EOF,
            };
            assert_eq!(
                net.ending(peer).map(|e| e.cause),
                Some(cause),
                "{path} {how:?} at {at}"
            );
            check_all_ended(&mut net);
        }
    }
}

/// A reset or TCP timeout has the same cause, whether the read or the write reports it first. Other
/// errors have the cause of the call that failed.
#[test]
fn a_failed_read_is_no_write_error() {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, HostUnreachable, TimedOut};
    for (kind, read, written) in [
        (HostUnreachable, Cause::READ_ERROR, Cause::WRITE_ERROR),
        (BrokenPipe, Cause::READ_ERROR, Cause::WRITE_ERROR),
        (ConnectionReset, Cause::PEER_RESET, Cause::PEER_RESET),
        (TimedOut, Cause::TCP_TIMEOUT, Cause::TCP_TIMEOUT),
    ] {
        let mut net = server(Config::default());
        let peer = net.connect("/sink");
        net.fail_reading(peer, kind);
        net.settle();
        net.expect_closed(peer, read);
        let peer = net.connect("/sink");
        let id = net.id(peer);
        net.fail_writing(peer, 0, kind);
        net.with_io(|_, io| io.send(id, Message::binary(vec![0; 100])));
        net.settle();
        net.expect_closed(peer, written);
    }
}

#[test]
fn bytes_that_went_out_before_an_error_leave_the_account() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.reset_after(peer, 150_000);
    net.with_io(|_, io| io.send(id, Message::binary(vec![0; 500_000])));
    net.settle();
    net.expect_closed(peer, Cause::PEER_RESET);
    assert_eq!(net.engine().stats().pending_bytes, 0);
}
