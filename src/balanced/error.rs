//! What went wrong at each of several endpoints.

use std::error::Error;
use std::fmt;

use crate::error::ConnectError;
use crate::primitives::Arc;

/// Why a [`Balanced`](super::Balanced) manager could not connect, check or recycle: what went
/// wrong at each endpoint that was tried, in the order in which they were.
///
/// Its `Display` lists them all in one line. As there may be several causes it has no single
/// `source`: each [failure](BalancedError::failures) is an error with a source of its own.
pub struct BalancedError<E> {
    failures: Vec<EndpointFailure<E>>,
}

/// What went wrong at one endpoint.
pub struct EndpointFailure<E> {
    endpoint: usize,
    error: ConnectError<E>,
}

impl<E> BalancedError<E> {
    pub(super) fn new(failures: Vec<EndpointFailure<E>>) -> Self {
        BalancedError { failures }
    }

    /// What went wrong with one connection.
    pub(super) fn of_one(endpoint: usize, error: E) -> Self {
        let error = ConnectError::Failed(Arc::new(error));
        BalancedError::new(vec![EndpointFailure { endpoint, error }])
    }

    /// The failures, one for each endpoint that was tried. Empty if there is no endpoint, or none
    /// of the role that is [required](super::Balanced::requiring).
    pub fn failures(&self) -> &[EndpointFailure<E>] {
        &self.failures
    }
}

impl<E> EndpointFailure<E> {
    pub(super) fn new(endpoint: usize, error: ConnectError<E>) -> Self {
        EndpointFailure { endpoint, error }
    }

    /// The number of the endpoint, from 0.
    pub fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// What went wrong there.
    pub fn error(&self) -> &ConnectError<E> {
        &self.error
    }
}

impl<E: fmt::Display> fmt::Display for BalancedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("there is no endpoint to connect to, or none of the required role");
        }
        for (number, failure) in self.failures.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}endpoint {}: ", failure.endpoint)?;
            match &failure.error {
                ConnectError::Failed(error) => write!(f, "{error}")?,
                ConnectError::TimedOut => f.write_str("timed out")?,
                ConnectError::Panicked => f.write_str("the manager panicked")?,
            }
        }
        Ok(())
    }
}

impl<E> fmt::Display for EndpointFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {} failed", self.endpoint)
    }
}

impl<E: fmt::Debug> fmt::Debug for BalancedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.failures).finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for EndpointFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointFailure")
            .field("endpoint", &self.endpoint)
            .field("error", &self.error)
            .finish()
    }
}

impl<E: Error + 'static> Error for BalancedError<E> {}

impl<E: Error + 'static> Error for EndpointFailure<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl<E> Clone for EndpointFailure<E> {
    fn clone(&self) -> Self {
        EndpointFailure::new(self.endpoint, self.error.clone())
    }
}
