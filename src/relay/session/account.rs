//! The memory that the relay holds for peers and charges with
//! [`Io::charge`](crate::engine::Io::charge): kept frames, sets of subscriptions, places without a
//! connection, and undelivered frames of ended connections.
//!
//! What is charged is what is allocated. Places with a connection are not charged: there are no
//! more of them than connections.

use super::app::App;
use super::census::{Tally, Vacancies};
use super::charge::place_bytes;
use super::session::Session;

impl App {
    /// Returns how many bytes of memory this app of this user accounts for.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        charged(self.tally(), user, &self.package) + self.allocated()
    }

    /// Adds the place of this app to the counts of places.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], vacancies: &mut Vacancies) {
        vacancies.change(&mut absent[1], true, Tally::default(), self.tally());
    }
}

impl Session {
    /// Returns how many bytes of memory the session of this user accounts for.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        let glasses = charged(self.glasses.tally(), user, "") + self.glasses.allocated();
        let apps = self.apps.iter().map(|app| app.charged(user));
        glasses + apps.sum::<usize>() + self.fan_outs.charged()
    }

    /// Adds the places of this session to the counts of places.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], vacancies: &mut Vacancies) {
        vacancies.change(
            &mut absent[0],
            false,
            Tally::default(),
            self.glasses.tally(),
        );
        self.apps
            .iter()
            .for_each(|app| app.count(absent, vacancies));
    }
}

fn charged(place: Tally, user: &str, package: &str) -> usize {
    match place.is_charged {
        true => place_bytes(user, package),
        false => 0,
    }
}
