//! How a connection refers to its cohort: by four bytes, an index of 12 bits and a generation of 20
//! bits. By the generation, a reference to a cohort that had to make room is recognized.

/// A connection's reference to its cohort. The default refers to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CohortRef(u32);

/// The generations of a place in the table are 1 to this. A connection looks for its cohort every
/// 16 heartbeats, and no place has so many cohorts in that time.
pub(crate) const GENERATION_MAX: u32 = (1 << 20) - 1;

impl CohortRef {
    pub(crate) fn new(index: usize, generation: u32) -> Self {
        CohortRef((index as u32) << 20 | generation)
    }

    pub(crate) fn index(self) -> usize {
        (self.0 >> 20) as usize
    }

    pub(crate) fn generation(self) -> u32 {
        self.0 & GENERATION_MAX
    }
}
