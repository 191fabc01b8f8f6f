//! A toolchain that builds for `wasm32-unknown-unknown`.

use super::{Setup, apt};
use crate::harness::toolchain::{self, Toolchain};
use crate::harness::variant::Variant;
use crate::process::words;

/// Debian's compiler for its browsers. It is newer than Debian's own `rustc`, and can build the standard library for wasm
/// from source, which serves machines where rustup has nothing to fetch from.
const DEBIAN: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy", "lld"];

/// Brings rustup's target where it can be had, else asks for Debian's packages.
pub(super) fn bring(setup: &mut Setup<'_>) {
    let from_source = Variant::defaults().iter().any(|variant| variant.rebuilds_std);
    if Toolchain::find(from_source).is_some() {
        return;
    }
    if toolchain::rustup_allowed() && which::which("rustup").is_ok() {
        let target = words("rustup target add wasm32-unknown-unknown");
        let source = from_source.then(|| words("rustup component add rust-src"));
        let added = setup
            .attempt("the wasm target, which the harness is built for", [target].into_iter().chain(source));
        if added || !setup.install {
            return;
        }
    }
    if apt::present() {
        setup.packages.extend(DEBIAN);
    } else {
        setup.by_hand(
            "a Rust toolchain for wasm32-unknown-unknown",
            "rustup target add wasm32-unknown-unknown",
        );
    }
}
