//! How often, how long and under which conditions is measured.

use std::str::FromStr;

use clap::ValueEnum;

/// Seconds of a cell's inferences at most, where only a width is given.
const BUDGET_S: f64 = 10.0;
/// The most inferences of one cell.
const MOST: u32 = 10_000;

/// How often and how long.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct MeasureArgs {
    /// Timed inferences a cell, over all rounds where there are some, or `auto`: warm up until times rest, then infer until the median's interval is narrow enough
    /// or the time is spent
    #[arg(long, env = "WEBMATRIX_SAMPLES", value_name = "N|auto")]
    pub(in crate::cli) samples: Option<Samples>,
    /// With --samples auto: how wide the median's 95 % interval may be, as part of it; where a cell is run in rounds, that of each
    /// round [default: 5%]
    #[arg(long, env = "WEBMATRIX_INTERVAL_WIDTH", value_name = "P%")]
    pub(in crate::cli) interval_width: Option<Share>,
    /// With --samples auto: seconds of inferences a cell at most, warm-ups included and over all rounds [default: 10]
    #[arg(long, env = "WEBMATRIX_TIME_BUDGET", value_name = "S", value_parser = positive)]
    pub(in crate::cli) time_budget: Option<f64>,
    /// Seconds of rest before each try at a cell
    #[arg(long, env = "WEBMATRIX_COOL_DOWN", value_name = "S", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(in crate::cli) cool_down: Option<u32>,
}

impl MeasureArgs {
    /// The number that was given, or the most.
    pub(in crate::cli) fn number(&self) -> Option<u32> {
        match self.samples {
            Some(Samples::Number(number)) => Some(number),
            Some(Samples::Auto) => Some(MOST),
            // A width or a time says that the number is not what ends it.
            None => (self.interval_width.is_some() || self.time_budget.is_some()).then_some(MOST),
        }
    }

    /// The width that ends it, where something but a number is to.
    pub(in crate::cli) fn width(&self) -> Option<f64> {
        let usual = (self.samples == Some(Samples::Auto)).then_some(0.05);
        self.interval_width.map(|share| share.0).or(usual)
    }

    /// As many as it takes, where nothing else is said and `auto` is what is usual.
    pub(in crate::cli) fn or_auto(&self, auto: bool) -> Self {
        let usual = (auto && self.number().is_none()).then_some(Samples::Auto);
        Self { samples: self.samples.or(usual), ..self.clone() }
    }

    /// Seconds of inferences that each of so many rounds may take, where something but a number ends it.
    pub(in crate::cli) fn budget_of(&self, rounds: u16) -> Option<f64> {
        let given = self.time_budget.or_else(|| self.width().map(|_| BUDGET_S));
        given.map(|seconds| seconds / f64::from(rounds.max(1)))
    }
}

/// Timed inferences of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Samples {
    /// As many as it takes.
    Auto,
    /// So many.
    Number(u32),
}

impl FromStr for Samples {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
        number.map(Self::Number).ok_or_else(|| format!("neither auto nor a number from 1 to {MOST}"))
    }
}

/// A part of something: `5%` or `0.05`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Share(pub(in crate::cli) f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let share = number.trim().parse::<f64>().ok().map(|number| number / unit);
        let share = share.filter(|share| *share > 0.0 && *share < 1.0);
        share.map(Self).ok_or_else(|| "write a part between 0 and 1, such as 5% or 0.05".to_owned())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "write a number above 0".to_owned())
}

/// What is done where the machine is not as quiet as times need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum EnvValidation {
    /// It is told, and kept with the run.
    #[default]
    Warn,
    /// Nothing is run.
    Require,
    /// Nothing is told.
    Off,
}

/// Under which conditions.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct ConditionArgs {
    /// What to do where the machine is busy, hot, on its battery, or other browsers run: tell it, run nothing, or neither
    #[arg(long, value_enum, default_value_t = EnvValidation::Warn, env = "WEBMATRIX_ENV_VALIDATION")]
    pub(in crate::cli) env_validation: EnvValidation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_samples_are_read() {
        assert_eq!("5%".parse::<Share>(), Ok(Share(0.05)));
        assert_eq!("0.2".parse::<Share>(), Ok(Share(0.2)));
        for wrong in ["0", "5", "100%", "-1%", "x", "NaN", "inf"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert_eq!("auto".parse::<Samples>(), Ok(Samples::Auto));
        assert_eq!("10000".parse::<Samples>(), Ok(Samples::Number(10_000)));
        assert!("0".parse::<Samples>().is_err() && "10001".parse::<Samples>().is_err());
    }

    #[test]
    fn a_time_alone_ends_it_too() {
        let args = MeasureArgs { time_budget: Some(2.0), ..MeasureArgs::default() };
        assert_eq!((args.number(), args.width()), (Some(MOST), None));
        assert_eq!(args.budget_of(4), Some(0.5));
        let auto = MeasureArgs { samples: Some(Samples::Auto), ..MeasureArgs::default() };
        assert_eq!((auto.width(), auto.budget_of(5)), (Some(0.05), Some(2.0)));
        assert_eq!(MeasureArgs::default().or_auto(true).width(), Some(0.05));
        assert_eq!(MeasureArgs::default().or_auto(false).number(), None);
        let args = MeasureArgs { samples: Some(Samples::Number(7)), ..MeasureArgs::default() }.or_auto(true);
        assert_eq!(args.budget_of(4), None);
        assert_eq!((args.number(), args.width()), (Some(7), None));
    }
}
