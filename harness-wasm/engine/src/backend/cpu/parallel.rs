//! Threads for one kernel at a time. A result is cut into parts in which no sum is divided, so that whoever computes which,
//! the bits are those of one thread.
//!
//! Who starts the threads depends on where they run: the host spawns them, a page starts workers that share its memory.
//! Either way a thread is a [`Member`] that serves until the [`Crew`] is gone.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Multiply-adds that are worth waking a thread for.
const GRAIN: usize = 1 << 15;
/// Parts for each thread.
const EACH: usize = 2;
/// Looks at a counter before a thread goes to sleep: kernels follow each other closely, and waking costs more than they.
const LOOKS: usize = 1 << 12;

/// The threads of an executor, the caller's included.
pub struct Crew {
    shared: Option<Arc<Shared>>,
    grain: usize,
}

/// What a thread of a crew needs to take part.
#[derive(Clone)]
pub struct Member(Arc<Shared>);

/// What every thread of a kernel runs, with the number of the thread.
type Work<'w> = &'w (dyn Fn(usize) + Sync);

#[derive(Default)]
struct Turn {
    /// Counts kernels up.
    number: u64,
    work: Option<Work<'static>>,
    /// Members that are at it.
    active: usize,
    over: bool,
    /// What became of a member that did not finish.
    fault: Option<String>,
}

struct Shared {
    turn: Mutex<Turn>,
    called: Condvar,
    finished: Condvar,
    /// As in `turn`, for looking without the lock.
    number: AtomicU64,
    /// Parts computed, by thread.
    parts: Vec<AtomicU64>,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

impl Crew {
    /// The caller's thread alone.
    pub fn alone() -> Self {
        Self { shared: None, grain: GRAIN }
    }

    /// So many threads, of which the caller starts all but its own: each is to call [`Member::serve`] with its number,
    /// from 1 on.
    pub fn of(threads: usize) -> (Self, Member) {
        let shared = Arc::new(Shared {
            turn: Mutex::default(),
            called: Condvar::new(),
            finished: Condvar::new(),
            number: AtomicU64::new(0),
            parts: (0..threads.max(1)).map(|_| AtomicU64::new(0)).collect(),
        });
        (Self { shared: Some(Arc::clone(&shared)), grain: GRAIN }, Member(shared))
    }

    /// So many threads of the host, which end with the crew.
    ///
    /// # Errors
    /// If the host starts no more threads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn spawned(threads: usize) -> std::io::Result<Self> {
        if threads <= 1 {
            return Ok(Self::alone());
        }
        let (crew, member) = Self::of(threads);
        for number in 1..threads {
            let member = member.clone();
            let name = format!("kernels {number}");
            std::thread::Builder::new().name(name).spawn(move || member.serve(number))?;
        }
        Ok(crew)
    }

    /// In place of the usual number of multiply-adds for which a thread is woken.
    #[must_use]
    pub fn with_grain(mut self, grain: usize) -> Self {
        self.grain = grain.max(1);
        self
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.shared.as_ref().map_or(1, |shared| shared.parts.len())
    }

    /// How many threads have computed a part of anything.
    pub fn worked(&self) -> usize {
        let Some(shared) = &self.shared else { return 1 };
        shared.parts.iter().filter(|parts| parts.load(Ordering::Relaxed) > 0).count().max(1)
    }

    /// Cuts `units`, each of so many multiply-adds, into ranges that are worth a thread's while: one at least, and some for
    /// each thread, so that one which is kept from its own costs little.
    pub(super) fn split(&self, units: usize, cost: usize) -> Vec<Range<usize>> {
        let most = if self.threads() > 1 { self.threads() * EACH } else { 1 };
        let worth = units.saturating_mul(cost) / self.grain;
        let parts = most.min(units).min(worth).max(1);
        (0..parts).map(|part| units * part / parts..units * (part + 1) / parts).collect()
    }

    /// Runs `compute` on each part. A thread begins with its own, and goes on with what others have not come to.
    pub(super) fn each<T: Send>(&self, parts: Vec<T>, compute: impl Fn(T) + Sync) {
        let Some(shared) = self.shared.as_ref().filter(|_| parts.len() > 1) else {
            parts.into_iter().for_each(compute);
            return;
        };
        let (threads, unfinished) = (self.threads(), AtomicUsize::new(parts.len()));
        let parts: Vec<Mutex<Option<T>>> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
        let work = |number: usize| {
            let own = (number..parts.len()).step_by(threads);
            // What a thread that never computed is to begin with is left to it: all of them must be known to.
            let others =
                (0..parts.len()).filter(|part| shared.parts[part % threads].load(Ordering::Relaxed) > 0);
            for part in own.chain(others) {
                let Some(part) = lock(&parts[part]).take() else { continue };
                shared.parts[number].fetch_add(1, Ordering::Relaxed);
                compute(part);
                unfinished.fetch_sub(1, Ordering::Release);
            }
        };
        shared.run(&work, &unfinished);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            lock(&shared.turn).over = true;
            shared.called.notify_all();
        }
    }
}

impl Member {
    /// Takes part in every kernel as thread `number`, until the crew is gone.
    pub fn serve(&self, number: usize) {
        let mut last = 0;
        while let Some((turn, work)) = self.0.next(last) {
            last = turn;
            // A panic is told to the caller's thread, which waits; where panics abort, nothing is caught here, and
            // who started the thread tells of its end.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(number)));
            self.0.done(ended.err().map(|_| format!("thread {number} panicked")));
        }
    }

    /// Tells that a thread ended before its part was done, so that nobody waits for it.
    pub fn fail(&self, why: &str) {
        self.0.done(Some(why.to_owned()));
    }
}

impl Shared {
    /// The kernel after turn `last`, once there is one; none when the crew is gone. Who has it is waited for until
    /// [`Self::done`].
    fn next(&self, last: u64) -> Option<(u64, Work<'static>)> {
        look(|| self.number.load(Ordering::Acquire) != last);
        let mut turn = lock(&self.turn);
        loop {
            if turn.over {
                return None;
            }
            match turn.work {
                Some(work) if turn.number != last => {
                    turn.active += 1;
                    return Some((turn.number, work));
                }
                _ => turn = self.called.wait(turn).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// A member has no more to do in its turn.
    fn done(&self, fault: Option<String>) {
        let mut turn = lock(&self.turn);
        turn.active = turn.active.saturating_sub(1);
        if fault.is_some() {
            turn.fault = fault;
        }
        if turn.active == 0 {
            self.finished.notify_all();
        }
    }

    /// Runs `work` on every thread that comes, and returns when no part is unfinished and no thread at it.
    fn run(&self, work: Work<'_>, unfinished: &AtomicUsize) {
        // SAFETY: only the lifetime changes. Members use the reference between `next` and their `done`, and `Finish` does
        // not let this function end, not by a panic either, before all of them are done and no other can have it.
        let work: Work<'static> = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
        let finish = Finish { shared: self, unfinished };
        {
            let mut turn = lock(&self.turn);
            turn.number += 1;
            turn.work = Some(work);
            self.number.store(turn.number, Ordering::Release);
        }
        self.called.notify_all();
        work(0);
        drop(finish);
        if let Some(fault) = lock(&self.turn).fault.take() {
            panic!("{fault}");
        }
    }
}

/// Waits for all parts and members, however the caller's own part ends.
struct Finish<'s> {
    shared: &'s Shared,
    unfinished: &'s AtomicUsize,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let unfinished = || self.unfinished.load(Ordering::Acquire) > 0;
        look(|| !unfinished());
        let mut turn = lock(&self.shared.turn);
        // After a fault some part may never be finished.
        while turn.active > 0 || (unfinished() && turn.fault.is_none() && !std::thread::panicking()) {
            turn = self.shared.finished.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn.work = None;
    }
}

/// Looks for a while whether something has come true.
fn look(come: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if come() {
            return;
        }
        std::hint::spin_loop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of a matrix of so many columns, cut at `parts`, which lie side by side: for each part a piece of every row.
pub(super) fn columns<'o>(
    matrix: &'o mut [f32],
    width: usize,
    parts: &[Range<usize>],
) -> Vec<Vec<&'o mut [f32]>> {
    let mut pieces: Vec<Vec<&'o mut [f32]>> = parts.iter().map(|_| Vec::new()).collect();
    for row in matrix.chunks_exact_mut(width.max(1)) {
        for (pieces, piece) in pieces.iter_mut().zip(consecutive(row, parts, 1)) {
            pieces.push(piece);
        }
    }
    pieces
}

/// Pieces of a slice, one after the other: `unit` elements for each number of a part.
pub(super) fn consecutive<'o>(
    mut slice: &'o mut [f32],
    parts: &[Range<usize>],
    unit: usize,
) -> Vec<&'o mut [f32]> {
    let piece = |part: &Range<usize>| {
        let at = (part.len() * unit).min(slice.len());
        slice.split_off_mut(..at).unwrap_or_default()
    };
    parts.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        let crew = Crew::of(4).0.with_grain(1);
        for units in 0..20 {
            let parts = crew.split(units, 1);
            assert!(parts.len() <= 4 * EACH && !parts.is_empty());
            let all: Vec<usize> = parts.into_iter().flatten().collect();
            assert_eq!(all, (0..units).collect::<Vec<_>>());
        }
        assert_eq!(Crew::of(4).0.split(4, GRAIN / 4).len(), 1, "too little work for two");
    }

    #[test]
    fn every_thread_computes_and_is_counted() {
        let crew = Crew::spawned(3).unwrap().with_grain(1);
        let mut x = vec![0.0; 10];
        for round in 0..200 {
            let parts = crew.split(10, 1);
            assert_eq!(parts.len(), 3 * EACH);
            crew.each(consecutive(&mut x, &parts, 1), |piece| piece.iter_mut().for_each(|x| *x += 1.0));
            assert_eq!(x, vec![round as f32 + 1.0; 10]);
        }
        assert_eq!((crew.threads(), crew.worked()), (3, 3));
        assert_eq!(Crew::alone().worked(), 1);
        assert_eq!(Crew::of(2).0.worked(), 1, "nobody has come yet");
    }

    #[test]
    #[should_panic(expected = "thread 1 panicked")]
    fn a_panic_in_a_thread_is_the_callers() {
        let crew = Crew::spawned(2).unwrap().with_grain(1);
        crew.each(vec![0, 1], |part| assert_eq!(part, 0));
    }

    #[test]
    #[should_panic(expected = "worker 1: trap")]
    fn a_thread_that_died_is_not_waited_for() {
        let (crew, member) = Crew::of(2);
        let dies = std::thread::spawn(move || {
            member.0.next(0);
            member.fail("worker 1: trap");
        });
        crew.each(vec![0, 1], |_| ());
        dies.join().unwrap();
    }
}
