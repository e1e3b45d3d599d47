//! What the programs share.

use std::process;

/// The server's URL, from the command line. Without one the program ends and says how to call it.
pub fn url(example: &str) -> String {
    std::env::args().nth(1).unwrap_or_else(|| {
        eprintln!("tell me where the server is, for example {example}");
        process::exit(2)
    })
}

/// How all of them end.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;
