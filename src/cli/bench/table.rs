//! The tables for people, and the lines that explain them.

use super::cell::Measurement;
use super::roofline::{Peaks, Shares};
use super::workload::Workload;
use crate::engine::Isa;
use crate::report::{Column, Layout, Paint, Text, grouped, plural};

/// Rounds that differ by more than this share of their median say that something else was running.
const UNEVEN: f64 = 0.3;

/// Above this, a bound is wrong by more than chance.
const IMPOSSIBLE: f64 = 1.1;

const COLUMNS: [Column; 11] = [
    Column::left("network", 0, 12, 0),
    Column::right("batch", 1, 5, 2),
    Column::left("backend", 2, 7, 0),
    Column::right("threads", 1, 8, 4),
    Column::left("deterministic", 2, 13, 7),
    Column::right("s/epoch", 1, 8, 0),
    Column::right("spread", 1, 7, 5),
    Column::right("samples/s", 2, 9, 6),
    Column::right("GFLOP/s", 1, 8, 3),
    Column::right("of peak", 1, 8, 1),
    Column::right("executed", 1, 9, 1),
];

/// All cells, their phases, and what the figures mean.
pub fn table(
    measured: &[Measurement],
    workload: &Workload,
    peaks: &Peaks,
    width: Option<usize>,
) -> Text {
    let rows: Vec<[String; 11]> = (measured.iter())
        .map(|cell| {
            let [network, batch, backend, threads, deterministic] = cell.names();
            [
                network,
                batch,
                backend,
                threads,
                deterministic,
                format!("{:.*}", if cell.epoch_seconds < 0.01 { 6 } else { 3 }, cell.epoch_seconds),
                percent(cell.spread),
                grouped(cell.samples_per_second as u64),
                format!("{:.1}", cell.gflops),
                percent(cell.share_of_peak),
                percent(cell.executed_share_of_peak),
            ]
        })
        .collect();
    let layout = Layout::of(&COLUMNS, &rows, width);
    let head = Text::from(about(workload, peaks)).wrapped(width, 2);
    let text = with_rows(head.with(Paint::Plain, "\n\n"), &layout, &rows);
    let text = text.with(Paint::Plain, "\n\n").then(phases(measured, width));
    text.then(Text::from(remarks(measured)).wrapped(width, 2))
}

/// The line above the tables.
fn about(workload: &Workload, peaks: &Peaks) -> String {
    let peaks: Vec<String> = peaks
        .iter()
        .map(|(threads, peak)| format!("{peak:.0} GFLOP/s on {}", plural(threads, "thread")))
        .collect();
    format!(
        "{}: {} samples an epoch; peak ({} multiply-adds): {}",
        workload.data.name(),
        grouped(workload.rows.len() as u64),
        Isa::detect().name(),
        peaks.join(", ")
    )
}

/// The table of the phases.
fn phases(measured: &[Measurement], width: Option<usize>) -> Text {
    let [network, batch, backend, threads, deterministic, ..] = COLUMNS;
    let [a, b, c, d, e] = Shares::COLUMNS;
    let columns = [network, batch, backend, threads, deterministic, a, b, c, d, e];
    let rows: Vec<[String; 10]> = (measured.iter())
        .map(|cell| {
            let [network, batch, backend, threads, deterministic] = cell.names();
            let [a, b, c, d, e] = cell.phases.cells();
            [network, batch, backend, threads, deterministic, a, b, c, d, e]
        })
        .collect();
    let layout = Layout::of(&columns, &rows, width);
    with_rows(Text::default(), &layout, &rows)
}

fn with_rows<const N: usize>(text: Text, layout: &Layout<'_>, rows: &[[String; N]]) -> Text {
    let head = text.with(Paint::Head, layout.head());
    rows.iter().fold(head, |text, row| text.with(Paint::Plain, format!("\n{}", layout.row(row))))
}

fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

/// The lines below the tables.
fn remarks(measured: &[Measurement]) -> String {
    let uneven = measured.iter().filter(|cell| cell.spread > UNEVEN).count();
    let mut remarks = "\n".to_owned();
    if uneven > 0 {
        remarks += &format!(
            "\nthe rounds of {} differ by more than {:.0} %: repeat this when the machine is quiet\n",
            plural(uneven, "cell"),
            100.0 * UNEVEN
        );
    }
    if measured.iter().any(Measurement::is_auto) {
        remarks += "\n(auto): the backend that `--backend auto` chooses for this cell";
    }
    remarks += "\nspread: between the slowest and the fastest round";
    remarks += "\nGFLOP/s: the arithmetic of all weights each second, as if no input were zero; of peak: the share of the peak that this is";
    remarks += "\nexecuted: the share of the peak by the arithmetic that was really done, without the zeros that were left out and with the columns that fill a panel";
    remarks += "\nsecond table: each phase's share of a step's time. In brackets, about how much of that time this machine needs at least, to do the \
                phase's executed arithmetic at the peak, or to move its weights and inputs at the speed of the memory, whichever takes \
                longer: near 100%, little is left to gain";
    let bounds = || measured.iter().flat_map(|cell| cell.phases.bounds());
    if bounds().any(|bound| bound.is_none()) {
        remarks += "\n(-): no such bound: the phase has nothing to do, or threads share a core";
    }
    if bounds().flatten().any(|bound| bound > IMPOSSIBLE) {
        remarks += "\nabove 100%: the memory is faster for what the phase moves than for as much as was measured, or other programs slowed the machine down while the peak or the memory was measured";
    }
    remarks
}
