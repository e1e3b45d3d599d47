//! The pool under a model checker: small scenarios, each under every schedule or very many.
//!
//! See `verify/README.md`.

mod ageing;
mod begun_here;
mod cancelling;
mod closing;
mod exits;
mod harness;
#[cfg(shuttle)]
mod keyed;
mod losing;
mod operating;
mod serving;
mod support;
