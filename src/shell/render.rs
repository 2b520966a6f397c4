//! Formatting of results: tables for people, and the formats of [`crate::rows`] for programs.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, modifiers, presets};

use crate::error::Result;
use crate::rows::{RowFormat, RowWriter, SharedBuffer, for_people, unique_names};
use crate::text::{self, thousands};

/// Maximum number of rows in a table; they are all held in memory to compute the column widths.
const PAGE_ROWS: usize = 10_000;

/// Minimum width to which the widest column of a table is wrapped; if less is left, each row is
/// shown as a block of lines.
const LEAST_WRAPPED: usize = 24;

/// Format in which results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DisplayFormat {
    /// Table with aligned columns
    Table,
    /// One block of lines per row
    Expanded,
    /// CSV (RFC 4180), with a header
    Csv,
    /// Tab-separated values, with a header
    Tsv,
    /// JSON: one array of objects
    Json,
    /// NDJSON: one JSON object per line
    Ndjson,
    /// Markdown table
    Markdown,
    /// Parquet file; not to a terminal
    Parquet,
}

/// Whether each row of a table is shown as a block of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expanded {
    Off,
    On,
    /// Only if the table is wider than the terminal.
    Auto,
}

impl DisplayFormat {
    pub fn name(self) -> &'static str {
        match self {
            DisplayFormat::Table => "table",
            DisplayFormat::Expanded => "expanded",
            DisplayFormat::Csv => "csv",
            DisplayFormat::Tsv => "tsv",
            DisplayFormat::Json => "json",
            DisplayFormat::Ndjson => "ndjson",
            DisplayFormat::Markdown => "markdown",
            DisplayFormat::Parquet => "parquet",
        }
    }
}

/// Layout of tables.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Whether the output is a terminal; control characters in the data are then escaped.
    pub is_terminal: bool,
    /// Width of the terminal, if known.
    pub width: Option<usize>,
    pub colour: bool,
    pub expanded: Expanded,
}

/// Formatter of one result: `push` each batch, and write out what [`Renderer::take`] returns after
/// it.
pub enum Renderer {
    Rows {
        writer: Box<RowWriter<SharedBuffer>>,
        buffer: SharedBuffer,
        ends_line: bool,
        is_shown: bool,
    },
    Markdown(String),
    Page(Page, Layout),
}

impl Renderer {
    pub fn new(format: DisplayFormat, schema: &SchemaRef, layout: Layout) -> Result<Renderer> {
        let rows = match format {
            DisplayFormat::Table => return Ok(Renderer::Page(Page::new(schema), layout)),
            DisplayFormat::Expanded => {
                return Ok(Renderer::Page(
                    Page::new(schema),
                    Layout { expanded: Expanded::On, ..layout },
                ));
            }
            DisplayFormat::Markdown => return Ok(Renderer::Markdown(markdown_head(schema))),
            DisplayFormat::Csv => RowFormat::Csv,
            DisplayFormat::Tsv => RowFormat::Tsv,
            DisplayFormat::Json => RowFormat::Json,
            DisplayFormat::Ndjson => RowFormat::Ndjson,
            DisplayFormat::Parquet => RowFormat::Parquet,
        };
        let mut renderer = Renderer::rows(rows, schema)?;
        if let Renderer::Rows { is_shown, .. } = &mut renderer {
            *is_shown = layout.is_terminal;
        }
        Ok(renderer)
    }

    pub fn rows(format: RowFormat, schema: &SchemaRef) -> Result<Renderer> {
        let buffer = SharedBuffer::default();
        let writer = Box::new(RowWriter::new(format, schema, buffer.clone())?);
        Ok(Renderer::Rows { writer, buffer, ends_line: format == RowFormat::Json, is_shown: false })
    }

    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Renderer::Rows { writer, .. } => writer.write(batch),
            Renderer::Markdown(text) => {
                for row in cells(batch, batch.num_rows())? {
                    let cell = |cell: Option<String>| {
                        let text = cell.unwrap_or_else(|| "NULL".into());
                        visible(&text).replace('|', "\\|").replace('\n', "<br>")
                    };
                    let row: Vec<String> = row.into_iter().map(cell).collect();
                    let _ = writeln!(text, "| {} |", row.join(" | "));
                }
                Ok(())
            }
            Renderer::Page(page, _) => page.push(batch),
        }
    }

    /// Returns the output formatted since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Renderer::Rows { buffer, is_shown, .. } => shown(buffer.take(), *is_shown),
            Renderer::Markdown(text) => std::mem::take(text).into_bytes(),
            Renderer::Page(..) => Vec::new(),
        }
    }

    /// Finishes the result and returns the rest of the output.
    pub fn finish(self) -> Result<Vec<u8>> {
        match self {
            Renderer::Rows { writer, ends_line, is_shown, .. } => {
                let mut bytes = writer.finish()?.take();
                bytes.extend(ends_line.then_some(b'\n'));
                Ok(shown(bytes, is_shown))
            }
            Renderer::Markdown(text) => Ok(text.into_bytes()),
            Renderer::Page(page, layout) => Ok(page.show(layout).into_bytes()),
        }
    }
}

/// Escapes invisible characters if the output is a terminal; other output is unchanged.
fn shown(bytes: Vec<u8>, is_shown: bool) -> Vec<u8> {
    if is_shown {
        text::visible(&String::from_utf8_lossy(&bytes)).into_owned().into_bytes()
    } else {
        bytes
    }
}

/// Rows of cells as text; `None` is NULL.
pub type Cells = Vec<Vec<Option<String>>>;

/// Formats the first `rows` rows of a batch as text.
pub fn cells(batch: &RecordBatch, rows: usize) -> Result<Cells> {
    let options = FormatOptions::default();
    let mut texts = vec![Vec::with_capacity(batch.num_columns()); rows.min(batch.num_rows())];
    for column in batch.columns() {
        let column = for_people(&column.slice(0, texts.len()))?;
        let (formatter, nulls) =
            (ArrayFormatter::try_new(&column, &options)?, column.logical_nulls());
        for (i, row) in texts.iter_mut().enumerate() {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(i));
            row.push(if is_null { None } else { Some(formatter.value(i).try_to_string()?) });
        }
    }
    Ok(texts)
}

/// Returns for each column whether it is numeric, and so aligned to the right.
fn numeric(schema: &SchemaRef) -> Vec<bool> {
    schema.fields().iter().map(|field| field.data_type().is_numeric()).collect()
}

fn markdown_head(schema: &SchemaRef) -> String {
    let name = |name: String| visible(&name).replace('|', "\\|").replace('\n', "<br>");
    let names: Vec<String> = unique_names(schema, false).into_iter().map(name).collect();
    let rules: Vec<&str> =
        numeric(schema).iter().map(|numeric| if *numeric { "---:" } else { "---" }).collect();
    format!("| {} |\n| {} |\n", names.join(" | "), rules.join(" | "))
}

/// Formats a text for a table cell: invisible characters are escaped, tabs become spaces, and
/// trailing line ends are removed.
fn visible(text: &str) -> String {
    text::visible(text.trim_end_matches('\n')).replace('\t', "    ")
}

/// Placeholder for NULL during layout, which distinguishes it from a text `NULL`, so that only NULL
/// is dimmed.
const NULL: &str = "\u{F1FFA}\u{F1FFB}\u{F1FFC}\u{F1FFD}";

/// Rows of a table, and the number of rows left out.
pub struct Page {
    names: Vec<String>,
    numeric: Vec<bool>,
    rows: Cells,
    more: u64,
}

impl Page {
    fn new(schema: &SchemaRef) -> Page {
        let names = unique_names(schema, false).iter().map(|name| visible(name)).collect();
        Page { names, numeric: numeric(schema), rows: Vec::new(), more: 0 }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let kept = batch.num_rows().min(PAGE_ROWS - self.rows.len());
        let rows = cells(batch, kept)?
            .into_iter()
            .map(|row| row.into_iter().map(|cell| cell.map(|text| visible(&text))));
        self.rows.extend(rows.map(Iterator::collect));
        self.more += (batch.num_rows() - kept) as u64;
        Ok(())
    }

    fn show(&self, layout: Layout) -> String {
        let mut text = match layout.expanded {
            Expanded::On => self.blocks(layout.colour),
            Expanded::Off => self.table(Layout { width: None, ..layout }).unwrap_or_default(),
            Expanded::Auto => self.table(layout).unwrap_or_else(|| self.blocks(layout.colour)),
        };
        if self.more > 0 {
            let more = thousands(self.more);
            let _ = writeln!(
                text,
                "… and {more} more rows: \\copy (…) to 'FILE', or another format, shows all of them"
            );
        }
        text
    }

    /// Formats the rows as aligned columns; `None` if the terminal is too narrow.
    fn table(&self, layout: Layout) -> Option<String> {
        let null = if layout.colour { NULL } else { "NULL" };
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_FULL_CONDENSED)
            .apply_modifier(modifiers::UTF8_ROUND_CORNERS);
        table.set_style(TableComponent::VerticalLines, '│');
        table.set_content_arrangement(ContentArrangement::Disabled).set_header(&self.names);
        table.add_rows(
            self.rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or(null))),
        );
        let numeric = table.column_iter_mut().zip(&self.numeric).filter(|(_, numeric)| **numeric);
        numeric.for_each(|(column, _)| column.set_cell_alignment(CellAlignment::Right));
        let widths = table.column_max_content_widths();
        // Each column has a space on both sides; there are lines between the columns and at both
        // ends.
        let natural = widths.iter().map(|width| usize::from(*width) + 3).sum::<usize>() + 1;
        if let Some(width) = layout.width.filter(|width| natural > *width) {
            let widest = usize::from(widths.iter().copied().max().unwrap_or(0));
            if natural - widest + LEAST_WRAPPED > width {
                return None;
            }
            let width = u16::try_from(width).unwrap_or(u16::MAX);
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        Some(dim_nulls(format!("{table}\n"), layout.colour))
    }

    /// Formats each row as a block of lines.
    fn blocks(&self, colour: bool) -> String {
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let null = if colour { NULL } else { "NULL" };
        let mut text = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            let _ = writeln!(
                text,
                "{:─<1$}",
                format!("─[ row {} ]", thousands(i as u64 + 1)),
                width + 24
            );
            for (name, cell) in self.names.iter().zip(row) {
                let mut name = name.as_str();
                for line in cell.as_deref().unwrap_or(null).split('\n') {
                    let _ = writeln!(text, "{name:width$} │ {line}");
                    name = "";
                }
            }
        }
        if self.rows.is_empty() {
            text.push_str("no rows\n");
        }
        dim_nulls(text, colour)
    }
}

fn dim_nulls(text: String, colour: bool) -> String {
    if colour { text.replace(NULL, "\x1b[2mNULL\x1b[0m") } else { text }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use insta::assert_snapshot;

    use super::*;

    fn batch() -> RecordBatch {
        let at = TimestampMicrosecondArray::from(vec![0, 3_600_000_000]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 4] = [
            ("hour", Arc::new(at)),
            ("clicks", Arc::new(Int64Array::from(vec![Some(12), None]))),
            ("user", Arc::new(StringArray::from(vec!["a|b\n\u{1b}[31mred", "NULL"]))),
            ("share", Arc::new(Float64Array::from(vec![0.25, 12.5]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn shown(format: DisplayFormat, width: Option<usize>, colour: bool) -> String {
        let layout = Layout { is_terminal: colour, width, colour, expanded: Expanded::Auto };
        let mut renderer = Renderer::new(format, &batch().schema(), layout).unwrap();
        renderer.push(&batch()).unwrap();
        let mut bytes = renderer.take();
        bytes.extend(renderer.finish().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_aligns_and_obeys_nothing_in_its_cells() {
        assert_snapshot!(shown(DisplayFormat::Table, None, false), @r"
        ╭──────────────────────┬────────┬───────────────┬───────╮
        │ hour                 │ clicks │ user          │ share │
        ╞══════════════════════╪════════╪═══════════════╪═══════╡
        │ 1970-01-01T00:00:00Z │     12 │ a|b           │  0.25 │
        │                      │        │ \u{1b}[31mred │       │
        │ 1970-01-01T01:00:00Z │   NULL │ NULL          │  12.5 │
        ╰──────────────────────┴────────┴───────────────┴───────╯
        ");
    }

    #[test]
    fn a_null_is_dim_and_a_text_that_says_null_is_not() {
        let text = shown(DisplayFormat::Table, None, true);
        assert_eq!(
            (text.matches("\x1b[2mNULL\x1b[0m").count(), text.matches("NULL").count()),
            (1, 2)
        );
    }

    #[test]
    fn a_table_wraps_while_it_can_and_becomes_blocks_when_it_cannot() {
        assert_eq!(
            shown(DisplayFormat::Table, Some(120), false),
            shown(DisplayFormat::Table, None, false)
        );
        assert_eq!(
            shown(DisplayFormat::Table, Some(40), false),
            shown(DisplayFormat::Expanded, Some(40), false)
        );
        assert_snapshot!(shown(DisplayFormat::Expanded, None, false), @r"
        ─[ row 1 ]────────────────────
        hour   │ 1970-01-01T00:00:00Z
        clicks │ 12
        user   │ a|b
               │ \u{1b}[31mred
        share  │ 0.25
        ─[ row 2 ]────────────────────
        hour   │ 1970-01-01T01:00:00Z
        clicks │ NULL
        user   │ NULL
        share  │ 12.5
        ");
    }

    #[test]
    fn markdown_says_which_columns_are_numbers() {
        assert_snapshot!(shown(DisplayFormat::Markdown, None, false), @r"
        | hour | clicks | user | share |
        | --- | ---: | --- | ---: |
        | 1970-01-01T00:00:00Z | 12 | a\|b<br>\u{1b}[31mred | 0.25 |
        | 1970-01-01T01:00:00Z | NULL | NULL | 12.5 |
        ");
    }

    #[test]
    fn programs_get_the_rows_as_they_are_and_terminals_what_they_cannot_obey() {
        assert!(shown(DisplayFormat::Csv, None, false).contains("\u{1b}[31mred"));
        assert!(shown(DisplayFormat::Csv, None, true).contains("\\u{1b}[31mred"));
        assert!(
            shown(DisplayFormat::Csv, None, true)
                .starts_with("hour,clicks,user,share\n1970-01-01T00:00:00Z,12,\"a|b\n")
        );
        assert!(shown(DisplayFormat::Json, None, true).ends_with("\"share\":12.5}]\n"));
    }

    #[test]
    fn a_table_shows_so_many_rows_and_says_how_many_more_there_are() {
        let rows = Int64Array::from_iter_values(0..PAGE_ROWS as i64 + 5);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(rows) as ArrayRef)]).unwrap();
        let mut page = Page::new(&batch.schema());
        page.push(&batch).unwrap();
        page.push(&batch).unwrap();
        let text = page.show(Layout {
            is_terminal: false,
            width: None,
            colour: false,
            expanded: Expanded::Auto,
        });
        assert!(text.lines().last().unwrap().starts_with("… and 10,010 more rows: "), "{text}");
        assert_eq!(text.lines().count(), PAGE_ROWS + 5);
    }
}
