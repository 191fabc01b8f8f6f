//! The variants of the harness. A browser validates a module as a whole, so one instruction it does not know costs all of
//! it: the page probes first, then loads the best variant that the browser takes.

/// One way to compile the harness.
#[derive(Debug)]
pub(crate) struct Variant {
    /// The folder it is published in, which is also what the page calls it.
    pub(crate) name: &'static str,
    /// Target features beyond the compiler's default for wasm.
    features: &'static str,
    /// Arguments for the linker.
    link_args: &'static [&'static str],
    /// The standard library of the toolchain is compiled without these features and must be compiled anew.
    pub(crate) rebuilds_std: bool,
    /// Features as `wasm-opt` calls them, beyond those that every variant has.
    pub(crate) opt_features: &'static [&'static str],
    /// Built when nothing else is asked for.
    default: bool,
}

const SHARED_MEMORY: &[&str] = &[
    "--shared-memory",
    "--import-memory",
    "--max-memory=4294967296",
    // wasm-bindgen sets up each thread's stack and locals through these.
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
];

/// All variants.
pub(crate) const VARIANTS: [Variant; 4] = [
    Variant {
        name: "simd",
        features: "+simd128",
        link_args: &[],
        rebuilds_std: false,
        opt_features: &[],
        default: true,
    },
    Variant {
        name: "relaxed",
        features: "+simd128,+relaxed-simd",
        link_args: &[],
        rebuilds_std: false,
        opt_features: &["relaxed-simd"],
        default: true,
    },
    Variant {
        name: "threads",
        features: "+simd128,+atomics,+bulk-memory,+mutable-globals",
        link_args: SHARED_MEMORY,
        rebuilds_std: true,
        opt_features: &["threads"],
        default: true,
    },
    Variant {
        name: "relaxed-threads",
        features: "+simd128,+relaxed-simd,+atomics,+bulk-memory,+mutable-globals",
        link_args: SHARED_MEMORY,
        rebuilds_std: true,
        opt_features: &["relaxed-simd", "threads"],
        default: true,
    },
];

impl Variant {
    /// Those that the binary ships.
    pub(crate) fn defaults() -> Vec<&'static Self> {
        VARIANTS.iter().filter(|variant| variant.default).collect()
    }

    /// The variant of that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self, String> {
        let known = || VARIANTS.iter().map(|v| v.name).collect::<Vec<_>>().join(", ");
        VARIANTS.iter().find(|v| v.name == name).ok_or_else(|| format!("the variants are {}", known()))
    }

    /// Compiler flags, as `RUSTFLAGS` takes them: none of them contains a space.
    pub(crate) fn rustflags(&self) -> String {
        // WebGPU and WebNN are still unstable in `web-sys`, and every crate must see the same choice.
        let mut flags =
            vec!["--cfg=web_sys_unstable_apis".to_owned(), format!("-Ctarget-feature={}", self.features)];
        // Kernels are written in the order in which their numbers fit into registers. Left to itself the compiler takes all
        // sums of one kind first, and half of what it has loaded goes to the stack and back.
        flags.push("-Cllvm-args=-pre-RA-sched=source".to_owned());
        flags.extend(self.link_args.iter().map(|arg| format!("-Clink-arg={arg}")));
        flags.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_ships_every_variant() {
        let names: Vec<_> = Variant::defaults().iter().map(|v| v.name).collect();
        assert_eq!(names, ["simd", "relaxed", "threads", "relaxed-threads"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        assert_eq!(
            Variant::named("fast").unwrap_err(),
            "the variants are simd, relaxed, threads, relaxed-threads"
        );
    }

    #[test]
    fn flags_are_one_line() {
        let flags = Variant::named("simd").unwrap().rustflags();
        assert_eq!(
            flags,
            "--cfg=web_sys_unstable_apis -Ctarget-feature=+simd128 -Cllvm-args=-pre-RA-sched=source"
        );
    }
}
