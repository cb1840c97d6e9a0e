//! Round-trip time, smoothed as in TCP (RFC 6298 §2, with α = 1/8, β = 1/4).

use crate::base::time::Micros;

/// Smoothed round-trip time and its variation, in µs; both saturate at 71 minutes (`u32::MAX` µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rtt {
    srtt: u32,
    rttvar: u32,
}

impl Rtt {
    /// Adds one measurement, in µs.
    pub(crate) fn sample(&mut self, rtt_us: u64) {
        // Zero is reserved for "never measured".
        let rtt = u32::try_from(rtt_us).unwrap_or(u32::MAX).max(1);
        if self.srtt == 0 {
            // (2.2) SRTT <- R, RTTVAR <- R/2
            *self = Rtt {
                srtt: rtt,
                rttvar: rtt / 2,
            };
            return;
        }
        // (2.3) RTTVAR <- 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT <- 7/8 SRTT + 1/8 R'
        let blend = |old: u32, new: u32, weight: u64| {
            ((u64::from(old) * (weight - 1) + u64::from(new)) / weight) as u32
        };
        self.rttvar = blend(self.rttvar, self.srtt.abs_diff(rtt), 4);
        self.srtt = blend(self.srtt, rtt, 8).max(1);
    }

    /// Returns the time within which answers usually come: SRTT + 4 · RTTVAR, as the retransmission
    /// timeout of RFC 6298 §2 without its clock granularity. Zero without a measurement.
    pub(super) fn usual_at_most(self) -> Micros {
        Micros(u64::from(self.srtt) + 4 * u64::from(self.rttvar))
    }

    /// Returns the smoothed round-trip time in µs, once there is a measurement.
    pub fn srtt_us(self) -> Option<u32> {
        (self.srtt != 0).then_some(self.srtt)
    }

    /// Returns the variation in µs, once there is a measurement.
    pub fn rttvar_us(self) -> Option<u32> {
        (self.srtt != 0).then_some(self.rttvar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_rfc_by_hand() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (None, None));
        rtt.sample(8_000);
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (Some(8_000), Some(4_000)));
        rtt.sample(16_000); // var = 3/4*4000 + 1/4*8000, srtt = 7/8*8000 + 1/8*16000
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (Some(9_000), Some(5_000)));
    }

    #[test]
    fn saturates_and_never_returns_to_unmeasured() {
        let mut rtt = Rtt::default();
        rtt.sample(u64::MAX);
        assert_eq!(rtt.srtt_us(), Some(u32::MAX));
        for _ in 0..1_000 {
            rtt.sample(0);
        }
        assert!(rtt.srtt_us().is_some());
    }
}
