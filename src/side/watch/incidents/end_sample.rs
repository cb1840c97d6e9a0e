//! An even sample of ended connections.

use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::Class;
use crate::gateway::{ClosedConn, EndVerdict, PairTarget};
use std::net::SocketAddr;
use std::sync::Arc;

/// The most ends of a sample.
pub(super) const SAMPLE_MAX: usize = 500;

/// What is kept of an ended connection; its record may have left the ring.
#[derive(Debug, Clone)]
pub(in crate::side) struct SampledEnd {
    pub(in crate::side) at: UnixMillis,
    pub(in crate::side) id: ConnId,
    pub(in crate::side) class: Option<Class>,
    pub(in crate::side) user: Option<Box<str>>,
    pub(in crate::side) package: Option<Box<str>>,
    pub(in crate::side) user_agent: Option<Arc<str>>,
    pub(in crate::side) peer: SocketAddr,
    pub(in crate::side) cause: Cause,
    pub(in crate::side) verdict: Option<EndVerdict>,
    pub(in crate::side) target: Option<PairTarget>,
    pub(in crate::side) age: Micros,
    pub(in crate::side) srtt_us: Option<u32>,
}

/// A sample in which each end has the same chance (reservoir sampling, Vitter's algorithm R).
#[derive(Debug, Clone, Default)]
pub(super) struct EndSample {
    /// The ends that it was made from.
    seen: u64,
    pub(super) ends: Vec<SampledEnd>,
}

impl EndSample {
    /// Adds an end, or not, so that the sample stays even.
    pub(super) fn offer(&mut self, record: &ClosedConn) {
        self.seen += 1;
        if self.ends.len() < SAMPLE_MAX {
            self.ends.push(SampledEnd::of(record));
            return;
        }
        let at = (scrambled(self.seen) % self.seen) as usize;
        if let Some(place) = self.ends.get_mut(at) {
            *place = SampledEnd::of(record);
        }
    }
}

/// Returns a number without a pattern for each number (the finalizer of splitmix64).
const fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl SampledEnd {
    fn of(record: &ClosedConn) -> Self {
        let end = &record.end;
        SampledEnd {
            at: record.at.wall,
            id: record.id,
            class: end.class,
            user: record.user.clone(),
            package: record.package.clone(),
            user_agent: record.user_agent.clone(),
            peer: end.peer_addr,
            cause: end.cause,
            verdict: record.judged.map(|judged| judged.verdict),
            target: record.target.clone(),
            age: end.age,
            srtt_us: end.rtt.srtt_us(),
        }
    }
}
