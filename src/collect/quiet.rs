//! What else works on this machine waits until nothing is measured.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// Shared by attempts, which measure, and by whoever works between them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quiet(Arc<RwLock<()>>);

impl Quiet {
    /// Held while something is measured. It waits for work that has begun, or that has waited longer.
    pub(super) async fn measuring(&self) -> OwnedRwLockReadGuard<()> {
        self.0.clone().read_owned().await
    }

    /// Works as soon as nothing is measured; nothing is until it is done. For threads that may block.
    pub fn between<T>(&self, work: impl FnOnce() -> T) -> T {
        let _none = self.0.blocking_write();
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_waits_for_an_attempt_and_the_next_attempt_for_the_work() {
        let (quiet, begun, done) =
            (Quiet::default(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let measuring = quiet.measuring().await;
        let (theirs, began, did) = (quiet.clone(), begun.clone(), done.clone());
        let worker = std::thread::spawn(move || {
            theirs.between(|| {
                began.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                did.store(true, Ordering::SeqCst);
            });
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!begun.load(Ordering::SeqCst), "it works while something is measured");
        drop(measuring);
        // Whether the thread came first or not: what is measured begins either before it or after all of it.
        while !begun.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _next = quiet.measuring().await;
        assert!(done.load(Ordering::SeqCst), "something is measured while it works");
        worker.join().unwrap_or_else(|_| panic!("it panicked"));
    }
}
