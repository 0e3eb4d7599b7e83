//! The table that a campaign prints.

use std::fmt::Write as _;

use crate::checker::Report;

/// One row: a scenario and what was found.
pub struct Row {
    /// The scenario.
    pub name: &'static str,
    /// What the checker said, if the run came so far.
    pub report: Option<Report>,
    /// What is wrong beside that, if anything.
    pub problems: Vec<String>,
    /// Seconds that it took.
    pub seconds: u64,
}

impl Row {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.report.as_ref().is_some_and(Report::is_clean)
    }
}

impl Report {
    /// How often something was seen.
    #[must_use]
    pub fn seen(&self, name: &str) -> usize {
        self.seen.get(name).copied().unwrap_or(0)
    }
}

/// Renders the rows.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<20} {:>6} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>6} {:>8} {:>8} {:>8}  {}\n",
        "scenario",
        "acked",
        "s.io",
        "recov",
        "lost",
        "dupl",
        "inv",
        "gaps",
        "other",
        "taken",
        "pause",
        "recovery",
        "lag",
        "verdict"
    );
    for row in rows {
        let verdict = if row.is_clean() { "ok" } else { "FAILED" };
        match &row.report {
            None => writeln!(text, "{:<20} {:>84}  {verdict}", row.name, "no result"),
            Some(report) => writeln!(
                text,
                "{:<20} {:>6} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>6} {:>8} {:>8} {:>8}  {verdict}",
                row.name,
                report.acknowledged,
                report.seen("confirmed"),
                report.seen("recovered"),
                report.lost,
                report.duplicates,
                report.inversions,
                report.gaps,
                report.other,
                report.forfeited,
                ms(Some(report.longest_pause_ms)),
                ms(report.longest_recovery_ms),
                ms(Some(report.longest_lag_ms)),
            ),
        }
        .unwrap_or_default();
    }
    text.push_str(
        "acked: acknowledged writes, s.io: of Socket.IO clients. recov: connections of those that went on where they were.\n\
         lost, dupl(icate), inv(ersions), unannounced gaps, other: what must not be.\n\
         taken: acknowledgements taken back as the contract says and announced. pause: longest time without an\n\
         acknowledgement. recovery: from a store that takes writes again to the next one. lag: how far a connected\n\
         client was behind.\n",
    );
    text
}

fn ms(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
}
