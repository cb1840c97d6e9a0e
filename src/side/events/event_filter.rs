//! Which events a reader wants.

use super::kept_event::KeptEvent;
use crate::engine::Class;

/// Which events a reader wants. A field that is `None` does not restrict them.
#[derive(Debug, Clone, Default)]
pub(in crate::side) struct EventFilter {
    pub(in crate::side) class: Option<Class>,
    pub(in crate::side) route: Option<String>,
    pub(in crate::side) user: Option<String>,
    pub(in crate::side) package: Option<String>,
    /// The name of a type.
    pub(in crate::side) kind: Option<String>,
}

impl EventFilter {
    /// Returns whether the reader wants this event.
    pub(super) fn admits(&self, event: &KeptEvent) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.class.is_none_or(|class| class == event.class)
            && is(&self.kind, Some(event.kind))
            && is(&self.route, event.route.as_deref())
            && is(&self.user, event.user.as_deref())
            && is(&self.package, event.package.as_deref())
    }
}
