//! Knows how much memory is in use, and when it ran out: an allocation that fails ends in a trap that says nothing of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use webmatrix_wire::MemoryKind;

use crate::sys::{get, number};

/// The system's allocator, which counts, and remembers the size of the last allocation that failed.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of the last allocation that failed; 0 while none did.
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// Bytes allocated and not freed.
static HEAP: AtomicUsize = AtomicUsize::new(0);
/// The most that [`HEAP`] ever was.
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Takes down an allocation in place of one of `before` bytes.
fn counted(pointer: *mut u8, size: usize, before: usize) -> *mut u8 {
    if pointer.is_null() {
        REFUSED.store(size, Ordering::Relaxed);
    } else {
        HEAP.fetch_sub(before, Ordering::Relaxed);
        let heap = HEAP.fetch_add(size, Ordering::Relaxed) + size;
        PEAK.fetch_max(heap, Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        counted(unsafe { System.alloc(layout) }, layout.size(), 0)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        counted(unsafe { System.alloc_zeroed(layout) }, layout.size(), 0)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        counted(unsafe { System.realloc(pointer, layout, size) }, size, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes of the allocation that failed, if one did.
pub(crate) fn refused() -> Option<usize> {
    match REFUSED.load(Ordering::Relaxed) {
        0 => None,
        size => Some(size),
    }
}

/// Bytes on the heap now, the most that there ever were, and those of the linear memory that it lies in.
pub(crate) fn heap() -> [(MemoryKind, u64); 3] {
    let linear = number(&get(&wasm_bindgen::memory(), "buffer"), "byteLength");
    [
        (MemoryKind::Heap, HEAP.load(Ordering::Relaxed) as u64),
        (MemoryKind::HeapPeak, PEAK.load(Ordering::Relaxed) as u64),
        (MemoryKind::Linear, linear as u64),
    ]
}
