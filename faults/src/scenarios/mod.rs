//! What goes wrong, one scenario each: its plan, what it does to the world, and what must have been seen for the run to
//! prove anything.

mod instances;
mod keys;
mod load;
mod network;
mod secrets;
mod store;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::checker::Report;
use crate::plan::Plan;
use crate::world::{Broken, World};

/// A send is answered within a second whatever the store does; on a machine that has more to do, within so many
/// milliseconds.
const ANSWER_MS: u64 = 2_500;

/// A window of keys that ends within a run. Longer than any client goes on with one key: Redis is away for 2 s at a time, an
/// attempt that isn't answered counts as such after 8 s, a connection is made again within 5 s.
const KEY_WINDOW: (&str, &str) = ("LIMITS__KEY_WINDOW_MS", "15000");

/// When the first one has ended wherever clients write all the time.
const WINDOW_ENDED: Duration = Duration::from_secs(17);

/// What a scenario does while its time lasts. What it broke and left so is mended by the run's end.
pub type Course = for<'a> fn(&'a mut World) -> LocalBoxFuture<'a, Result<(), Broken>>;

/// One thing that goes wrong.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// For `--only`.
    pub name: &'static str,
    /// In a sentence.
    pub about: &'static str,
    /// What the run is made of.
    pub plan: fn() -> Plan,
    /// What happens.
    pub course: Course,
    /// What must have been seen.
    pub proof: &'static [Proof],
}

/// Something that must have been seen.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// This, by its name in [`Report::seen`], so often at least.
    Seen(&'static str, usize),
    /// Never this.
    Never(&'static str),
    /// A fault took acknowledgements back, as announced.
    Forfeits,
    /// After a store takes writes again, the next acknowledgement came within so many milliseconds.
    RecoversWithin(u64),
    /// Every attempt that got an answer got it within so many milliseconds.
    AnswersWithin(u64),
    /// With nothing broken, nobody who was connected was behind for longer than so many milliseconds.
    LagWithin(u64),
    /// 99 of 100 clients that lost their connection were back within so many milliseconds.
    ReturnsWithin(u64),
}

impl Proof {
    /// What is missing, if it is. What the service has to do within some time may take `slack` times as long, where the
    /// machine has other work.
    #[must_use]
    pub fn missing(&self, report: &Report, slack: u64) -> Option<String> {
        let seen = |name| report.seen(name);
        match *self {
            Self::Seen(name, least) if seen(name) < least => Some(format!("{name}: {} of {least}", seen(name))),
            Self::Never(name) if seen(name) > 0 => Some(format!("{name}: {} times, and should never be", seen(name))),
            Self::Forfeits if report.forfeited == 0 => Some("no acknowledgement was taken back".to_owned()),
            Self::RecoversWithin(most) => match report.longest_recovery_ms {
                None => Some("nothing was acknowledged afterwards".to_owned()),
                Some(ms) if ms > most * slack => Some(format!("recovered after {ms} ms, allowed are {}", most * slack)),
                Some(_) => None,
            },
            Self::AnswersWithin(most) if report.longest_answer_ms > most * slack => {
                Some(format!("an answer took {} ms, allowed are {}", report.longest_answer_ms, most * slack))
            }
            Self::LagWithin(most) if report.longest_lag_ms > most => {
                Some(format!("somebody was behind by {} ms, allowed are {most}", report.longest_lag_ms))
            }
            Self::ReturnsWithin(most) => match percentile(&report.returns_ms, 99) {
                None => Some("nobody had to return".to_owned()),
                Some(ms) if ms > most * slack => {
                    Some(format!("99 % were back after {ms} ms, allowed are {}", most * slack))
                }
                Some(_) => None,
            },
            _ => None,
        }
    }
}

/// What so many of 100 don't exceed; `None` of nothing.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent).div_ceil(100).checked_sub(1)?).copied()
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [load::SCENARIOS, instances::SCENARIOS, network::SCENARIOS, store::SCENARIOS, keys::SCENARIOS, secrets::SCENARIOS]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_the_table() {
        let names: std::collections::BTreeSet<_> = all().iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().len());
        assert!(names.iter().all(|name| name.len() <= 24 && !name.contains(' ')));
    }

    #[test]
    fn ninety_nine_of_a_hundred_may_leave_one_out() {
        let times: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&times, 99), percentile(&times, 50), percentile(&[7], 99)),
            (Some(99), Some(50), Some(7))
        );
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn what_was_not_seen_proves_nothing() {
        let report = Report::default();
        for proof in
            [Proof::Seen("reset lost", 1), Proof::Forfeits, Proof::RecoversWithin(3_000), Proof::ReturnsWithin(5_000)]
        {
            assert!(proof.missing(&report, 1).is_some(), "{proof:?}");
        }
        assert!(Proof::Never("reset lost").missing(&report, 1).is_none());
        let late = Report { longest_lag_ms: 5_001, ..Report::default() };
        assert!(Proof::LagWithin(5_000).missing(&late, 2).is_some());
        let slow = Report { longest_recovery_ms: Some(5_000), ..Report::default() };
        let allowed = [1, 2].map(|slack| Proof::RecoversWithin(3_000).missing(&slow, slack).is_none());
        assert_eq!(allowed, [false, true]);
    }
}
