//! Data that only the kernel has, and writes with special flags.

use crate::base::time::Micros;
use crate::engine::TcpProgress;
use mio::net::TcpStream;
use socket2::SockRef;
use std::io::{self, IoSlice};

/// Returns the kernel's counts for a connection; `None` where there are none: on other systems, and
/// for Unix sockets.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn read(_: &TcpStream) -> Option<TcpProgress> {
    None
}

/// Returns the kernel's counts for a connection; `None` where there are none, as for Unix sockets.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn read(stream: &TcpStream) -> Option<TcpProgress> {
    let info = nix::sys::socket::getsockopt(stream, linux::TcpInfo).ok()?;
    Some(TcpProgress {
        acked: info.bytes_acked,
        in_flight: info.unacked,
        last_ack: Micros::from_millis(u64::from(info.last_ack_recv)),
        backoff: info.backoff,
        retransmits: info.retransmits,
        probes: info.probes,
    })
}

/// Writes bytes for a peer that is behind. They are not merged with the next write: small segments
/// leave fewer bytes in the kernel ahead of the next heartbeat.
pub(super) fn write_unmerged(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = nix::libc::MSG_EOR | nix::libc::MSG_NOSIGNAL;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = 0;
    SockRef::from(stream).send_vectored_with_flags(slices, flags)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    /// The first 160 bytes of the kernel's `struct tcp_info` (include/uapi/linux/tcp.h), which
    /// every kernel since 4.9 fills.
    #[repr(C)]
    #[derive(Debug, Clone, Copy)]
    #[expect(unreachable_pub, reason = "the macro below makes it public")]
    pub struct Info {
        states: [u8; 2],
        pub(super) retransmits: u8,
        pub(super) probes: u8,
        pub(super) backoff: u8,
        options: [u8; 3],
        timing: [u32; 4],
        pub(super) unacked: u32,
        segments: [u32; 4],
        last_data_sent: u32,
        last_ack_sent: u32,
        last_data_recv: u32,
        pub(super) last_ack_recv: u32,
        metrics: [u32; 11],
        rates: [u64; 2],
        pub(super) bytes_acked: u64,
        bytes_received: u64,
        counts: [u32; 6],
    }

    const _: () = assert!(size_of::<Info>() == 160);

    sockopt_impl!(
        /// The part of `TCP_INFO` that is read.
        TcpInfo,
        GetOnly,
        nix::libc::IPPROTO_TCP,
        nix::libc::TCP_INFO,
        Info
    );
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn the_kernel_counts_what_is_acknowledged() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let mut client = std::net::TcpStream::connect(addr).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        let mut server = TcpStream::from_std(server);
        assert_eq!(read(&server).map(|progress| progress.acked), Some(0));
        server.write_all(b"123").expect("room");
        assert_eq!(
            write_unmerged(&server, &[IoSlice::new(b"4567")]).ok(),
            Some(4)
        );
        client.read_exact(&mut [0; 7]).expect("seven bytes");
        let is_acked = || read(&server).is_some_and(|k| k.acked == 7 && k.in_flight == 0);
        let waited = (0..10_000).find(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            is_acked()
        });
        assert!(waited.is_some(), "{:?}", read(&server));
        let progress = read(&server).expect("a TCP connection");
        assert_eq!((progress.acked, progress.in_flight), (7, 0));
        assert!(progress.last_ack < Micros::from_secs(10));
    }
}
