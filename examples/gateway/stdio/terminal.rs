//! What is said outside the log. `println!` and `eprintln!` panic where nobody takes what they print;
//! a gateway whose terminal is gone, or whose disk is full, has better things to do.

use std::fmt::Display;
use std::io::{self, Write};

/// A line on standard output.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A line on standard error.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
