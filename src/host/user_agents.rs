//! The `User-Agent`s of clients: each name is stored once, however many connections have it.
//!
//! Peers choose these names, so they are cut and escaped on arrival. An entry lives as long as any
//! connection has its name; entries of unused names are freed. Strangers (unidentified connections)
//! add at most 256 names, so invented names do not push real ones out. Records of ended connections
//! share the text ([`Arc`]), and need no entry.

use crate::base::id::ConnId;
use crate::engine::{Class, Request};
use crate::health::HealthState;
use std::collections::HashMap;
use std::sync::Arc;

/// The most different user agents that are told apart among the current connections.
pub const USER_AGENTS_MAX: usize = 4_096;

/// How many of the [`USER_AGENTS_MAX`] names may be names that only strangers have: connections
/// that are not identified yet.
const STRANGER_NAMES_MAX: usize = USER_AGENTS_MAX / 16;

/// The most bytes of a user agent that are kept, after escaping.
pub const USER_AGENT_BYTES_MAX: usize = 128;

/// The user agent that is shown for connections whose own user agent did not fit into the table.
pub const OTHER_USER_AGENT: &str = "other";

/// How many user agents of each class [`UserAgents::top`] returns.
const TOP_MAX: usize = 64;

/// The connections of one class that have a certain user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCount {
    /// The user agent.
    pub name: Arc<str>,
    /// The number of open connections.
    pub open: u64,
    /// The number of those that are suspect and identified.
    pub suspects: u64,
}

/// How many bits of a connection's field hold the number of its entry. Numbers begin with 1; 0
/// means that the connection has sent no user agent.
const NUMBER_BITS: u32 = 13;
const NUMBER_MASK: u16 = (1 << NUMBER_BITS) - 1;

/// The bits above the number: 0 while the connection is not open, else its class plus 1 if that is
/// less than [`HIGH_CLASS_MIN`], else [`HIGH_CLASS`].
const CLASS_BITS: u16 = 0b11 << NUMBER_BITS;

/// The class is in [`UserAgents::high_classes`]: it is [`HIGH_CLASS_MIN`] or above.
const HIGH_CLASS: u16 = CLASS_BITS;
const HIGH_CLASS_MIN: u8 = 2;

/// Set if the connection is suspect.
const SUSPECT: u16 = 1 << 15;

/// The number of the entry of [`OTHER_USER_AGENT`], which always exists and does not count against
/// the limit.
const OTHER: u16 = 1;

/// The user agents of all connections.
#[derive(Debug)]
pub(crate) struct UserAgents {
    /// By slot: the number of the connection's entry, [`CLASS_BITS`] and [`SUSPECT`]. A connection
    /// of the first two classes costs only these two bytes.
    of: Vec<u16>,
    /// By slot: the class of an open connection, if it is [`HIGH_CLASS_MIN`] or above. As long as
    /// the highest slot that ever had one.
    high_classes: Vec<u8>,
    /// The entries; the entry with number n is at index n - 1.
    entries: Vec<AgentEntry>,
    numbers: HashMap<Arc<str>, u16>,
    /// Numbers of unused entries.
    free: Vec<u16>,
    /// How many user agents only strangers have: connections that are not identified yet.
    stranger_names: usize,
    /// Connections that were counted as [`OTHER_USER_AGENT`] because the table was full, since the
    /// start.
    overflowed: u64,
}

#[derive(Debug)]
struct AgentEntry {
    name: Arc<str>,
    /// The number of connections with this user agent, open or not.
    users: u32,
    /// The number of those that are identified.
    identified: u32,
    /// Counts by class, up to the highest class that had an open connection with this user agent.
    classes: Vec<ClassCounts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct ClassCounts {
    /// The number of open connections.
    open: u32,
    /// The number of those that are suspect.
    suspects: u32,
}

impl Default for UserAgents {
    fn default() -> Self {
        UserAgents {
            of: Vec::new(),
            high_classes: Vec::new(),
            entries: vec![AgentEntry::new(OTHER_USER_AGENT.into())],
            numbers: HashMap::new(),
            free: Vec::new(),
            stranger_names: 0,
            overflowed: 0,
        }
    }
}

impl UserAgents {
    /// Records the user agent of a connection whose request has arrived, and that is not identified
    /// yet (a stranger).
    pub(crate) fn on_request(&mut self, id: ConnId, request: &Request) {
        self.set_name(id, request, STRANGER_NAMES_MAX);
    }

    /// Records the user agent of a connection; a new name is refused if strangers already have
    /// `stranger_names_max` names.
    fn set_name(&mut self, id: ConnId, request: &Request, stranger_names_max: usize) {
        let field = request.headers().get("user-agent");
        let name = field.and_then(|field| escape_user_agent(field.as_bytes()));
        // `remove` should have been called for the slot's last connection. If it was not, its name
        // must not be counted for ever.
        self.remove(id, false);
        let Some(name) = name else { return };
        let number = self.number(&name, stranger_names_max);
        self.update_entry(number, |entry| entry.users += 1);
        if id.slot() >= self.of.len() {
            self.of.resize(id.slot() + 1, 0);
        }
        self.of[id.slot()] = number;
    }

    /// Records that a connection is identified now: by its request, or by a later message.
    pub(crate) fn on_identified(&mut self, id: ConnId, request: Option<&Request>) {
        // The strangers' share had no room for its name.
        if let Some(request) = request.filter(|_| self.name(id) == Some(OTHER_USER_AGENT)) {
            self.set_name(id, request, USER_AGENTS_MAX);
        }
        let number = self.of.get(id.slot()).map_or(0, |of| of & NUMBER_MASK);
        if number != 0 {
            self.update_entry(number, |entry| entry.identified += 1);
        }
    }

    /// Counts a connection as open.
    pub(crate) fn on_open(&mut self, id: ConnId, class: Class) {
        let slot = id.slot();
        let Some(of) = self.of.get_mut(slot) else {
            return;
        };
        let number = *of;
        if number == 0 || number & CLASS_BITS != 0 {
            return;
        }
        if class.0 < HIGH_CLASS_MIN {
            *of |= (u16::from(class.0) + 1) << NUMBER_BITS;
        } else {
            *of |= HIGH_CLASS;
            if slot >= self.high_classes.len() {
                self.high_classes.resize(slot + 1, 0);
            }
            self.high_classes[slot] = class.0;
        }
        self.entry(number).counts(class.0).open += 1;
    }

    /// Sets or clears whether an open connection is suspect. Strangers are not counted, because
    /// they may claim any name.
    pub(crate) fn on_health(&mut self, id: ConnId, state: HealthState, is_identified: bool) {
        let is_suspect = state == HealthState::Suspect && is_identified;
        let class = self.class_of(id);
        if let Some(of) = self.of.get_mut(id.slot())
            && let Some(class) = class
            && is_suspect != (*of & SUSPECT != 0)
        {
            *of ^= SUSPECT;
            let number = *of & NUMBER_MASK;
            let suspects = &mut self.entry(number).counts(class).suspects;
            *suspects = if is_suspect {
                *suspects + 1
            } else {
                *suspects - 1
            };
        }
    }

    /// Returns the user agent of a connection that has not ended.
    pub(crate) fn get(&self, id: ConnId) -> Option<&Arc<str>> {
        let number = self.of.get(id.slot())? & NUMBER_MASK;
        let entry = self.entries.get(usize::from(number).checked_sub(1)?)?;
        Some(&entry.name)
    }

    /// Returns the user agent of a connection that has not ended, as text.
    pub(crate) fn name(&self, id: ConnId) -> Option<&str> {
        self.get(id).map(|name| &**name)
    }

    /// Removes the user agent of a connection that has ended, and returns it. `was_identified`:
    /// whether the connection was [introduced](Self::on_identified).
    pub(crate) fn remove(&mut self, id: ConnId, was_identified: bool) -> Option<Arc<str>> {
        let class = self.class_of(id);
        let of = std::mem::take(self.of.get_mut(id.slot())?);
        let number = of & NUMBER_MASK;
        if number == 0 {
            return None;
        }
        self.update_entry(number, |entry| {
            entry.users -= 1;
            entry.identified -= u32::from(was_identified);
            if let Some(class) = class {
                let counts = entry.counts(class);
                counts.open -= 1;
                counts.suspects -= u32::from(of & SUSPECT != 0);
            }
        });
        let entry = self.entry(number);
        let (name, users) = (entry.name.clone(), entry.users);
        if users == 0 && number != OTHER {
            self.numbers.remove(&name);
            self.free.push(number);
        }
        Some(name)
    }

    /// Returns how many different user agents there are now.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns how many connections became [`OTHER_USER_AGENT`] because the table was full, since
    /// the start.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Returns, for each of this many classes, at most 64 user agents with the most open
    /// connections. Of the remaining ones the one with the most suspects follows.
    /// [`OTHER_USER_AGENT`] is not among them, because it names no client.
    pub(crate) fn top(&self, classes: usize) -> Vec<Vec<AgentCount>> {
        (0..classes).map(|nth| self.top_of_class(nth)).collect()
    }

    fn top_of_class(&self, nth: usize) -> Vec<AgentCount> {
        let entries = self.numbers.values();
        let entries = entries.map(|number| &self.entries[usize::from(*number) - 1]);
        let counted = entries.filter_map(|entry| Some((entry, *entry.classes.get(nth)?)));
        let mut entries: Vec<(&AgentEntry, ClassCounts)> =
            counted.filter(|(_, n)| n.open > 0).collect();
        if entries.len() > TOP_MAX {
            let frequent = |(_, n): &(&AgentEntry, ClassCounts)| std::cmp::Reverse(n.open);
            entries.select_nth_unstable_by_key(TOP_MAX, frequent);
            let rest = entries.split_off(TOP_MAX).into_iter();
            entries.extend(rest.max_by_key(|(_, n)| n.suspects));
        }
        let count = |(entry, n): (&AgentEntry, ClassCounts)| AgentCount {
            name: entry.name.clone(),
            open: n.open.into(),
            suspects: n.suspects.into(),
        };
        entries.into_iter().map(count).collect()
    }

    /// Returns the number of a name's entry, and creates the entry if there is room.
    fn number(&mut self, name: &str, stranger_names_max: usize) -> u16 {
        if name == OTHER_USER_AGENT {
            return OTHER;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.stranger_names >= stranger_names_max {
            self.overflowed += 1;
            return OTHER;
        }
        let entry = AgentEntry::new(name.into());
        let name = entry.name.clone();
        let number = match self.free.pop() {
            Some(number) => {
                *self.entry(number) = entry;
                number
            }
            None if self.numbers.len() < USER_AGENTS_MAX => {
                self.entries.push(entry);
                // At most 1 + USER_AGENTS_MAX.
                self.entries.len() as u16
            }
            None => {
                self.overflowed += 1;
                return OTHER;
            }
        };
        self.numbers.insert(name, number);
        number
    }

    /// Changes an entry, and updates the count of user agents that only strangers have.
    fn update_entry(&mut self, number: u16, update_entry: impl FnOnce(&mut AgentEntry)) {
        let is_stranger_name =
            |entry: &AgentEntry| entry.users > 0 && entry.identified == 0 && number != OTHER;
        let entry = self.entry(number);
        let before = is_stranger_name(entry);
        update_entry(entry);
        let after = is_stranger_name(entry);
        self.stranger_names = self.stranger_names + usize::from(after) - usize::from(before);
    }

    /// Returns the entry of this number; bits above the number are ignored.
    fn entry(&mut self, number: u16) -> &mut AgentEntry {
        &mut self.entries[usize::from(number & NUMBER_MASK) - 1]
    }

    /// Returns the class of a connection, if it is open and has a user agent.
    fn class_of(&self, id: ConnId) -> Option<u8> {
        match self.of.get(id.slot())? & CLASS_BITS {
            0 => None,
            HIGH_CLASS => self.high_classes.get(id.slot()).copied(),
            // The bits are 1 or 2.
            class => Some((class >> NUMBER_BITS) as u8 - 1),
        }
    }
}

impl AgentEntry {
    fn new(name: Arc<str>) -> Self {
        AgentEntry {
            name,
            users: 0,
            identified: 0,
            classes: Vec::new(),
        }
    }

    /// Returns the counts of a class.
    fn counts(&mut self, class: u8) -> &mut ClassCounts {
        let nth = usize::from(class);
        if nth >= self.classes.len() {
            self.classes.resize(nth + 1, ClassCounts::default());
        }
        &mut self.classes[nth]
    }
}

/// Returns a user agent as it is stored: visible ASCII and spaces. Every other byte, quotes,
/// backslashes and percent signs become `%NN`, so that the name looks the same in logs, JSON and
/// alerts. It is cut to [`USER_AGENT_BYTES_MAX`] bytes, but never within an escape. `None` if it is
/// empty.
pub(crate) fn escape_user_agent(sent: &[u8]) -> Option<String> {
    let sent = sent.trim_ascii();
    let mut text = String::new();
    for byte in sent {
        let len = if is_plain(*byte) { 1 } else { "%NN".len() };
        if text.len() + len > USER_AGENT_BYTES_MAX {
            break;
        }
        if is_plain(*byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns a user agent as it is stored, from one as a client sends it or as it is shown. A text
/// with `%NN` and nothing that would be escaped is taken as shown.
pub(crate) fn normalize_user_agent(text: &str) -> String {
    let mut parts = text.split('%');
    let starts_plain = parts.next().is_some_and(|part| part.bytes().all(is_plain));
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let is_shown = starts_plain
        && parts.all(|part| {
            let escape = part.as_bytes().get(..2);
            escape.is_some_and(|hex| hex.iter().all(is_hex)) && part.bytes().all(is_plain)
        });
    if is_shown {
        text.to_owned()
    } else {
        escape_user_agent(text.as_bytes()).unwrap_or_default()
    }
}

fn is_plain(byte: u8) -> bool {
    (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\' | b'%')
}

#[cfg(test)]
mod tests;
