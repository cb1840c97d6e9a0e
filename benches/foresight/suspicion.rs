//! Times in which a detector suspects a peer, and what they say about its quality.

/// A time in which a detector suspects a peer: seconds from its start to its end, if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspicion {
    pub from: f64,
    pub until: Option<f64>,
}

/// The suspicions of one detector about one peer, in order.
#[derive(Default)]
pub struct Suspicions {
    all: Vec<Suspicion>,
}

impl Suspicions {
    /// Begins a suspicion, unless the peer is suspected.
    pub fn begin(&mut self, at: f64) {
        if self.all.last().is_none_or(|last| last.until.is_some()) {
            let until = None;
            self.all.push(Suspicion { from: at, until });
        }
    }

    /// Ends the suspicion, if there is one.
    pub fn end(&mut self, at: f64) {
        if let Some(last) = self.all.last_mut() {
            last.until.get_or_insert(at);
        }
    }

    /// Returns all of them, in order.
    pub fn into_all(self) -> Vec<Suspicion> {
        self.all
    }
}

/// Returns the detection time T_D (W. Chen, S. Toueg, M. K. Aguilera, "On the Quality of Service of
/// Failure Detectors", IEEE Transactions on Computers 51, 2002, §2.2): seconds from the death of a
/// peer to the suspicion that does not end, 0 if it was suspected already. Infinite if it is never
/// suspected.
pub fn detection_time(suspicions: &[Suspicion], death: f64) -> f64 {
    let last = suspicions.last().filter(|last| last.until.is_none());
    last.map_or(f64::INFINITY, |last| (last.from - death).max(0.0))
}
