//! Benchmark reports: sections of tables and plots, written as text for the terminal, as JSON, and
//! as HTML ([`super::html`]).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, Utc};
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use serde::{Deserialize, Serialize};

use super::harness::Options;
use super::machine::Machine;
use super::stats::Samples;
use crate::error::{Error, Result};
use crate::text;

#[derive(Debug, Serialize)]
pub struct Report {
    pub bench: String,
    pub command: String,
    pub seed: u64,
    pub quick: bool,
    pub started: DateTime<Utc>,
    pub seconds: f64,
    pub machine: Machine,
    /// Fixed parameters of the run: sizes, threads, durations.
    pub settings: Vec<(String, String)>,
    pub goals: Vec<Goal>,
    pub sections: Vec<Section>,
    pub peers: Vec<Peer>,
    #[serde(skip)]
    clock: Instant,
}

/// A goal of the project, with the measured value.
#[derive(Debug, Serialize)]
pub struct Goal {
    pub what: String,
    pub goal: String,
    pub measured: String,
    pub met: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Section {
    pub title: String,
    /// What was measured, and how.
    pub about: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    pub plots: Vec<Plot>,
}

/// A table cell: a number or a text.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Quartiles of a measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quartiles: Option<(f64, f64)>,
}

#[derive(Debug, Serialize)]
pub struct Plot {
    pub title: String,
    pub x: String,
    pub y: String,
    /// Whether both axes are logarithmic; otherwise they start at zero.
    pub log: bool,
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

/// Another engine's result for this benchmark, as written by a script of `tests/peers/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Name and version.
    pub peer: String,
    /// Its settings, such as its defaults or with each write synced.
    pub settings: String,
    pub question: String,
    pub value: f64,
    pub unit: String,
}

pub fn read_peers(files: &[PathBuf]) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for path in files {
        let text = std::fs::read(path).map_err(Error::io(path, "read"))?;
        let read: Vec<Peer> = serde_json::from_slice(&text).map_err(|fault| {
            Error::Invalid(format!("{}: not the results of a peer: {fault}", path.display()))
        })?;
        peers.extend(read);
    }
    Ok(peers)
}

impl Cell {
    pub fn number(value: f64, text: impl Into<String>) -> Cell {
        Cell { text: text.into(), value: Some(value), quartiles: None }
    }

    pub fn count(n: u64) -> Cell {
        Cell::number(n as f64, text::thousands(n))
    }

    pub fn bytes(n: u64) -> Cell {
        Cell::number(n as f64, text::bytes(n))
    }

    /// Returns the median, with half the interquartile range: `12.3 ms ±0.4`.
    pub fn ms(samples: &Samples) -> Cell {
        Cell::spread(samples, |ms| format!("{} ms", digits(ms)))
    }

    pub fn ratio(samples: &Samples) -> Cell {
        Cell::spread(samples, |ratio| format!("{ratio:.2}"))
    }

    pub fn rate(samples: &Samples) -> Cell {
        Cell::spread(samples, |rate| format!("{}/s", text::thousands(rate.round() as u64)))
    }

    fn spread(samples: &Samples, show: impl Fn(f64) -> String) -> Cell {
        let (median, (low, high)) = (samples.median(), samples.quartiles());
        let share = if median > 0.0 { (high - low) / 2.0 / median * 100.0 } else { 0.0 };
        let text = match samples.len() {
            1 => format!("{} (once)", show(median)),
            _ => format!("{} ±{share:.0} %", show(median)),
        };
        Cell { text, value: Some(median), quartiles: Some((low, high)) }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell { text: text.into(), ..Cell::default() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, ..Cell::default() }
    }
}

/// Formats a number with about three significant digits.
pub fn digits(value: f64) -> String {
    match value {
        ..0.995 => format!("{value:.3}"),
        ..9.95 => format!("{value:.2}"),
        ..99.5 => format!("{value:.1}"),
        _ => text::thousands(value.round() as u64),
    }
}

impl Section {
    pub fn new(title: &str, about: &str, columns: &[&str]) -> Section {
        let columns = columns.iter().map(|column| column.to_string()).collect();
        Section { title: title.into(), about: about.into(), columns, ..Section::default() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Report {
    pub fn new(bench: &str, options: &Options, machine: Machine) -> Report {
        Report {
            bench: bench.into(),
            command: options.command.clone(),
            seed: options.seed,
            quick: options.quick,
            started: Utc::now(),
            seconds: 0.0,
            machine,
            settings: Vec::new(),
            goals: Vec::new(),
            sections: Vec::new(),
            peers: Vec::new(),
            clock: Instant::now(),
        }
    }

    pub fn setting(&mut self, name: &str, value: impl ToString) {
        self.settings.push((name.into(), value.to_string()));
    }

    /// Adds a goal: `measured` must be at least, or at most, the limit `bound`.
    pub fn goal(&mut self, what: &str, measured: f64, sign: Sign, bound: f64, unit: &str) {
        let (word, met) = match sign {
            Sign::AtLeast => ("at least", measured >= bound),
            Sign::AtMost => ("at most", measured <= bound),
        };
        let show = |value: f64| format!("{}{unit}", digits(value));
        self.goals.push(Goal {
            what: what.into(),
            goal: format!("{word} {}", show(bound)),
            measured: show(measured),
            met,
        });
    }

    pub(super) fn ended(&mut self) {
        self.seconds = self.clock.elapsed().as_secs_f64();
    }

    /// Returns the report as text, for a terminal or a pipe.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, fact) in self.facts() {
            let _ = writeln!(text, "{name:>10}  {fact}");
        }
        for section in &self.sections {
            let _ = write!(
                text,
                "\n{}\n{}\n{}\n",
                section.title,
                section.about,
                table(&section.columns, &section.rows)
            );
        }
        if !self.goals.is_empty() {
            let _ = write!(text, "\nGoals\n{}\n", table(&goal_columns(), &self.goal_rows()));
        }
        if !self.peers.is_empty() {
            let _ = write!(text, "\nPeers\n{}\n", table(&peer_columns(), &self.peer_rows()));
        }
        text
    }

    pub(super) fn facts(&self) -> Vec<(&str, String)> {
        let mut facts = vec![("command", self.command.clone())];
        facts.extend(self.machine.facts());
        facts.push(("seed", self.seed.to_string()));
        facts.push(("begun", self.started.format("%Y-%m-%d %H:%M:%S UTC").to_string()));
        facts.push(("took", text::span(std::time::Duration::from_secs_f64(self.seconds))));
        facts.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
        facts
    }

    pub(super) fn goal_rows(&self) -> Vec<Vec<Cell>> {
        let row = |goal: &Goal| {
            let met = if goal.met { "met" } else { "short" };
            vec![
                goal.what.as_str().into(),
                goal.goal.as_str().into(),
                goal.measured.as_str().into(),
                met.into(),
            ]
        };
        self.goals.iter().map(row).collect()
    }

    pub(super) fn peer_rows(&self) -> Vec<Vec<Cell>> {
        let row = |peer: &Peer| {
            vec![
                peer.question.as_str().into(),
                peer.peer.as_str().into(),
                peer.settings.as_str().into(),
                Cell::number(peer.value, format!("{} {}", digits(peer.value), peer.unit)),
            ]
        };
        self.peers.iter().map(row).collect()
    }
}

pub(super) fn goal_columns() -> Vec<String> {
    ["goal", "bound", "measured", ""].map(String::from).into()
}

pub(super) fn peer_columns() -> Vec<String> {
    ["question", "peer", "settings", "result"].map(String::from).into()
}

#[derive(Clone, Copy, Debug)]
pub enum Sign {
    AtLeast,
    AtMost,
}

fn table(columns: &[String], rows: &[Vec<Cell>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(columns);
    for component in [TableComponent::HeaderLines, TableComponent::MiddleHeaderIntersections] {
        table.set_style(component, '─');
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| {
            let alignment =
                if cell.value.is_some() { CellAlignment::Right } else { CellAlignment::Left };
            comfy_table::Cell::new(&cell.text).set_alignment(alignment)
        }));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_three_digits_or_so() {
        assert_eq!([0.0612, 1.234, 12.34, 1234.5].map(digits), ["0.061", "1.23", "12.3", "1,235"]);
    }

    #[test]
    fn a_median_shows_its_spread_and_a_single_measurement_that_it_is_one() {
        let samples: Samples = [1.0, 2.0, 3.0].into_iter().collect();
        assert_eq!(Cell::ms(&samples).text, "2.00 ms ±25 %");
        assert_eq!(Cell::ratio(&[0.5].into_iter().collect()).text, "0.50 (once)");
    }

    #[test]
    fn a_file_that_is_no_peers_result_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redis.json");
        std::fs::write(&path, "{}").unwrap();
        assert!(
            read_peers(&[path])
                .unwrap_err()
                .to_string()
                .contains("redis.json: not the results of a peer")
        );
    }
}
