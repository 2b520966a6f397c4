//! HTML report: one self-contained page, with tables, and plots as SVG.

use std::fmt::Write as _;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::report::{Cell, Plot, Report, digits, goal_columns, peer_columns};
use crate::error::{Error, Result};

const SIZE: (u32, u32) = (880, 420);

/// Colours that colour-blind readers can distinguish (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.7rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .8rem;border-bottom:1px solid #8884;text-align:left;vertical-align:top}
td.n{text-align:right;white-space:nowrap}
.short{color:#c40;font-weight:600}
svg{max-width:100%;height:auto;background:#fff;margin:.7rem 0}
code{font-size:.9em}
.scroll{overflow-x:auto}";

/// Writes the report as JSON and HTML to `dir`, named after the benchmark.
pub(super) fn write(report: &Report, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
    let json = serde_json::to_vec_pretty(report).expect("a report is plain data");
    for (extension, bytes) in [("json", json), ("html", page(report)?.into_bytes())] {
        let path = dir.join(format!("{}.{extension}", report.bench));
        std::fs::write(&path, bytes).map_err(Error::io(&path, "write"))?;
    }
    Ok(())
}

/// # Errors
/// When a plot cannot be drawn.
fn page(report: &Report) -> Result<String> {
    let title = format!("hourglass bench {}", escape(&report.bench));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
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
            page.push_str(&svg(plot)?);
        }
        table(&mut page, &section.columns, &section.rows);
    }
    if !report.peers.is_empty() {
        page.push_str(
            "<h2>Peers</h2>\n<p>By the scripts in tests/peers, on the machine and day of their own run.</p>\n",
        );
        table(&mut page, &peer_columns(), &report.peer_rows());
    }
    page.push_str("</body></html>\n");
    Ok(page)
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

fn svg(plot: &Plot) -> Result<String> {
    let points = || plot.series.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MIN_POSITIVE, f64::max);
    let least = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min)
    };
    let (right, top) = (most(|p| p.0), most(|p| p.1));
    if points().next().is_none() {
        return Ok(String::new());
    }
    let mut drawn = String::new();
    {
        let area = SVGBackend::with_string(&mut drawn, SIZE).into_drawing_area();
        if plot.log {
            draw(
                &area,
                plot,
                (least(|p| p.0) / 1.3..right * 1.3).log_scale(),
                (least(|p| p.1) / 1.5..top * 1.5).log_scale(),
            )
        } else {
            draw(&area, plot, 0.0..right * 1.05, 0.0..top * 1.1)
        }
        .map_err(|fault| {
            Error::Invalid(format!("the plot {:?} cannot be drawn: {fault}", plot.title))
        })?;
    }
    Ok(format!("<figure>{drawn}</figure>\n"))
}

fn draw<X, Y>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    plot: &Plot,
    x: X,
    y: Y,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(&plot.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .x_label_formatter(&|x| digits(*x))
        .y_label_formatter(&|y| digits(*y))
        .light_line_style(RGBColor(240, 240, 240))
        .draw()?;
    for ((name, points), colour) in plot.series.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(4))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    // The legend is in the upper left corner, which is empty when curves rise to the right.
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_drawn_with_its_names_and_an_empty_one_is_left_out() {
        let series = vec![("ours & theirs".to_string(), vec![(24.0, 0.5), (87_600.0, 0.6)])];
        let plot = Plot {
            title: "time".into(),
            x: "partitions".into(),
            y: "ms".into(),
            log: true,
            series,
        };
        let drawn = svg(&plot).unwrap();
        assert!(drawn.contains("ours &amp; theirs") && drawn.contains("partitions"), "{drawn}");
        assert_eq!(svg(&Plot { series: Vec::new(), ..plot }).unwrap(), "");
    }
}
