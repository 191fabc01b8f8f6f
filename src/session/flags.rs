//! A browser's command line in the making.

/// Chromium's lists of features.
const ENABLE: &str = "--enable-features=";
const DISABLE: &str = "--disable-features=";

/// A command line's switches, each feature of a list by itself.
pub(super) fn apart(args: &[String]) -> Vec<String> {
    let mut apart = Vec::new();
    for arg in args {
        match [ENABLE, DISABLE].into_iter().find_map(|list| Some((list, arg.strip_prefix(list)?))) {
            Some((list, features)) => {
                apart.extend(features.split(',').map(|feature| format!("{list}{feature}")))
            }
            None => apart.push(arg.clone()),
        }
    }
    apart
}

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
        let (list, features) = if let Some(features) = arg.strip_prefix(ENABLE) {
            (&mut self.enabled, features)
        } else if let Some(features) = arg.strip_prefix(DISABLE) {
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

    /// The same without some switches; a feature is named as the only one of its list.
    pub(super) fn without(mut self, left_out: &[String]) -> Self {
        let named = |arg: &str| left_out.iter().any(|known| known == arg);
        self.args.retain(|arg| !named(arg));
        self.enabled.retain(|feature| !named(&format!("{ENABLE}{feature}")));
        self.disabled.retain(|feature| !named(&format!("{DISABLE}{feature}")));
        self
    }

    /// The command line, feature lists last.
    pub(super) fn finish(self) -> Vec<String> {
        let mut args = self.args;
        for (switch, features) in [(ENABLE, self.enabled), (DISABLE, self.disabled)] {
            if !features.is_empty() {
                args.push(format!("{switch}{}", features.join(",")));
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

    #[test]
    fn switches_are_left_out_one_by_one() {
        let args = ["--enable-features=A,B", "--x", "--disable-features=C"].map(str::to_owned);
        assert_eq!(
            apart(&args),
            ["--enable-features=A", "--enable-features=B", "--x", "--disable-features=C"]
        );
        let mut flags = Flags::default();
        flags.extend(args);
        let left_out = ["--enable-features=A", "--x", "--disable-features=C"].map(str::to_owned);
        assert_eq!(flags.without(&left_out).finish(), ["--enable-features=B"]);
    }
}
