//! Requests to cancel a statement: they come on a connection of their own, with the number and the
//! secret key of the session (PostgreSQL manual, section 55.2.8).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pgwire::messages::startup::SecretKey;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Notify;

/// The sessions that can be cancelled.
#[derive(Debug, Default)]
pub struct Sessions {
    last: AtomicI32,
    /// Locked only to look up, add or remove one.
    open: Mutex<HashMap<i32, (Bytes, Arc<Notify>)>>,
}

/// A session that can be cancelled until it is dropped.
#[derive(Debug)]
pub struct Registered {
    sessions: Arc<Sessions>,
    pub number: i32,
    pub key: SecretKey,
    /// Wakes who waits while a statement runs; a request that comes at another time is lost, as in
    /// PostgreSQL.
    pub cancelled: Arc<Notify>,
}

impl Sessions {
    /// Adds a session; `key_bytes` is 4, or up to 256 from protocol 3.2 on. `None` if the system has
    /// no random numbers.
    pub fn register(self: &Arc<Sessions>, key_bytes: usize) -> Option<Registered> {
        let mut key = vec![0; key_bytes];
        SystemRandom::new().fill(&mut key).ok()?;
        let (key, cancelled) = (Bytes::from(key), Arc::new(Notify::new()));
        let mut open = self.open.lock().expect("no panic under this lock");
        let number = loop {
            let number = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
            if number != 0 && !open.contains_key(&number) {
                break number;
            }
        };
        open.insert(number, (key.clone(), cancelled.clone()));
        Some(Registered { sessions: self.clone(), number, key: SecretKey::Bytes(key), cancelled })
    }

    /// Cancels what a session runs, if the key is its own.
    pub fn cancel(&self, number: i32, key: &[u8]) {
        let open = self.open.lock().expect("no panic under this lock");
        if let Some((own, cancelled)) = open.get(&number)
            && own.as_ref() == key
        {
            cancelled.notify_waiters();
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.open.lock().expect("no panic under this lock").remove(&self.number);
    }
}
