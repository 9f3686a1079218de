//! How transfers are shown: bars on a terminal, JSON events, or a line at the end.

use std::{io::IsTerminal, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use multipeer::{Progress, Transfer, TransferDirection, TransferState};
use serde_json::{Map, Value, json};

use crate::{
    failure::Failure,
    output::{self, JsonEvents, object, peer_json, printable},
};

/// Where transfers are shown.
pub(crate) struct Display {
    json: Option<JsonEvents>,
    bars: Option<(MultiProgress, Option<ProgressBar>)>,
}

impl Display {
    pub(crate) fn new(json: bool, count: usize) -> Self {
        let on_terminal = !json && std::io::stderr().is_terminal();
        let bars = on_terminal.then(|| {
            let bars = MultiProgress::new();
            let total = (count > 1).then(|| {
                let total = bars.add(ProgressBar::new(0).with_style(style()));
                total.set_prefix("total");
                total
            });
            (bars, total)
        });
        Self { json: json.then(JsonEvents::new), bars }
    }

    fn bar(&self, transfer: &Transfer) -> Option<ProgressBar> {
        let (bars, total) = self.bars.as_ref()?;
        let size = transfer.current_progress().total;
        let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style());
        bar.set_prefix(printable(transfer.name()));
        bar.enable_steady_tick(Duration::from_millis(200));
        if let Some(total) = total {
            total.inc_length(size.unwrap_or(0));
            return Some(bars.insert_before(total, bar));
        }
        Some(bars.add(bar))
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:20!} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    // The template is right, or every test of this fails.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Shows a transfer until it has ended.
pub(crate) async fn follow(transfer: &mut Transfer, display: &Display) -> Result<(), Failure> {
    let bar = display.bar(transfer);
    let mut shown = 0;
    while let Some(progress) = transfer.progress().await {
        if let Some(json) = &display.json {
            json.print_object(progress_json(transfer, &progress));
        }
        if let (Some(bar), Some((_, total))) = (&bar, &display.bars) {
            bar.set_position(progress.done);
            bar.set_message(message(&progress));
            if let Some(total) = total {
                total.inc(progress.done.saturating_sub(shown));
            }
            shown = shown.max(progress.done);
        }
    }
    let result = transfer.finished().await;
    if let Some(bar) = bar {
        if let Ok(report) = &result {
            bar.set_position(report.bytes);
        }
        bar.abandon_with_message(if result.is_ok() { "done" } else { "failed" });
    }
    let report =
        result.map_err(|error| Failure::Transfer { name: printable(transfer.name()), error })?;
    let verb = match transfer.direction() {
        TransferDirection::Sending => "sent",
        TransferDirection::Receiving => "received",
    };
    let path = report.path.as_ref().map(|path| path.display().to_string());
    if let Some(json) = &display.json {
        json.print_object(object(json!({
            "event": "transferred",
            "peer": peer_json(transfer.peer()),
            "name": transfer.name(),
            "direction": verb,
            "bytes": report.bytes,
            "transmitted": report.transmitted_bytes,
            "path": path,
        })));
    } else {
        let place = path.map_or_else(String::new, |path| format!(" as {}", printable(&path)));
        let name = printable(transfer.name());
        output::line(&format!("{verb} {name}, {} bytes{place}", report.bytes));
    }
    Ok(())
}

/// What stands behind a bar.
fn message(progress: &Progress) -> String {
    match progress.state {
        TransferState::Offered => "waits for an answer".to_owned(),
        TransferState::Paused => "paused".to_owned(),
        TransferState::Interrupted => "waits for the peer".to_owned(),
        _ if progress.files > 1 => format!("{} files", progress.files),
        _ => String::new(),
    }
}

fn progress_json(transfer: &Transfer, progress: &Progress) -> Map<String, Value> {
    object(json!({
        "event": "progress",
        "peer": peer_json(transfer.peer()),
        "name": transfer.name(),
        "state": format!("{:?}", progress.state).to_lowercase(),
        "done": progress.done,
        "total": progress.total,
        "files": progress.files,
        "rate": progress.rate.round(),
        "time_left": progress.time_left().map(|left| left.as_secs_f64().round()),
    }))
}
