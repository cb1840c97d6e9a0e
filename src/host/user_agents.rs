//! The clients' `User-Agent`s: each name is kept once, however many connections have it.
//!
//! Names are the peers' words, so they are cut and escaped when they come in. An entry lives as long as a connection has its name: names
//! that no connection has any more make room, and strangers bring at most 256 new ones, so invented names do not push real ones out.
//! Records of ended connections have a share of the text ([`Arc`]), and need no entry.

use super::names::CLASS_NAMES;
use crate::engine::{Class, Request};
use crate::health::State;
use crate::id::ConnId;
use std::collections::HashMap;
use std::sync::Arc;

/// The most different user agents that are told apart among the connections of one moment.
pub const USER_AGENTS_MAX: usize = 4_096;

/// How many of those may be names that only strangers have: connections that have not shown whose they are.
const OF_STRANGERS_MAX: usize = USER_AGENTS_MAX / 16;

/// The most bytes of a user agent that are kept, as escaped.
pub const USER_AGENT_BYTES_MAX: usize = 128;

/// The user agent of connections for whose own there was no room.
pub const OTHER_USER_AGENT: &str = "other";

/// How many user agents of each class [`UserAgents::most`] names.
const MOST_NAMED: usize = 64;

const CLASSES: usize = CLASS_NAMES.len();

/// The connections of one class that have a user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCount {
    /// The user agent.
    pub name: Arc<str>,
    /// Those that are open.
    pub open: u64,
    /// Those of them that are suspect, and no strangers.
    pub suspects: u64,
}

/// Number of an entry, from 1 on; 0: the connection has sent no user agent.
const NUMBER_BITS: u32 = 13;
const NUMBER: u16 = (1 << NUMBER_BITS) - 1;

/// The connection is suspect.
const SUSPECT: u16 = 1 << 15;

/// The entry of [`OTHER_USER_AGENT`], which is always there and needs no place of the others.
const OTHER: u16 = 1;

/// The user agents of all connections.
#[derive(Debug)]
pub(crate) struct UserAgents {
    /// By slot: the number of the connection's entry and, above it, its class from 1 on while it is open, and [`SUSPECT`]. Two bytes are
    /// all that a connection costs.
    of: Vec<u16>,
    /// By number, less 1.
    entries: Vec<Entry>,
    numbers: HashMap<Arc<str>, u16>,
    /// Numbers of entries that are not in use.
    free: Vec<u16>,
    /// Names that only strangers have.
    of_strangers: usize,
    /// Connections that became [`OTHER_USER_AGENT`] because the table was full, since the start.
    overflowed: u64,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    /// Connections that have it, open or not.
    users: u32,
    /// Those that are no strangers.
    known: u32,
    /// Those that are open, by class.
    open: [u32; CLASSES],
    /// Those of them that are suspect.
    suspects: [u32; CLASSES],
}

impl Default for UserAgents {
    fn default() -> Self {
        UserAgents {
            of: Vec::new(),
            entries: vec![Entry::new(OTHER_USER_AGENT.into())],
            numbers: HashMap::new(),
            free: Vec::new(),
            of_strangers: 0,
            overflowed: 0,
        }
    }
}

impl UserAgents {
    /// Notes the user agent of a connection whose request has come, and that is a stranger so far.
    pub(crate) fn asked(&mut self, id: ConnId, request: &Request) {
        self.note(id, request, OF_STRANGERS_MAX);
    }

    /// Notes the user agent of a connection; of names that only strangers have there may be so many before it.
    fn note(&mut self, id: ConnId, request: &Request, of_strangers_max: usize) {
        let field = request.headers().get("user-agent");
        let name = field.and_then(|field| shown_user_agent(field.as_bytes()));
        // `ended` was called for the slot's last connection. If it was not, its name must not be counted for ever.
        self.ended(id, false);
        let Some(name) = name else { return };
        let number = self.number(&name, of_strangers_max);
        self.change(number, |entry| entry.users += 1);
        if id.slot() >= self.of.len() {
            self.of.resize(id.slot() + 1, 0);
        }
        self.of[id.slot()] = number;
    }

    /// A connection has shown whose it is, with its request or later.
    pub(crate) fn introduced(&mut self, id: ConnId, request: Option<&Request>) {
        // The strangers' share was too small for its name.
        if let Some(request) = request.filter(|_| self.name(id) == Some(OTHER_USER_AGENT)) {
            self.note(id, request, USER_AGENTS_MAX);
        }
        let number = self.of.get(id.slot()).map_or(0, |of| of & NUMBER);
        if number != 0 {
            self.change(number, |entry| entry.known += 1);
        }
    }

    /// Counts a connection as open.
    pub(crate) fn opened(&mut self, id: ConnId, class: Class) {
        let nth = usize::from(class.0);
        if let Some(of) = self.of.get_mut(id.slot())
            && *of != 0
            && class_of(*of).is_none()
            && nth < CLASSES
        {
            let number = *of;
            *of |= (u16::from(class.0) + 1) << NUMBER_BITS;
            self.entry(number).open[nth] += 1;
        }
    }

    /// Counts an open connection as suspect, or no longer. A stranger is not counted, for it may call itself anything.
    pub(crate) fn changed(&mut self, id: ConnId, state: State, is_known: bool) {
        let is_suspect = state == State::Suspect && is_known;
        if let Some(of) = self.of.get_mut(id.slot())
            && let Some(nth) = class_of(*of)
            && is_suspect != (*of & SUSPECT != 0)
        {
            *of ^= SUSPECT;
            let number = *of & NUMBER;
            let suspects = &mut self.entry(number).suspects[nth];
            *suspects = if is_suspect {
                *suspects + 1
            } else {
                *suspects - 1
            };
        }
    }

    /// The user agent of a connection that has not ended.
    pub(crate) fn get(&self, id: ConnId) -> Option<&Arc<str>> {
        let number = self.of.get(id.slot())? & NUMBER;
        let entry = self.entries.get(usize::from(number).checked_sub(1)?)?;
        Some(&entry.name)
    }

    /// As [`get`](Self::get), as text.
    pub(crate) fn name(&self, id: ConnId) -> Option<&str> {
        self.get(id).map(|name| &**name)
    }

    /// Forgets the user agent of a connection that has ended, and returns it. `was_known`: the connection was
    /// [introduced](Self::introduced).
    pub(crate) fn ended(&mut self, id: ConnId, was_known: bool) -> Option<Arc<str>> {
        let of = std::mem::take(self.of.get_mut(id.slot())?);
        let number = of & NUMBER;
        if number == 0 {
            return None;
        }
        self.change(number, |entry| {
            entry.users -= 1;
            entry.known -= u32::from(was_known);
            if let Some(nth) = class_of(of) {
                entry.open[nth] -= 1;
                entry.suspects[nth] -= u32::from(of & SUSPECT != 0);
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

    /// Different user agents now.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Connections that became [`OTHER_USER_AGENT`] because the table was full, since the start.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// By class: the user agents with the most open connections, at most 64, and behind them the one with the most suspects, if that is
    /// another. [`OTHER_USER_AGENT`] is not among them, for it names no client.
    pub(crate) fn most(&self) -> [Vec<AgentCount>; CLASSES] {
        std::array::from_fn(|nth| {
            let entries = self.numbers.values();
            let entries = entries.map(|number| &self.entries[usize::from(*number) - 1]);
            let mut entries: Vec<&Entry> = entries.filter(|entry| entry.open[nth] > 0).collect();
            if entries.len() > MOST_NAMED {
                let frequent = |entry: &&Entry| std::cmp::Reverse(entry.open[nth]);
                entries.select_nth_unstable_by_key(MOST_NAMED, frequent);
                let rest = entries.split_off(MOST_NAMED).into_iter();
                entries.extend(rest.max_by_key(|entry| entry.suspects[nth]));
            }
            let count = |entry: &Entry| AgentCount {
                name: entry.name.clone(),
                open: entry.open[nth].into(),
                suspects: entry.suspects[nth].into(),
            };
            entries.into_iter().map(count).collect()
        })
    }

    /// The number of a name's entry, which is made if there is none and room for one.
    fn number(&mut self, name: &str, of_strangers_max: usize) -> u16 {
        if name == OTHER_USER_AGENT {
            return OTHER;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.of_strangers >= of_strangers_max {
            self.overflowed += 1;
            return OTHER;
        }
        let entry = Entry::new(name.into());
        let name = entry.name.clone();
        let number = match self.free.pop() {
            Some(number) => {
                *self.entry(number) = entry;
                number
            }
            None if self.numbers.len() < USER_AGENTS_MAX => {
                self.entries.push(entry);
                // 1 + USER_AGENTS_MAX at most.
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

    /// Changes an entry, and keeps count of the names that only strangers have.
    fn change(&mut self, number: u16, change: impl FnOnce(&mut Entry)) {
        let is_of_strangers =
            |entry: &Entry| entry.users > 0 && entry.known == 0 && number != OTHER;
        let entry = self.entry(number);
        let before = is_of_strangers(entry);
        change(entry);
        let after = is_of_strangers(entry);
        self.of_strangers = self.of_strangers + usize::from(after) - usize::from(before);
    }

    fn entry(&mut self, number: u16) -> &mut Entry {
        &mut self.entries[usize::from(number) - 1]
    }
}

/// The class of an open connection, of what stands for it in the table.
fn class_of(of: u16) -> Option<usize> {
    let class = usize::from((of & !SUSPECT) >> NUMBER_BITS);
    class.checked_sub(1).filter(|nth| *nth < CLASSES)
}

impl Entry {
    fn new(name: Arc<str>) -> Self {
        Entry {
            name,
            users: 0,
            known: 0,
            open: [0; CLASSES],
            suspects: [0; CLASSES],
        }
    }
}

/// A user agent as it is kept: visible ASCII and spaces; every other byte, quotes, backslashes and percent signs as `%NN`, so that it is
/// spelled alike in logs, JSON and alerts. It is cut to [`USER_AGENT_BYTES_MAX`] bytes, but never within an escape. `None` for an empty
/// one.
pub(crate) fn shown_user_agent(sent: &[u8]) -> Option<String> {
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

/// A user agent as it is kept, from one as a client sends it or as it is shown. One that has `%NN` in it and nothing that would be escaped
/// is taken as shown.
pub(crate) fn user_agent_as_kept(text: &str) -> String {
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
        shown_user_agent(text.as_bytes()).unwrap_or_default()
    }
}

fn is_plain(byte: u8) -> bool {
    (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\' | b'%')
}

#[cfg(test)]
mod tests;
