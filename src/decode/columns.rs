//! The three columns of events, and their names in an input.

use crate::event::shown;

/// The columns, in the order in which their positions are returned.
pub const COLUMNS: [&str; 3] = ["timestamp", "user", "event"];

/// Names that an input's columns may have by default, in any case.
const DEFAULTS: [&[&str]; 3] = [&["timestamp"], &["user", "user_id"], &["event"]];

/// Maximum number of column names listed in a message.
const MAX_LISTED: usize = 12;

/// Advice appended to errors about column names.
const ADVICE: &str = "name them as in --columns timestamp=NAME,user=NAME,event=NAME (over HTTP, the parameter \
                      columns=\"timestamp=NAME,...\" of the content type)";

/// Names of the three columns that differ from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames([Option<String>; 3]);

impl ColumnNames {
    /// Parses `timestamp=time,user=user_id,event=type`; columns not mentioned keep their default
    /// names.
    pub fn parse(text: &str) -> Result<ColumnNames, String> {
        let mut names = ColumnNames::default();
        for pair in text.split(',') {
            let (column, name) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(column) = COLUMNS.iter().position(|known| *known == column.trim()) else {
                return Err(format!(
                    "expected timestamp=NAME,user=NAME,event=NAME; found {}",
                    shown(pair)
                ));
            };
            if name.is_empty() || names.0[column].replace(name.to_owned()).is_some() {
                return Err(format!("{} needs one name; found {}", COLUMNS[column], shown(text)));
            }
        }
        Ok(names)
    }

    /// Returns the index of the column that a name stands for. A name that was given explicitly
    /// must match exactly.
    pub fn which(&self, name: &str) -> Option<usize> {
        (0..COLUMNS.len()).find(|&column| match &self.0[column] {
            Some(given) => given == name,
            None => DEFAULTS[column].iter().any(|usual| usual.eq_ignore_ascii_case(name.trim())),
        })
    }

    /// Returns the name of a column for messages.
    pub fn called(&self, column: usize) -> String {
        match &self.0[column] {
            Some(given) => given.clone(),
            None => DEFAULTS[column].join(" or "),
        }
    }

    /// Finds the positions of the three columns among an input's names.
    pub fn find<'n>(
        &self,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<[usize; 3], String> {
        let mut places = [None; 3];
        for (place, name) in names.clone().enumerate() {
            let Some(column) = self.which(name) else { continue };
            if places[column].replace(place).is_some() {
                return Err(format!("has the column {} twice; {ADVICE}", self.called(column)));
            }
        }
        let find =
            |column: usize| places[column].ok_or_else(|| self.missing(column, names.clone()));
        Ok([find(0)?, find(1)?, find(2)?])
    }

    /// Returns the message for a missing column.
    pub fn missing<'n>(
        &self,
        column: usize,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> String {
        let listed: Vec<String> = names.clone().take(MAX_LISTED).map(shown).collect();
        let more = if names.count() > MAX_LISTED { " and more" } else { "" };
        format!(
            "has no column {}; found {}{more}; {ADVICE}",
            self.called(column),
            listed.join(", ")
        )
    }

    /// Returns the positions of the columns in an input of `count` columns without a header: the
    /// first three, or those given explicitly as numbers from 1.
    pub fn places(&self, count: usize) -> Result<[usize; 3], String> {
        const ADVICE: &str =
            "without a header, select them by position, as in --columns timestamp=1,user=2,event=3";
        if self.0.iter().all(Option::is_none) && count != COLUMNS.len() {
            return Err(format!("has {count} columns, not 3; {ADVICE}"));
        }
        let place = |column: usize| {
            let given =
                self.0[column].as_ref().map_or(Some(column + 1), |given| given.parse().ok());
            given.filter(|place| (1..=count).contains(place)).map(|place| place - 1).ok_or_else(
                || {
                    format!(
                        "has no column {} for {}, but {count}; {ADVICE}",
                        self.called(column),
                        COLUMNS[column]
                    )
                },
            )
        };
        let places = [place(0)?, place(1)?, place(2)?];
        if places[0] == places[1] || places[0] == places[2] || places[1] == places[2] {
            return Err(format!(
                "would use one column for two of timestamp, user and event; {ADVICE}"
            ));
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(given: &str, names: &[&str]) -> Result<[usize; 3], String> {
        let given = if given.is_empty() {
            ColumnNames::default()
        } else {
            ColumnNames::parse(given).unwrap()
        };
        given.find(names.iter().copied())
    }

    #[test]
    fn usual_names_are_found_with_capitals_and_told_ones_as_they_are() {
        assert_eq!(find("", &["Event", " USER_ID ", "x", "Timestamp"]), Ok([3, 1, 0]));
        assert_eq!(
            find("timestamp=time,event=type", &["time", "user", "type", "event"]),
            Ok([0, 1, 2])
        );
        assert!(
            find("timestamp=time", &["Time", "user", "event"])
                .unwrap_err()
                .starts_with("has no column time; ")
        );
        assert_eq!(find("user=user_id", &["timestamp", "user", "user_id", "event"]), Ok([0, 2, 3]));
        let twice = find("", &["timestamp", "user", "User", "event"]).unwrap_err();
        assert!(twice.starts_with("has the column user or user_id twice; "), "{twice}");
    }

    #[test]
    fn what_is_missing_is_told_with_what_there_is() {
        let error = find("", &["ts", "user_id", "event_type"]).unwrap_err();
        let wanted = r#"has no column timestamp; found "ts", "user_id", "event_type"; name them as in --columns timestamp=NAME"#;
        assert!(error.starts_with(wanted), "{error}");
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let error = find("", &many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err();
        assert!(error.contains("\"11\" and more;"), "{error}");
    }

    #[test]
    fn columns_without_names_are_counted_from_1() {
        let places = |given: &str, count| ColumnNames::parse(given).unwrap().places(count);
        assert_eq!(ColumnNames::default().places(3), Ok([0, 1, 2]));
        assert!(
            ColumnNames::default().places(4).unwrap_err().starts_with("has 4 columns, not 3; ")
        );
        assert_eq!(places("timestamp=4,user=2,event=1", 4), Ok([3, 1, 0]));
        for given in ["timestamp=0", "timestamp=5", "timestamp=time"] {
            assert!(places(given, 4).unwrap_err().starts_with("has no column "), "{given}");
        }
    }

    #[test]
    fn a_misspelt_mapping_is_refused() {
        for text in
            ["", "time", "time=timestamp", "timestamp=", "timestamp=a,timestamp=b", "timestamp=a,"]
        {
            assert!(ColumnNames::parse(text).is_err(), "{text}");
        }
    }
}
