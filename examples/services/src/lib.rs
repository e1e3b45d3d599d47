//! PostgreSQL and Redis in a watertight pool: managers to copy from, and servers of one's own to try
//! them against.

pub mod blocking;
pub mod net;
pub mod postgres;
pub mod redis;
#[cfg(target_os = "linux")]
pub mod servers;

/// How the programs end.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The server's URL, the first argument. Without one the program ends and says how to call it.
pub fn url(example: &str) -> String {
    std::env::args().nth(1).unwrap_or_else(|| {
        eprintln!("tell me where the server is, for example {example}");
        std::process::exit(2)
    })
}
