// What the lanes of a workgroup have together, by halving: every lane calls, and gets it.
var<workgroup> parts: array<f32, LANES>;

fn workgroup_sum(lane: u32, value: f32) -> f32 {
    parts[lane] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if (lane < step) {
            parts[lane] += parts[lane + step];
        }
        workgroupBarrier();
    }
    let sum = parts[0];
    workgroupBarrier();
    return sum;
}

fn workgroup_max(lane: u32, value: f32) -> f32 {
    parts[lane] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if (lane < step) {
            parts[lane] = max(parts[lane], parts[lane + step]);
        }
        workgroupBarrier();
    }
    let top = parts[0];
    workgroupBarrier();
    return top;
}
