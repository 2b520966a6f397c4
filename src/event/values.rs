//! Values of dimensions in a batch of events.

use super::{MAX_VALUE_BYTES, Rejection};

/// Values of one dimension for the rows of a batch. Rows past the end have none, so that a column
/// costs nothing until its first value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueColumn {
    /// Index of the dimension in the store's schema.
    pub dimension: u8,
    /// `ends[i]` is the end offset of row `i`'s value in `text`; it begins where the previous one
    /// ends. An empty value is an absent one.
    ends: Vec<u32>,
    text: String,
}

impl ValueColumn {
    pub fn new(dimension: u8) -> ValueColumn {
        ValueColumn { dimension, ..ValueColumn::default() }
    }

    /// Builds a column from its parts as they are in a log frame.
    pub fn from_parts(
        dimension: u8,
        ends: Vec<u32>,
        text: String,
    ) -> Result<ValueColumn, Rejection> {
        let mut start = 0;
        for &end in &ends {
            let value = text.get(start..end as usize);
            value
                .filter(|value| value.len() <= MAX_VALUE_BYTES)
                .ok_or_else(|| Rejection::new("a dimension", "has a value that is cut"))?;
            start = end as usize;
        }
        if start != text.len() {
            return Err(Rejection::new("a dimension", "has bytes left over"));
        }
        Ok(ValueColumn { dimension, ends, text })
    }

    /// Sets the value of a row at or past the end; rows in between have none.
    pub fn set(&mut self, row: usize, value: &str) {
        let end = self.text.len() as u32;
        self.ends.resize(row.max(self.ends.len()), end);
        self.text.push_str(value);
        self.ends
            .push(u32::try_from(self.text.len()).expect("a batch holds under 4 GiB of values"));
    }

    /// Returns the value of a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        let end = *self.ends.get(row)? as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        (start < end).then(|| &self.text[start..end])
    }

    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Values of one event's dimensions.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    columns: &'a [ValueColumn],
    row: usize,
}

impl<'a> Values<'a> {
    pub const NONE: Values<'static> = Values { columns: &[], row: 0 };

    pub fn of(columns: &'a [ValueColumn], row: usize) -> Values<'a> {
        Values { columns, row }
    }

    /// Returns the dimensions that have a value, in the order of their indexes.
    pub fn iter(self) -> impl Iterator<Item = (u8, &'a str)> {
        let row = self.row;
        self.columns
            .iter()
            .filter_map(move |column| column.get(row).map(|value| (column.dimension, value)))
    }

    /// Returns the value of a dimension.
    pub fn get(self, dimension: usize) -> Option<&'a str> {
        let column =
            self.columns.iter().find(|column| usize::from(column.dimension) == dimension)?;
        column.get(self.row)
    }
}

impl PartialEq for Values<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Values<'_> {}

impl std::fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_value_have_none() {
        let mut column = ValueColumn::new(3);
        column.set(1, "/a");
        column.set(3, "/b");
        let values: Vec<_> = (0..5).map(|row| column.get(row)).collect();
        assert_eq!(values, [None, Some("/a"), None, Some("/b"), None]);
        let (ends, text) = (column.ends().to_vec(), column.text().to_owned());
        assert_eq!(ValueColumn::from_parts(3, ends, text), Ok(column));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        for (ends, text) in [(vec![2], "a"), (vec![1], "ab"), (vec![2, 1], "ab"), (vec![1, 2], "é")]
        {
            assert!(ValueColumn::from_parts(0, ends, text.into()).is_err(), "{text}");
        }
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        assert!(ValueColumn::from_parts(0, vec![long.len() as u32], long).is_err());
    }
}
