//! Who has a connection, since when, and where in the code he got it.

use std::fmt;
use std::panic::Location;
use std::thread::{self, Thread};
use std::time::Duration;

use crate::primitives::Arc;

/// The place in the code that asked for a connection.
pub(crate) type Site = &'static Location<'static>;

/// A connection that is lent, and to whom. Known only of pools that have a
/// [`leak_threshold`](crate::Builder::leak_threshold).
#[derive(Clone)]
pub struct Loan {
    pub(crate) connection: u64,
    pub(crate) held: Duration,
    pub(crate) borrower: Arc<Borrower>,
}

/// Who has acquired a connection.
#[derive(Debug)]
pub(crate) struct Borrower {
    site: Site,
    task: Option<String>,
    thread: Thread,
}

impl Borrower {
    /// Whoever runs this.
    pub(crate) fn here(site: Site, task: Option<String>) -> Self {
        Borrower {
            site,
            task,
            thread: thread::current(),
        }
    }
}

impl Loan {
    /// The number of the connection, as in [`Metrics::id`](crate::Metrics::id).
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// For how long it has been lent.
    pub fn held(&self) -> Duration {
        self.held
    }

    /// The call that acquired it.
    pub fn location(&self) -> &'static Location<'static> {
        self.borrower.site
    }

    /// The task that acquired it, if the runtime [can tell](crate::Spawner::current_task).
    pub fn task(&self) -> Option<&str> {
        self.borrower.task.as_deref()
    }

    /// The name of the thread that acquired it, if it has one. A task may have moved on since.
    pub fn thread(&self) -> Option<&str> {
        self.borrower.thread.name()
    }
}

impl fmt::Display for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loan {
            connection, held, ..
        } = self;
        let location = self.location();
        write!(
            f,
            "connection {connection}, acquired at {location} and held for {held:?}"
        )?;
        if let Some(task) = self.task() {
            write!(f, ", by task {task}")?;
        }
        if let Some(thread) = self.thread() {
            write!(f, ", on thread {thread}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("connection", &self.connection)
            .field("held", &self.held)
            .field("location", &format_args!("{}", self.location()))
            .field("task", &self.task())
            .field("thread", &self.thread())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_says_who_has_what_as_far_as_that_is_known() {
        let told = |task: Option<&str>, name: Option<&str>| {
            let builder = match name {
                Some(name) => thread::Builder::new().name(name.to_owned()),
                None => thread::Builder::new(),
            };
            let (site, task) = (Location::caller(), task.map(str::to_owned));
            let borrower = builder.spawn(move || Borrower::here(site, task));
            let borrower = borrower.expect("a thread").join().expect("no panic");
            let loan = Loan {
                connection: 7,
                held: Duration::from_secs(3),
                borrower: Arc::new(borrower),
            };
            loan.to_string().replace(&site.to_string(), "here")
        };
        let plain = "connection 7, acquired at here and held for 3s";
        assert_eq!(told(None, None), plain);
        assert_eq!(told(Some("9"), None), format!("{plain}, by task 9"));
        let both = format!("{plain}, by task 9, on thread worker");
        assert_eq!(told(Some("9"), Some("worker")), both);
    }
}
