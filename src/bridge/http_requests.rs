//! The plain HTTP requests in progress. They are served outside the loop; the loop keeps what
//! operators ask about them, and how to end them.

use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::host::{Identity, PairTarget};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// How many entries each new request looks at, to remove those that have ended. With two, at most
/// half of the entries have ended.
const SWEPT: usize = 2;

/// A request in progress, as the loop and the thread that serves it share it. It is in progress
/// until it is dropped.
#[derive(Debug, Default)]
pub struct HttpTicket {
    state: Mutex<TicketState>,
    /// The requests in progress of its client.
    of_client: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct TicketState {
    is_ended: bool,
    waker: Option<Waker>,
}

impl HttpTicket {
    /// Asks the thread that serves the request to end it.
    fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_ended = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns whether the request must end. The task is woken when it must.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_ended {
            return Poll::Ready(());
        }
        if !state
            .waker
            .as_ref()
            .is_some_and(|w| w.will_wake(cx.waker()))
        {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for HttpTicket {
    fn drop(&mut self) {
        self.of_client.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A plain HTTP request in progress, as operators see it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpRequestRow {
    /// The id that the client's connection had in the loop, and that the upstream was told.
    pub id: ConnId,
    /// The route and the upstream.
    pub target: PairTarget,
    /// The client's address.
    pub address: IpAddr,
    /// The client's identity, if the route has one.
    pub identity: Option<Identity>,
    /// The method.
    pub method: Box<str>,
    /// The path, without the query; its first 200 characters.
    pub path: Box<str>,
    /// When it began.
    pub since: Micros,
}

/// The plain HTTP requests in progress, by connection: each has one at a time.
#[derive(Debug, Default)]
pub(super) struct HttpRequests {
    running: BTreeMap<ConnId, (HttpRequestRow, Weak<HttpTicket>)>,
    /// The entry that was looked at last.
    swept: Option<ConnId>,
    /// How many requests of each client are in progress.
    of_clients: BTreeMap<AddressBlock, Arc<AtomicU64>>,
    /// The client that was looked at last.
    swept_client: Option<AddressBlock>,
}

impl HttpRequests {
    /// Adds the request of a connection, in the place of the one before it.
    pub(super) fn begin(&mut self, row: HttpRequestRow) -> Arc<HttpTicket> {
        self.sweep();
        let of_client = self.of_clients.entry(AddressBlock::of(row.address));
        let of_client = of_client.or_default().clone();
        of_client.fetch_add(1, Ordering::Relaxed);
        let ticket = Arc::new(HttpTicket {
            state: Mutex::default(),
            of_client,
        });
        let entry = (row, Arc::downgrade(&ticket));
        self.running.insert(entry.0.id, entry);
        ticket
    }

    /// Returns how many requests of a client are in progress.
    pub(super) fn count_of(&self, client: AddressBlock) -> u64 {
        let count = self.of_clients.get(&client);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Removes some of the requests that have ended, and of the clients without one.
    fn sweep(&mut self) {
        for _ in 0..SWEPT {
            let from = self.swept_client.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.of_clients.range((from, Bound::Unbounded)).next();
            let next = next.map(|(block, count)| (*block, count.load(Ordering::Relaxed) == 0));
            self.swept_client = next.map(|(block, _)| block);
            if let Some((block, true)) = next {
                self.of_clients.remove(&block);
            }
            let from = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.running.range((from, Bound::Unbounded)).next();
            let next = next.map(|(id, (_, ticket))| (*id, ticket.strong_count() == 0));
            self.swept = next.map(|(id, _)| id);
            if let Some((id, true)) = next {
                self.running.remove(&id);
            }
        }
    }

    /// Returns at most `most` requests after this one, and whether more follow.
    pub(super) fn after(&self, id: Option<ConnId>, most: usize) -> (Vec<HttpRequestRow>, bool) {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.running.range((from, Bound::Unbounded));
        let mut live = rows.filter(|(_, (_, ticket))| ticket.strong_count() > 0);
        let found: Vec<_> = live.by_ref().take(most).collect();
        let more = live.next().is_some();
        (
            found.into_iter().map(|(_, (row, _))| row.clone()).collect(),
            more,
        )
    }

    /// Returns the identity of the client whose request is in progress on a connection; `None` if
    /// none is.
    pub(super) fn client(&self, id: ConnId) -> Option<Option<Identity>> {
        let (row, ticket) = self.running.get(&id)?;
        (ticket.strong_count() > 0).then(|| row.identity.clone())
    }

    /// Ends the request of a connection. Returns whether one was in progress.
    pub(super) fn end(&self, id: ConnId) -> bool {
        let request = self.running.get(&id);
        let ticket = request.and_then(|(_, ticket)| ticket.upgrade());
        ticket.inspect(|ticket| ticket.end()).is_some()
    }

    /// Ends the requests of an identity among the next `most` after this one. Returns the last one
    /// that was looked at, if more follow.
    pub(super) fn end_of(
        &self,
        identity: &Identity,
        after: Option<ConnId>,
        most: usize,
    ) -> Option<ConnId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = self.running.range((from, Bound::Unbounded));
        let mut last = None;
        for (id, (row, ticket)) in rows.by_ref().take(most) {
            last = Some(*id);
            if row.identity.as_ref() == Some(identity)
                && let Some(ticket) = ticket.upgrade()
            {
                ticket.end();
            }
        }
        rows.next().and(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;

    fn row(slot: u32, user: &str) -> HttpRequestRow {
        HttpRequestRow {
            id: format!("{slot}.1").parse().expect("an id"),
            target: PairTarget {
                route: "r".into(),
                upstream: "127.0.0.1:80".into(),
            },
            address: [192, 0, 2, 1].into(),
            identity: Some(Identity {
                class: Class(0),
                user: user.into(),
                package: None,
                address: None,
            }),
            method: "".into(),
            path: "".into(),
            since: Micros::ZERO,
        }
    }

    fn is_ended(ticket: &HttpTicket) -> bool {
        ticket
            .poll_ended(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn requests_are_ended_by_id_and_by_identity() {
        let mut requests = HttpRequests::default();
        let names = ["a", "b", "a", "a"];
        let tickets: Vec<_> = (0..4)
            .map(|n| requests.begin(row(n, names[n as usize])))
            .collect();
        let ended = || tickets.iter().map(|t| is_ended(t)).collect::<Vec<_>>();
        let id = |slot| row(slot, "").id;
        assert_eq!(requests.client(id(1)), Some(row(1, "b").identity));
        assert_eq!(requests.client(id(9)), None);
        assert!(requests.end(id(1)) && !requests.end(id(9)));
        assert_eq!(ended(), [false, true, false, false]);
        let identity = row(0, "a").identity.expect("an identity");
        let next = requests.end_of(&identity, None, 3);
        assert_eq!(next, Some(id(2)));
        assert_eq!(ended(), [true, true, true, false]);
        assert_eq!(requests.end_of(&identity, next, 3), None);
        assert_eq!(ended(), [true; 4]);
    }

    #[test]
    fn pages_follow_each_other_and_hold_what_is_in_progress() {
        let mut requests = HttpRequests::default();
        let mut tickets: Vec<_> = (0..5).map(|n| requests.begin(row(n, "a"))).collect();
        tickets.remove(1);
        let (page, more) = requests.after(None, 2);
        let slots: Vec<_> = page.iter().map(|row| row.id.slot()).collect();
        assert_eq!((slots, more), (vec![0, 2], true));
        let (page, more) = requests.after(Some(page[1].id), 2);
        let slots: Vec<_> = page.iter().map(|row| row.id.slot()).collect();
        assert_eq!((slots, more), (vec![3, 4], false));
    }

    #[test]
    fn requests_that_have_ended_do_not_pile_up() {
        let mut requests = HttpRequests::default();
        let kept: Vec<_> = (0..10).map(|n| requests.begin(row(n, "a"))).collect();
        for slot in 10..10_000 {
            drop(requests.begin(row(slot, "a")));
            assert!(requests.running.len() <= 2 * kept.len() + 4, "{slot}");
        }
    }
}
