//! How often the identities of open connections were lost lately.

use crate::base::time::{Micros, Timestamp};
use crate::engine::Class;
use crate::gateway::{ClosedConn, ConnRow};
use crate::side::admin::admin_state::AdminState;
use std::collections::HashMap;
use std::net::IpAddr;

/// The time in which losses are counted.
const LATELY: Micros = Micros::from_secs(60 * 60);

/// An identity, as its connections and the records of those that have ended have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LostIdentity<'a> {
    class: Option<Class>,
    user: &'a str,
    package: Option<&'a str>,
    address: Option<IpAddr>,
}

/// Counts for each of these connections how often its identity was lost in the last hour, as far as
/// the records of ended connections go back. A connection without a user has none.
pub(super) fn recent_losses<'a>(
    admin: &AdminState,
    rows: impl IntoIterator<Item = &'a ConnRow>,
) -> Vec<u32> {
    let rows: Vec<_> = rows.into_iter().map(LostIdentity::of_row).collect();
    let mut losses = vec![0; rows.len()];
    // An identity may have several connections: they share the count of one of them.
    let wanted = rows.iter().enumerate();
    let places: HashMap<LostIdentity<'_>, usize> = wanted
        .filter_map(|(place, row)| Some(((*row)?, place)))
        .collect();
    if !places.is_empty() {
        admin.watchers.collect_records();
        let (ended, now) = (admin.watchers.ended(), Timestamp::now());
        let records = ended.newest(None).map(|(_, closed)| closed);
        let lately = records.take_while(|closed| now.since(closed.at) < LATELY);
        for closed in lately.filter(|closed| closed.end.lost) {
            let place = LostIdentity::of_closed(closed).and_then(|lost| places.get(&lost));
            if let Some(place) = place {
                losses[*place] += 1;
            }
        }
    }
    let count = |row: &Option<LostIdentity<'_>>| {
        let place = row.as_ref().and_then(|row| places.get(row));
        place.map_or(0, |place| losses[*place])
    };
    rows.iter().map(count).collect()
}

impl<'a> LostIdentity<'a> {
    fn of_row(row: &'a ConnRow) -> Option<Self> {
        Some(LostIdentity {
            class: row.view.class,
            user: row.user.as_deref()?,
            package: row.package.as_deref(),
            address: row.address,
        })
    }

    fn of_closed(closed: &'a ClosedConn) -> Option<LostIdentity<'a>> {
        Some(LostIdentity {
            class: closed.end.class,
            user: closed.user.as_deref()?,
            package: closed.package.as_deref(),
            address: closed.address.as_deref().copied(),
        })
    }
}
