//! The set of streams that one app subscribed to, in two allocations whatever its size.

use std::fmt;

/// The most subscriptions of one app. The SDK knows some forty streams.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 256;

/// The longest name of a stream, in bytes as decoded.
pub(crate) const STREAM_MAX: usize = 256;

/// The stream of binary frames from glasses.
pub(crate) const AUDIO: &str = "audio_chunk";

/// A set of streams, sorted by name. A full set of the longest names is 65 KiB.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Subscriptions {
    /// The names, concatenated.
    text: Box<str>,
    /// Where each name ends in `text`.
    ends: Box<[u32]>,
    /// Whether `*` or `all` is among them.
    all: bool,
}

impl Subscriptions {
    /// Makes a set of these names, without duplicates. QueryNames beyond [`SUBSCRIPTIONS_MAX`] are
    /// ignored.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<&str> = names.into_iter().take(SUBSCRIPTIONS_MAX).collect();
        names.sort_unstable();
        names.dedup();
        let mut text = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let mut ends = Vec::with_capacity(names.len());
        for name in &names {
            text.push_str(name);
            ends.push(text.len() as u32);
        }
        Subscriptions {
            all: names.iter().any(|name| matches!(*name, "*" | "all")),
            text: text.into(),
            ends: ends.into(),
        }
    }

    /// Returns the number of names in the set.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|nth| self.name(nth))
    }

    /// Returns whether an app with this set receives this stream. Audio is only for apps that name
    /// it.
    pub(crate) fn wants(&self, stream: &str) -> bool {
        (self.all && stream != AUDIO) || self.has(stream)
    }

    /// Returns the bytes of memory that the set holds besides the struct itself.
    pub(crate) fn allocated(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }

    fn has(&self, stream: &str) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle).cmp(stream) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    fn name(&self, nth: usize) -> &str {
        let end = |nth: usize| self.ends.get(nth).map_or(0, |end| *end as usize);
        let start = nth.checked_sub(1).map_or(0, end);
        self.text.get(start..end(nth)).unwrap_or_default()
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_matched_exactly() {
        let wanted = Subscriptions::new(["transcription:en-US", "VAD", "VAD", ""]);
        assert_eq!(
            wanted.iter().collect::<Vec<_>>(),
            ["", "VAD", "transcription:en-US"]
        );
        for (stream, is_wanted) in [
            ("VAD", true),
            ("", true),
            ("transcription:en-US", true),
            ("VA", false),
            ("VADt", false),
            ("transcription:de-DE", false),
        ] {
            assert_eq!(wanted.wants(stream), is_wanted, "{stream}");
        }
        let [none, star, all, both, audio] = [&[][..], &["*"], &["all"], &["*", "all"], &[AUDIO]]
            .map(|names: &[&str]| Subscriptions::new(names.iter().copied()));
        assert!(!none.wants("VAD") && none.is_empty() && none.allocated() == 0);
        assert!(star.wants("x") && all.wants("x"));
        assert!(!both.wants(AUDIO) && audio.wants(AUDIO));
    }

    #[test]
    fn the_largest_set_is_held_and_found() {
        let names: Vec<String> = (0..SUBSCRIPTIONS_MAX + 1)
            .map(|n| format!("{n:0STREAM_MAX$}"))
            .collect();
        let set = Subscriptions::new(names.iter().map(String::as_str));
        assert_eq!(set.len(), SUBSCRIPTIONS_MAX);
        assert_eq!(set.allocated(), SUBSCRIPTIONS_MAX * (STREAM_MAX + 4));
        assert!(names[..SUBSCRIPTIONS_MAX].iter().all(|n| set.wants(n)));
        assert!(!set.wants(&names[SUBSCRIPTIONS_MAX]));
    }
}
