//! Why the file of a COPY … FROM STDIN cannot be read, in the words of PostgreSQL.

/// The file is wrong at a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
pub struct CopyError {
    pub sqlstate: &'static str,
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
    /// Number of the line, or of the row of a binary file, from 1; 0 is the header of a binary
    /// file.
    pub line: u64,
}

/// Something that is not in the file's format (bad_copy_file_format).
pub fn bad_format(line: u64, message: impl Into<String>) -> CopyError {
    CopyError { sqlstate: "22P04", message: message.into(), hint: None, line }
}

pub fn too_long(line: u64, max_bytes: usize) -> CopyError {
    CopyError {
        sqlstate: "54000",
        message: format!("row is longer than {max_bytes} bytes"),
        hint: Some("A quote or a backslash may take the lines after it along."),
        line,
    }
}

/// Bytes that are not UTF-8, or a zero, which no text has.
pub fn encoding(line: u64, bytes: &[u8]) -> CopyError {
    let bytes: String = bytes.iter().map(|byte| format!(" 0x{byte:02x}")).collect();
    CopyError {
        sqlstate: "22021",
        message: format!("invalid byte sequence for encoding \"UTF8\":{bytes}"),
        hint: None,
        line,
    }
}

/// A line end of another kind than that of the first line.
pub fn line_end(line: u64, is_return: bool, is_csv: bool) -> CopyError {
    let quality = if is_csv { "unquoted" } else { "literal" };
    let name = if is_return { "carriage return" } else { "newline" };
    let hint = match (is_csv, is_return) {
        (true, true) => "Use quoted CSV field to represent carriage return.",
        (true, false) => "Use quoted CSV field to represent newline.",
        (false, true) => "Use \"\\r\" to represent carriage return.",
        (false, false) => "Use \"\\n\" to represent newline.",
    };
    CopyError { hint: Some(hint), ..bad_format(line, format!("{quality} {name} found in data")) }
}

/// `\.` with something after it.
pub fn marker(line: u64, is_line_end: bool) -> CopyError {
    match is_line_end {
        true => bad_format(line, "end-of-copy marker does not match previous newline style"),
        false => bad_format(line, "end-of-copy marker corrupt"),
    }
}
