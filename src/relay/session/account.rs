//! The memory that the relay holds on behalf of peers, as it is charged with [`Io::charge`](crate::engine::Io::charge): frames
//! that are kept, sets of subscriptions, places without a connection, and frames on their way whose connection is gone.
//!
//! Charged is what is allocated. A place with a connection is not charged: there are no more of them than connections.

use super::app::App;
use super::census::{Tally, Vacancies};
use super::charge::place_bytes;
use super::session::Session;

impl App {
    /// All that an app of this user is charged with.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        charged(self.tally(), user, &self.package) + self.allocated()
    }

    /// Adds this app to counts of places.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], vacancies: &mut Vacancies) {
        vacancies.change(&mut absent[1], true, Tally::default(), self.tally());
    }
}

impl Session {
    /// All that the session of this user is charged with.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        let glasses = charged(self.glasses.tally(), user, "") + self.glasses.allocated();
        let apps = self.apps.iter().map(|app| app.charged(user));
        glasses + apps.sum::<usize>() + self.fan_outs.charged()
    }

    /// Adds the places of this session to counts of places.
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
