//! HTML report: one self-contained page, with tables and plots.

use std::fmt::Write as _;
use std::path::Path;

use super::report::{Cell, Plot, Report, goal_columns, peer_columns};
use crate::error::{Error, Result};

/// Library that draws the plots, and the code that calls it. Both are embedded in the page, so that
/// it can be read without a network.
const UPLOT: [&str; 2] =
    [include_str!("../../assets/uplot/uPlot.iife.min.js"), include_str!("../../assets/plots.js")];
const UPLOT_STYLE: &str = include_str!("../../assets/uplot/uPlot.min.css");

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.7rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .8rem;border-bottom:1px solid #8884;text-align:left;vertical-align:top}
td.n{text-align:right;white-space:nowrap}
.short{color:#c40;font-weight:600}
figure{margin:.7rem 0}
code{font-size:.9em}
.scroll{overflow-x:auto}";

/// Writes the report as JSON and HTML to `dir`, named after the benchmark.
pub(super) fn write(report: &Report, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
    let json = serde_json::to_vec_pretty(report).expect("a report is plain data");
    for (extension, bytes) in [("json", json), ("html", page(report).into_bytes())] {
        let path = dir.join(format!("{}.{extension}", report.bench));
        std::fs::write(&path, bytes).map_err(Error::io(&path, "write"))?;
    }
    Ok(())
}

fn page(report: &Report) -> String {
    let title = format!("hourglass bench {}", escape(&report.bench));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}{UPLOT_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    page.push_str("<table>");
    for (name, fact) in report.facts() {
        let _ = write!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(&fact)
        );
    }
    page.push_str("</table>\n");
    if !report.goals.is_empty() {
        page.push_str("<h2>Goals</h2>\n");
        table(&mut page, &goal_columns(), &report.goal_rows());
    }
    for section in &report.sections {
        let _ = write!(
            page,
            "<h2>{}</h2>\n<p>{}</p>\n",
            escape(&section.title),
            escape(&section.about)
        );
        for plot in &section.plots {
            page.push_str(&figure(plot));
        }
        table(&mut page, &section.columns, &section.rows);
    }
    if !report.peers.is_empty() {
        page.push_str(
            "<h2>Peers</h2>\n<p>By the scripts in tests/peers, on the machine and day of their own run.</p>\n",
        );
        table(&mut page, &peer_columns(), &report.peer_rows());
    }
    for script in UPLOT {
        let _ = writeln!(page, "<script>{script}</script>");
    }
    page.push_str("</body></html>\n");
    page
}

fn table(page: &mut String, columns: &[String], rows: &[Vec<Cell>]) {
    page.push_str("<div class=\"scroll\"><table><thead><tr>");
    for column in columns {
        let _ = write!(page, "<th>{}</th>", escape(column));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let class = match (cell.value, cell.text.as_str()) {
                (Some(_), _) => " class=\"n\"",
                (None, "short") => " class=\"short\"",
                _ => "",
            };
            let _ = write!(page, "<td{class}>{}</td>", escape(&cell.text));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns the placeholder of a plot, with its points as JSON; an empty text if it has no points.
fn figure(plot: &Plot) -> String {
    if plot.series.iter().all(|(_, points)| points.is_empty()) {
        return String::new();
    }
    let json = serde_json::to_string(plot).expect("a plot is plain data");
    format!("<figure data-plot=\"{}\"></figure>\n", escape(&json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_in_the_page_as_json_and_an_empty_one_is_left_out() {
        let series = vec![("ours & \"theirs\"".to_string(), vec![(24.0, 0.5), (87_600.0, 0.6)])];
        let plot = Plot {
            title: "time".into(),
            x: "partitions".into(),
            y: "ms".into(),
            log: true,
            series,
        };
        let drawn = figure(&plot);
        assert!(drawn.contains("ours &amp; \\&quot;theirs\\&quot;"), "{drawn}");
        assert!(drawn.contains("[24.0,0.5]"), "{drawn}");
        assert_eq!(figure(&Plot { series: Vec::new(), ..plot }), "");
    }
}
