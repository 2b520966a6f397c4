//! Options of COPY, with PostgreSQL's defaults.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// Whether the first line has the names of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    #[default]
    None,
    /// It has them; COPY FROM skips it.
    Line,
    /// COPY FROM compares it with the columns.
    Match,
}

/// The columns that an option is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    #[default]
    None,
    All,
    Named(Vec<String>),
}

/// The options of a COPY statement; those of another format are ignored. The encoding is UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub delimiter: u8,
    /// The text of null.
    pub null: String,
    pub header: Header,
    pub quote: u8,
    /// What precedes a quote within quotes; usually the quote itself.
    pub escape: u8,
    /// Columns whose values COPY TO quotes always.
    pub force_quote: Columns,
    /// Columns in which COPY FROM reads the text of null as that text.
    pub force_not_null: Columns,
    /// Columns in which COPY FROM reads the text of null as null even in quotes.
    pub force_null: Columns,
}

impl CopyOptions {
    pub fn new(format: CopyFormat) -> CopyOptions {
        let is_csv = format == CopyFormat::Csv;
        CopyOptions {
            format,
            delimiter: if is_csv { b',' } else { b'\t' },
            null: if is_csv { "" } else { "\\N" }.into(),
            header: Header::None,
            quote: b'"',
            escape: b'"',
            force_quote: Columns::None,
            force_not_null: Columns::None,
            force_null: Columns::None,
        }
    }
}
