//! Connecting from one of several source addresses, when ports or descriptors are short.

use crate::engine::DialAddress;
use nix::libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
use std::io;

/// Connects to the first of these addresses for which a port is left; they differ in their source.
/// If descriptors or memory are short, `free` makes room, once.
pub(super) async fn connect<T, F: Future<Output = io::Result<T>>>(
    addresses: &[DialAddress],
    connect: impl Fn(DialAddress) -> F,
    free: impl Fn(),
) -> io::Result<T> {
    let mut shortage = io::Error::from_raw_os_error(EADDRNOTAVAIL);
    for address in addresses {
        let connected = match connect(address.clone()).await {
            Err(error) if is_shortage_of_room(&error) => {
                free();
                connect(address.clone()).await
            }
            connected => connected,
        };
        match connected {
            // Connections that wait have ports of their own, and would keep them for a while after
            // their close.
            Err(error) if error.raw_os_error() == Some(EADDRNOTAVAIL) => shortage = error,
            connected => return connected,
        }
    }
    Err(shortage)
}

/// Returns whether this process has no descriptor, no memory or no port for a connection. That says
/// nothing of the upstream.
pub(super) fn is_own_shortage(error: &io::Error) -> bool {
    is_shortage_of_room(error) || error.raw_os_error() == Some(EADDRNOTAVAIL)
}

fn is_shortage_of_room(error: &io::Error) -> bool {
    let codes = [EMFILE, ENFILE, ENOBUFS, ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Connects with these results, in their order. Returns the result, the addresses that were
    /// tried, and how often room was made.
    fn tried(results: &[Result<(), i32>]) -> (Result<(), Option<i32>>, Vec<usize>, u32) {
        let addresses: Vec<DialAddress> = (1..=2)
            .map(|source: u8| {
                let source = [127, 0, 0, source].into();
                DialAddress::TcpFrom(([127, 0, 0, 1], 80).into(), source)
            })
            .collect();
        let (left, tried) = (RefCell::new(results.iter()), RefCell::new(Vec::new()));
        let freed = Cell::new(0);
        let connect_one = |address: DialAddress| {
            let nth = addresses.iter().position(|a| *a == address);
            tried.borrow_mut().push(nth.expect("one of them"));
            let result = *left.borrow_mut().next().expect("a further result");
            std::future::ready(result.map_err(io::Error::from_raw_os_error))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let connected = connect(&addresses, connect_one, || freed.set(freed.get() + 1));
        let connected = runtime.block_on(connected).map_err(|e| e.raw_os_error());
        (connected, tried.into_inner(), freed.get())
    }

    #[test]
    fn the_next_source_address_is_tried_when_ports_are_short() {
        const REFUSED: i32 = nix::libc::ECONNREFUSED;
        const PORTS: i32 = EADDRNOTAVAIL;
        for (results, expected, sources, freed) in [
            (&[Ok(())][..], Ok(()), vec![0], 0),
            (&[Err(PORTS), Ok(())], Ok(()), vec![0, 1], 0),
            (&[Err(PORTS), Err(PORTS)], Err(Some(PORTS)), vec![0, 1], 0),
            (
                &[Err(PORTS), Err(REFUSED)],
                Err(Some(REFUSED)),
                vec![0, 1],
                0,
            ),
            (&[Err(REFUSED)], Err(Some(REFUSED)), vec![0], 0),
            (&[Err(EMFILE), Ok(())], Ok(()), vec![0, 0], 1),
            (
                &[Err(EMFILE), Err(EMFILE)],
                Err(Some(EMFILE)),
                vec![0, 0],
                1,
            ),
            (&[Err(EMFILE), Err(PORTS), Ok(())], Ok(()), vec![0, 0, 1], 1),
        ] {
            assert_eq!(tried(results), (expected, sources, freed), "{results:?}");
        }
    }
}
