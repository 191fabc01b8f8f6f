// Shared by every kernel: numbering threads and workgroups beyond one dimension's limit.

fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

