//! The queue of queries: other threads send queries to the loop here, and the loop runs some slices
//! of them in each turn.
//!
//! A turn's budget counts work units for any kind of query. A slice stops after [`SLICE_UNITS`],
//! even in the middle of a session with 1 000 apps. All slices of a turn together take at most
//! [`QUERY_UNITS`].
//!
//! The loop never waits for a query; the caller waits for its answer on its own thread.

use crate::engine::{Io, QueueFull, Remote};
use crate::mail::{self, Limits, LoopReceiver, NoRoom, Overflow, QueueItem, Sender};

/// The limits of the queries that wait or are unfinished. Each belongs to one request of an
/// operator, so more than this is a flood. The bytes are those of the closures, without what they
/// have allocated.
const LIMITS: Limits = Limits {
    count: 64,
    bytes: 16 << 20,
};

/// The most work units of one slice; its last step may overshoot by a few. A work unit is about a
/// microsecond of CPU: see [`Io::spend`].
pub const SLICE_UNITS: u32 = 200;

/// The most work units of all slices of one turn.
pub const QUERY_UNITS: u32 = 400;

/// The least work units that a query counts: it is fetched, called, and answered.
const QUERY_UNITS_MIN: u32 = 20;

/// A query that is called repeatedly, in this turn or later ones, until it is [`Progress::Done`].
/// One call is one slice: it spends ([`Io::spend`]) the work units that it used, at most
/// [`SLICE_UNITS`], and remembers where it stopped.
pub(crate) type SlicedQuery<H> = Box<dyn FnMut(&mut H, &mut Io<'_>) -> Progress + Send>;

/// Whether a query must be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The query is not complete: it is called again after the other queries have had a slice.
    More,
    /// The query is complete.
    Done,
}

/// A query that one call answers.
type OnceQuery<H> = Box<dyn FnOnce(&mut H, &mut Io<'_>) + Send>;

/// One query in the queue.
enum Query<H> {
    Once(OnceQuery<H>),
    Sliced(SlicedQuery<H>),
}

impl<H> QueueItem for Query<H> {
    fn bytes(&self) -> usize {
        match self {
            Query::Once(query) => size_of_val(&**query),
            Query::Sliced(query) => size_of_val(&**query),
        }
    }
}

/// The other threads' end of the queue. Cheap to clone.
pub struct QuerySender<H> {
    queries: Sender<Query<H>>,
    remote: Remote,
}

impl<H> Clone for QuerySender<H> {
    fn clone(&self) -> Self {
        QuerySender {
            queries: self.queries.clone(),
            remote: self.remote.clone(),
        }
    }
}

/// The loop's end of the queue. Unfinished queries go to the end of the queue.
pub(crate) struct QueryReceiver<H> {
    queries: LoopReceiver<Query<H>>,
    sender: Sender<Query<H>>,
}

impl<H> Default for QueryReceiver<H> {
    fn default() -> Self {
        let (sender, queries) = mail::to_loop(LIMITS, Overflow::Refuse);
        QueryReceiver { queries, sender }
    }
}

impl<H> QuerySender<H> {
    /// Asks the loop to call a closure once, in one of its next turns. The closure spends
    /// ([`Io::spend`]) what it costs, at most [`SLICE_UNITS`]; for more there is
    /// [`send_sliced`](QuerySender::send_sliced). It sends back an answer by itself.
    ///
    /// # Errors
    /// [`QueueFull`], as for [`send_sliced`](QuerySender::send_sliced).
    pub fn send(
        &self,
        query: impl FnOnce(&mut H, &mut Io<'_>) + Send + 'static,
    ) -> Result<(), QueueFull> {
        self.post(Query::Once(Box::new(query)))
    }

    /// Sends a query that takes several turns.
    ///
    /// # Errors
    /// [`QueueFull`] if 64 queries, or 16 MiB of them, already wait: the loop is stalled, or
    /// operators ask too much.
    pub fn send_sliced(&self, query: SlicedQuery<H>) -> Result<(), QueueFull> {
        self.post(Query::Sliced(query))
    }

    /// Returns the handle of the loop.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    fn post(&self, query: Query<H>) -> Result<(), QueueFull> {
        self.queries.send(query).map_err(|NoRoom(_)| QueueFull)
    }
}

impl<H> QueryReceiver<H> {
    pub(crate) fn sender(&self, remote: Remote) -> QuerySender<H> {
        let waker = remote.clone();
        self.sender.set_wake(Box::new(move || waker.wake()));
        QuerySender {
            queries: self.sender.clone(),
            remote,
        }
    }

    /// Runs slices of the queries in the queue `of` this host, one after another, as long as the
    /// next slice is sure to stay within [`QUERY_UNITS`].
    pub(crate) fn run_slices(
        host: &mut H,
        of: fn(&mut H) -> &mut QueryReceiver<H>,
        io: &mut Io<'_>,
    ) {
        of(host).queries.collect();
        let mut used = 0;
        while used + SLICE_UNITS <= QUERY_UNITS
            && let Some(query) = of(host).queries.take_held()
        {
            let (before, bytes) = (io.stats().work_units, query.bytes());
            let unfinished = match query {
                Query::Once(query) => {
                    query(host, io);
                    None
                }
                Query::Sliced(mut query) => match query(host, io) {
                    Progress::More => Some(query),
                    Progress::Done => None,
                },
            };
            let slice = u32::try_from(io.stats().work_units - before).unwrap_or(u32::MAX);
            io.spend(QUERY_UNITS_MIN.saturating_sub(slice));
            used = used.saturating_add(slice.max(QUERY_UNITS_MIN));
            let queries = &mut of(host).queries;
            match unfinished {
                Some(query) => queries.put_back(Query::Sliced(query)),
                None => queries.release(bytes),
            }
        }
        if of(host).queries.has_leftovers() {
            io.remote().wake();
        }
    }

    /// Adds a query of the loop itself that takes more than one turn. It shares the budget of the
    /// other queries and is never refused: there is at most one query of each such kind.
    pub(crate) fn start_sliced(&mut self, io: &Io<'_>, query: SlicedQuery<H>) {
        self.queries.add(Query::Sliced(query));
        io.remote().wake();
    }
}
