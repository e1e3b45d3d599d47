use std::sync::{Arc, Mutex, PoisonError};

use crate::subject::{Setup, SyncSubject};

/// The least that any pool can do: a pop and a push under a mutex. It serves nobody who must wait.
#[derive(Clone, Debug)]
pub struct Limit(Arc<Mutex<Vec<u64>>>);

#[derive(Debug)]
pub struct Taken {
    conn: Option<u64>,
    home: Arc<Mutex<Vec<u64>>>,
}

impl SyncSubject for Limit {
    type Guard = Taken;

    fn open(setup: Setup) -> Self {
        let conns = (0..setup.size as u64).collect();
        Self(Arc::new(Mutex::new(conns)))
    }

    fn acquire(&self) -> Option<Self::Guard> {
        let conn = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        Some(Taken {
            conn: Some(conn),
            home: Arc::clone(&self.0),
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        home.extend(self.conn.take());
    }
}
