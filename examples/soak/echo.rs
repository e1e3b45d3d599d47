//! The child process: an echo server on stdin and stdout.

use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

/// Answers each line with the same line, until stdin ends. A line begins with how many
/// microseconds of work the answer is to take.
pub(crate) fn serve() -> io::Result<()> {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        thread::sleep(work_in(&line));
        writeln!(answers, "{line}")?;
        answers.flush()?;
    }
    Ok(())
}

fn work_in(line: &str) -> Duration {
    let micros = line.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_micros(micros.unwrap_or(0))
}
