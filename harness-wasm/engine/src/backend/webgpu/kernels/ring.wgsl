// Where a key stands of which rows are a ring.
override RING: bool;

// No place: nothing was written to the row yet.
const NOWHERE = 0xffffffffu;

// Of the places before `written`, the last that is in this row of the ring; rows behind the ring follow it.
fn place_of(key: u32, ring: u32, written: u32) -> u32 {
    if (!RING) {
        return key;
    }
    if (key >= ring) {
        return written + key - ring;
    }
    let back = (written + ring - 1u - key) % ring;
    return select(NOWHERE, written - 1u - back, back < written);
}

