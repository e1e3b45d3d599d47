//! Tells the service manager how it stands. Does nothing if there is none, which is what an
//! environment without `NOTIFY_SOCKET` means.

#[cfg(unix)]
use sd_notify::NotifyState;

/// Requests are being served.
pub(crate) fn ready() {
    #[cfg(unix)]
    tell(NotifyState::Ready);
}

/// The end has begun.
pub(crate) fn stopping() {
    #[cfg(unix)]
    tell(NotifyState::Stopping);
}

#[cfg(unix)]
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}
