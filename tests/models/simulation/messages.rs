//! Messages that carry their sender and number, and a filler that shows damage.

/// The peer, the message number, and filler that depends on both.
pub(super) fn tagged(index: u32, seq: u32, size: usize) -> Vec<u8> {
    let mut data = [index.to_be_bytes(), seq.to_be_bytes()].concat();
    data.resize(size.max(8), (index ^ seq) as u8);
    data
}

pub(super) fn read_tag(data: &[u8]) -> (u32, u32) {
    let number = |at: usize| {
        data.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(u32::MAX, u32::from_be_bytes)
    };
    (number(0), number(4))
}

/// Returns the number in a heartbeat that is a text.
pub(super) fn beat_number(text: &str) -> Option<u64> {
    text.strip_prefix("{\"ping\":")?
        .strip_suffix('}')?
        .parse()
        .ok()
}

/// Returns the number in the answer to a heartbeat that is a text.
pub(super) fn answered_number(text: &str) -> Option<u64> {
    text.strip_prefix("answer ")?.parse().ok()
}

/// Returns a peer's answer to a text.
pub(super) fn answer_to(text: &str) -> Option<String> {
    Some(format!("answer {}", beat_number(text)?))
}

pub(super) fn intact(data: &[u8]) -> bool {
    let (index, seq) = read_tag(data);
    data.get(8..)
        .is_some_and(|filler| filler.iter().all(|b| *b == (index ^ seq) as u8))
}
