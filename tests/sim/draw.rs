//! Where a run's decisions come from: a seed, or the bytes of a fuzzer.

/// A source of decisions. One that is used up decides for the first, the simplest choice.
pub(crate) enum Draw<'a> {
    Seed(fastrand::Rng),
    Bytes(std::slice::Iter<'a, u8>),
}

impl Draw<'_> {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Draw::Seed(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Draw<'_> {
        Draw::Bytes(bytes.iter())
    }

    /// A number below `n`, which is at most 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        match self {
            Draw::Seed(rng) => rng.usize(..n),
            Draw::Bytes(bytes) => usize::from(bytes.next().copied().unwrap_or(0)) % n,
        }
    }

    pub(crate) fn within(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// True in so many of a hundred cases; false when used up.
    pub(crate) fn percent(&mut self, n: usize) -> bool {
        self.below(100) >= 100 - n
    }

    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    pub(crate) fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | self.below(256) as u64)
    }
}
