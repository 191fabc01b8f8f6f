//! A browser's command line in the making.

/// Arguments in order, each switch once, features merged.
///
/// Chromium takes the *last* `--enable-features` and forgets the others without a word, so there must
/// only be one.
#[derive(Debug, Default)]
pub(super) struct Flags {
    args: Vec<String>,
    enabled: Vec<String>,
    disabled: Vec<String>,
}

impl Flags {
    /// Adds an argument; feature lists are taken apart and merged, repetitions are dropped.
    pub(super) fn add(&mut self, arg: impl Into<String>) {
        let arg = arg.into();
        let (list, features) = if let Some(features) = arg.strip_prefix("--enable-features=") {
            (&mut self.enabled, features)
        } else if let Some(features) = arg.strip_prefix("--disable-features=") {
            (&mut self.disabled, features)
        } else {
            if !self.args.contains(&arg) {
                self.args.push(arg);
            }
            return;
        };
        for feature in features.split(',').map(str::trim).filter(|feature| !feature.is_empty()) {
            if !list.iter().any(|known| known == feature) {
                list.push(feature.to_owned());
            }
        }
    }

    pub(super) fn extend(&mut self, args: impl IntoIterator<Item = impl Into<String>>) {
        args.into_iter().for_each(|arg| self.add(arg));
    }

    /// The command line, feature lists last.
    pub(super) fn finish(self) -> Vec<String> {
        let mut args = self.args;
        for (switch, features) in [("enable", self.enabled), ("disable", self.disabled)] {
            if !features.is_empty() {
                args.push(format!("--{switch}-features={}", features.join(",")));
            }
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_merged_into_one_switch() {
        let mut flags = Flags::default();
        flags.extend(["--enable-features=A", "--x", "--enable-features=B,A", "--x", "--disable-features=C"]);
        assert_eq!(flags.finish(), ["--x", "--enable-features=A,B", "--disable-features=C"]);
    }
}
