//! Whether tokio's clock can be another than the system's.

/// Whether tokio was built with a clock that can be paused, which nobody can ask it: its feature
/// `test-util` alone makes `tokio::time::pause`. The inner of the two imports goes first if it has that
/// name. Without such a clock tokio's is the system's, and no runtime needs to be looked for.
pub(super) const fn can_be_paused() -> bool {
    #[allow(unused_imports)]
    use absent::*;
    {
        #[allow(unused_imports)]
        use ::tokio::time::*;
        is_tokios(pause)
    }
}

/// What is found if tokio has no such function.
#[allow(dead_code)]
mod absent {
    pub(super) struct Absent;

    pub(super) fn pause() -> Absent {
        Absent
    }
}

trait Answer {
    const IS_TOKIOS: bool;
}

impl Answer for () {
    const IS_TOKIOS: bool = true;
}

impl Answer for absent::Absent {
    const IS_TOKIOS: bool = false;
}

const fn is_tokios<A: Answer>(_: fn() -> A) -> bool {
    A::IS_TOKIOS
}
