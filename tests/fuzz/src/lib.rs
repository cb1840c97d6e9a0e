//! Shared by the fuzz targets: the layout of an input, and cuts of a stream into pieces.

/// An input: one byte that selects the settings, two bytes that select the cuts, and the data.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub settings: u8,
    pub cuts: Cuts,
    pub data: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads an input; `None` if it is too short.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (&[settings, a, b], data) = bytes.split_first_chunk()?;
        Some(Input {
            settings,
            cuts: Cuts::new(u16::from_be_bytes([a, b])),
            data,
        })
    }
}

/// Pseudorandom lengths of pieces, from one byte to a largest length that the seed selects.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    state: u64,
    most: u64,
}

impl Cuts {
    /// Creates the lengths of this seed. The low three bits select the largest length.
    pub fn new(seed: u16) -> Self {
        const MOST: [u64; 8] = [1, 2, 3, 7, 16, 100, 1_000, 5_000];
        Cuts {
            state: u64::from(seed) << 1 | 1,
            most: MOST[usize::from(seed & 7)],
        }
    }

    /// Returns the next length.
    pub fn next_len(&mut self) -> usize {
        // Knuth's linear congruential generator; its high bits are the good ones.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        1 + ((self.state >> 33) % self.most) as usize
    }

    /// Cuts `data` into pieces.
    pub fn pieces(mut self, mut data: &[u8]) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        while !data.is_empty() {
            let (piece, rest) = data.split_at(self.next_len().min(data.len()));
            pieces.push(piece);
            data = rest;
        }
        pieces
    }
}
