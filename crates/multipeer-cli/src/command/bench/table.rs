//! What was measured: a line each, or a JSON object each.

use serde_json::json;

use crate::output::{self, JsonEvents, object};

/// What a figure counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// Seconds, shown as microseconds.
    Micros,
    /// Things a second, of so many bytes each.
    PerSecond {
        bytes: u64,
    },
    BytesPerSecond,
}

/// One measurement: a figure for each turn of each side.
pub(super) struct Row {
    what: String,
    unit: Unit,
    pub(super) ours: Vec<f64>,
    /// Empty where there is nothing to compare with.
    pub(super) theirs: Vec<f64>,
    /// Whose they are.
    pub(super) beside: &'static str,
    wanted: Option<Wanted>,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    pub(super) fn new(what: &str, unit: Unit) -> Self {
        let (ours, theirs) = (Vec::new(), Vec::new());
        Self { what: what.to_owned(), unit, ours, theirs, beside: "raw iroh", wanted: None }
    }

    /// The ratio to be reached.
    pub(super) fn at_least(self, ratio: f64) -> Self {
        Self { wanted: Some(Wanted::AtLeast(ratio)), ..self }
    }

    /// The ratio not to be exceeded.
    pub(super) fn at_most(self, ratio: f64) -> Self {
        Self { wanted: Some(Wanted::AtMost(ratio)), ..self }
    }

    fn ratio(&self) -> Option<f64> {
        Some(middle(&self.ours)? / middle(&self.theirs)?)
    }
}

/// The median; nothing of nothing.
fn middle(figures: &[f64]) -> Option<f64> {
    let mut figures = figures.to_vec();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

impl Unit {
    #[expect(clippy::cast_precision_loss, reason = "sizes of messages are small")]
    fn show(self, figure: f64) -> String {
        match self {
            Self::Micros => format!("{:.1} us", figure * 1e6),
            Self::PerSecond { bytes } => {
                format!("{figure:.0} /s, {:.0} MB/s", figure * bytes as f64 / 1e6)
            }
            Self::BytesPerSecond => format!("{:.0} MB/s", figure / 1e6),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Micros => "seconds",
            Self::PerSecond { .. } => "per_second",
            Self::BytesPerSecond => "bytes_per_second",
        }
    }
}

/// Prints rows as they come.
pub(super) struct Table {
    json: Option<JsonEvents>,
}

impl Table {
    pub(super) fn new(json: bool) -> Self {
        let json = json.then(JsonEvents::new);
        if json.is_none() {
            let head = line("", "multipeer", "beside", "", "ratio", "to reach");
            output::line(&head);
        }
        Self { json }
    }

    pub(super) fn print(&self, row: &Row) {
        let (ours, theirs) = (middle(&row.ours), middle(&row.theirs));
        if let Some(json) = &self.json {
            let (at_least, at_most) = match row.wanted {
                Some(Wanted::AtLeast(ratio)) => (Some(ratio), None),
                Some(Wanted::AtMost(ratio)) => (None, Some(ratio)),
                None => (None, None),
            };
            json.print_object(object(json!({
                "event": "measured",
                "what": row.what,
                "unit": row.unit.name(),
                "multipeer": ours,
                "beside": theirs,
                "beside_name": theirs.map(|_| row.beside),
                "turns": row.ours.len(),
                "ratio": row.ratio(),
                "at_least": at_least,
                "at_most": at_most,
            })));
            return;
        }
        let show = |figure: Option<f64>| figure.map_or_else(String::new, |f| row.unit.show(f));
        let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let wanted = match row.wanted {
            Some(Wanted::AtLeast(ratio)) => format!(">= {ratio}"),
            Some(Wanted::AtMost(ratio)) => format!("<= {ratio}"),
            None => String::new(),
        };
        let beside = if row.theirs.is_empty() { "" } else { row.beside };
        output::line(&line(&row.what, &show(ours), &show(theirs), beside, &ratio, &wanted));
    }
}

fn line(what: &str, ours: &str, theirs: &str, whose: &str, ratio: &str, wanted: &str) -> String {
    let line = format!("{what:<38} {ours:>22} {theirs:>22} {whose:<9} {ratio:>5}  {wanted}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        let mut row = Row::new("test", Unit::BytesPerSecond);
        row.ours = vec![90.0, 1.0, 100.0];
        assert_eq!(row.ratio(), None);
        row.theirs = vec![45.0, 1000.0, 1.0];
        assert_eq!(row.ratio(), Some(2.0));
    }
}
