// What the lanes of a workgroup have together, by subgroups of whatever size: every lane calls, and gets it. Which
// lanes are of one subgroup nobody says, so each subgroup's sum lies with its first lane, among zeros.
var<workgroup> parts: array<f32, LANES>;

fn workgroup_sum(lane: u32, value: f32) -> f32 {
    let own = subgroupExclusiveAdd(1u);
    let step = subgroupAdd(1u);
    parts[lane] = select(0.0, subgroupAdd(value), own == 0u);
    workgroupBarrier();
    var part = 0.0;
    for (var i = own; i < LANES; i += step) {
        part += parts[i];
    }
    let sum = subgroupAdd(part);
    workgroupBarrier();
    return sum;
}

fn workgroup_max(lane: u32, value: f32) -> f32 {
    let own = subgroupExclusiveAdd(1u);
    let step = subgroupAdd(1u);
    parts[lane] = subgroupMax(value);
    workgroupBarrier();
    var part = parts[0];
    for (var i = own; i < LANES; i += step) {
        part = max(part, parts[i]);
    }
    let top = subgroupMax(part);
    workgroupBarrier();
    return top;
}
