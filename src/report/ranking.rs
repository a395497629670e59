//! The ranking of a sweep as a table.

use super::format::{duration, grouped, percent};
use super::style::{Paint, Text};
use super::sweep_progress::{NAME, named};
use super::table::{Column, Layout};
use crate::train::{RunResult, Status, SweepRun};

/// The ranking; names follow.
const RANKING: [Column; 6] = [
    Column::right("rank", 0, 5, 0),
    Column::right("validation", 2, 10, 0),
    Column::right("loss", 2, 8, 4),
    Column::right("best epoch", 2, 10, 1),
    Column::right("parameters", 2, 10, 2),
    Column::right("time", 2, 9, 3),
];

/// The ranking as a table for people: the first `shown` runs.
pub fn ranking(
    results: &[RunResult],
    runs: &[SweepRun],
    shown: usize,
    width: Option<usize>,
) -> Text {
    let longest = results.iter().take(shown).map(|result| runs[result.number].name.len()).max();
    let layout = Layout::new(
        &RANKING,
        width.map(|width| width.saturating_sub(longest.unwrap_or(0).min(NAME) + 2)),
    );
    let mut text = Text::default().with(Paint::Head, layout.head() + "  run");
    for (i, result) in results.iter().take(shown).enumerate() {
        let (best, run) = (result.best(), &runs[result.number]);
        let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
        let status = match result.status {
            Status::Done => "",
            Status::Diverged => "  diverged",
            Status::Failed => "  failed",
            Status::Unfinished => "  unfinished",
        };
        let cells = layout.row([
            if result.is_ranked() { (i + 1).to_string() } else { "-".to_owned() },
            best.and_then(|best| best.val_accuracy).map_or_else(|| "-".to_owned(), percent),
            number(best.and_then(|best| best.val_loss)),
            format!("{}/{}", result.best_epoch, result.history.len()),
            grouped(run.parameters as u64),
            duration(result.seconds()),
        ]);
        let paint = if i == 0 && result.is_ranked() { Paint::Best } else { Paint::Plain };
        let name = named(&layout, width, &run.name, status);
        text = text.with(Paint::Plain, "\n").with(paint, cells + &name);
    }
    match results.len().saturating_sub(shown) {
        0 => text,
        more => text.with(Paint::Plain, format!("\n  and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::train::TrainConfig;

    fn runs() -> Vec<SweepRun> {
        let run = |name: &str| {
            let config = TrainConfig::default().with(|config| config.epochs = 200);
            SweepRun::new(name.to_owned(), config, 1_863_690)
        };
        vec![run("01_784-784-784_lr0.01_b100"), run("02_784-784-784_lr0.01_b500")]
    }

    #[test]
    fn tables_fit_the_terminal_and_no_run_without_a_result_has_a_rank() {
        let (runs, failed) = (runs(), RunResult::failed(1, &Error::usage("no")));
        let full = ranking(std::slice::from_ref(&failed), &runs, 10, None).plain();
        let head = " rank  validation      loss  best epoch  parameters       time  run";
        let line = "    -           -         -         0/0   1,863,690      0.0 s  02_784-784-784_lr0.01_b500  failed";
        assert_eq!(full, format!("{head}\n{line}"));
        for width in 36..110 {
            let table = ranking(std::slice::from_ref(&failed), &runs, 10, Some(width)).plain();
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{width}:\n{table}");
        }
        let narrow = ranking(std::slice::from_ref(&failed), &runs, 10, Some(40)).plain();
        assert_eq!(narrow.lines().last(), Some("    -           -  02_784…1_b500  failed"));
    }
}
