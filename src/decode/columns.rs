//! The columns of events, and their names in an input: three of every event, and the dimensions of
//! the store.

use crate::event::{EventSchema, shown};

/// The columns, in the order in which their positions are returned.
pub const COLUMNS: [&str; 3] = ["timestamp", "user", "event"];

/// Names that an input's columns may have by default, in any case.
const DEFAULTS: [&[&str]; 3] = [&["timestamp"], &["user", "user_id"], &["event"]];

/// Maximum number of column names listed in a message.
const MAX_LISTED: usize = 12;

/// Advice appended to errors about column names.
const ADVICE: &str = "name them as in --columns timestamp=NAME,user=NAME,event=NAME (over HTTP, the parameter \
                      columns=\"timestamp=NAME,...\" of the content type)";

/// Names of the columns that differ from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames {
    own: [Option<String>; 3],
    /// Names of dimensions, and of their columns.
    dimensions: Vec<(String, String)>,
}

/// Positions of the columns in an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub own: [usize; 3],
    /// Dimensions, by index, and the positions of their columns.
    pub values: Vec<(usize, usize)>,
    /// Number of columns that are neither.
    pub ignored: usize,
}

impl ColumnNames {
    /// Parses `timestamp=time,user=user_id,event=type`; columns not mentioned keep their default
    /// names.
    pub fn parse(text: &str) -> Result<ColumnNames, String> {
        let mut names = ColumnNames::default();
        for pair in text.split(',') {
            let (column, name) = pair.split_once('=').unwrap_or((pair, ""));
            let column = column.trim();
            if name.is_empty() || column.is_empty() {
                return Err(format!(
                    "expected timestamp=NAME,user=NAME,event=NAME and DIMENSION=NAME; found {}",
                    shown(pair)
                ));
            }
            let is_repeated = match COLUMNS.iter().position(|known| *known == column) {
                Some(own) => names.own[own].replace(name.to_owned()).is_some(),
                None => {
                    let repeated = names.dimensions.iter().any(|(other, _)| other == column);
                    names.dimensions.push((column.to_owned(), name.to_owned()));
                    repeated
                }
            };
            if is_repeated {
                return Err(format!("{column} needs one name; found {}", shown(text)));
            }
        }
        Ok(names)
    }

    /// Returns the index of the column that a name stands for. A name that was given explicitly
    /// must match exactly.
    pub fn which(&self, name: &str) -> Option<usize> {
        (0..COLUMNS.len()).find(|&column| match &self.own[column] {
            Some(given) => given == name,
            None => DEFAULTS[column].iter().any(|usual| usual.eq_ignore_ascii_case(name.trim())),
        })
    }

    /// Returns the index of the dimension that a name stands for.
    pub fn dimension(&self, schema: &EventSchema, name: &str) -> Option<usize> {
        let is_meant = |dimension: &String| match self.given(dimension) {
            Some(given) => given == name,
            None => dimension.eq_ignore_ascii_case(name.trim()),
        };
        schema.dimensions().iter().position(is_meant)
    }

    /// Returns the name that was given for the column of a dimension.
    fn given(&self, dimension: &str) -> Option<&str> {
        let given = self.dimensions.iter().find(|(name, _)| name == dimension)?;
        Some(&given.1)
    }

    /// Checks that the store has the dimensions that were named, each with a column of its own.
    pub fn check(&self, schema: &EventSchema) -> Result<(), String> {
        for (i, (dimension, column)) in self.dimensions.iter().enumerate() {
            let earlier = self.dimensions[..i].iter().find(|(_, other)| other == column);
            if let Some((other, _)) = earlier {
                return Err(format!("would use the column {column} for {other} and {dimension}"));
            }
        }
        let is_unknown = |name: &String| schema.dimension(name).is_none();
        match self.dimensions.iter().find(|(name, _)| is_unknown(name)) {
            None => Ok(()),
            Some((name, _)) if schema.dimensions().is_empty() => Err(format!(
                "names the column of a dimension {name}, and the store has no dimensions"
            )),
            Some((name, _)) => Err(format!(
                "names the column of a dimension {name}; the store has {}",
                schema.dimensions().join(", ")
            )),
        }
    }

    /// Returns the name of a column for messages.
    pub fn called(&self, column: usize) -> String {
        match &self.own[column] {
            Some(given) => given.clone(),
            None => DEFAULTS[column].join(" or "),
        }
    }

    /// Finds the positions of the columns among an input's names.
    pub fn find<'n>(
        &self,
        schema: &EventSchema,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<Places, String> {
        self.check(schema)?;
        let (mut places, mut values, mut ignored) = ([None; 3], Vec::new(), 0);
        for (place, name) in names.clone().enumerate() {
            let Some(column) = self.which(name) else {
                match self.dimension(schema, name) {
                    None => ignored += 1,
                    Some(dimension) if values.iter().any(|(other, _)| *other == dimension) => {
                        return Err(format!("has the column {name} twice; {ADVICE}"));
                    }
                    Some(dimension) => values.push((dimension, place)),
                }
                continue;
            };
            if places[column].replace(place).is_some() {
                return Err(format!("has the column {} twice; {ADVICE}", self.called(column)));
            }
        }
        for (dimension, given) in &self.dimensions {
            let index = schema.dimension(dimension).expect("checked above");
            if !values.iter().any(|(found, _)| *found == index) {
                return Err(missing(given, names));
            }
        }
        let find =
            |column: usize| places[column].ok_or_else(|| self.missing(column, names.clone()));
        Ok(Places { own: [find(0)?, find(1)?, find(2)?], values, ignored })
    }

    /// Returns the message for a missing column.
    pub fn missing<'n>(
        &self,
        column: usize,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> String {
        missing(&self.called(column), names)
    }

    /// Returns the positions of the columns in an input of `count` columns without a header: the
    /// first three, or those given explicitly as numbers from 1.
    pub fn places(&self, schema: &EventSchema, count: usize) -> Result<Places, String> {
        const ADVICE: &str = "without a header, select them by position, as in --columns timestamp=1,user=2,event=3 \
            and DIMENSION=4";
        self.check(schema)?;
        let none_given = self.own.iter().all(Option::is_none) && self.dimensions.is_empty();
        if none_given && count != COLUMNS.len() {
            return Err(format!("has {count} columns, not 3; {ADVICE}"));
        }
        let place = |column: &str, called: &str, place: Option<usize>| {
            place.filter(|place| (1..=count).contains(place)).map(|place| place - 1).ok_or_else(
                || format!("has no column {called} for {column}, but {count}; {ADVICE}"),
            )
        };
        let own = |column: usize| {
            let given =
                self.own[column].as_ref().map_or(Some(column + 1), |given| given.parse().ok());
            place(COLUMNS[column], &self.called(column), given)
        };
        let own = [own(0)?, own(1)?, own(2)?];
        let mut values = Vec::new();
        for (dimension, given) in &self.dimensions {
            let index = schema.dimension(dimension).expect("checked above");
            values.push((index, place(dimension, given, given.parse().ok())?));
        }
        let mut used: Vec<usize> =
            own.into_iter().chain(values.iter().map(|value| value.1)).collect();
        used.sort_unstable();
        if used.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("would use one column for two of an event's; {ADVICE}"));
        }
        Ok(Places { own, ignored: count - used.len(), values })
    }
}

fn missing<'n>(called: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let listed: Vec<String> = names.clone().take(MAX_LISTED).map(shown).collect();
    let more = if names.count() > MAX_LISTED { " and more" } else { "" };
    format!("has no column {called}; found {}{more}; {ADVICE}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(given: &str, names: &[&str]) -> Result<[usize; 3], String> {
        find_in(&EventSchema::default(), given, names).map(|places| places.own)
    }

    fn find_in(schema: &EventSchema, given: &str, names: &[&str]) -> Result<Places, String> {
        let given = if given.is_empty() {
            ColumnNames::default()
        } else {
            ColumnNames::parse(given).unwrap()
        };
        given.find(schema, names.iter().copied())
    }

    #[test]
    fn dimensions_are_found_by_name_and_by_what_is_told() {
        let schema = EventSchema::new(&[], &["page".into(), "source".into()]).unwrap();
        let names = ["Page", "timestamp", "user", "utm", "event", "x"];
        let places = |values, ignored| Places { own: [1, 2, 4], values, ignored };
        assert_eq!(find_in(&schema, "", &names), Ok(places(vec![(0, 0)], 2)));
        assert_eq!(find_in(&schema, "source=utm", &names), Ok(places(vec![(0, 0), (1, 3)], 1)));
        assert!(find_in(&schema, "campaign=utm", &names).unwrap_err().contains("page, source"));
        assert!(find_in(&schema, "source=UTM", &names).unwrap_err().contains("has no column UTM"));
        assert!(
            find_in(&schema, "source=utm,page=utm", &names).unwrap_err().contains("for source")
        );
        assert!(find("page=Page", &names).unwrap_err().contains("has no dimensions"));
        let twice = find_in(&schema, "", &["timestamp", "user", "event", "page", "PAGE"]);
        assert!(twice.unwrap_err().contains("PAGE twice"));
        let told = ColumnNames::parse("source=4").unwrap().places(&schema, 5).unwrap();
        assert_eq!(told, Places { own: [0, 1, 2], values: vec![(1, 3)], ignored: 1 });
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
        let schema = EventSchema::default();
        let own = |places: Result<Places, String>| places.map(|places| places.own);
        let places =
            |given: &str, count| own(ColumnNames::parse(given).unwrap().places(&schema, count));
        let default = |count| own(ColumnNames::default().places(&schema, count));
        assert_eq!(default(3), Ok([0, 1, 2]));
        assert!(default(4).unwrap_err().starts_with("has 4 columns, not 3; "));
        assert_eq!(places("timestamp=4,user=2,event=1", 4), Ok([3, 1, 0]));
        for given in ["timestamp=0", "timestamp=5", "timestamp=time"] {
            assert!(places(given, 4).unwrap_err().starts_with("has no column "), "{given}");
        }
    }

    #[test]
    fn a_misspelt_mapping_is_refused() {
        for text in
            ["", "time", "=timestamp", "timestamp=", "timestamp=a,timestamp=b", "timestamp=a,"]
        {
            assert!(ColumnNames::parse(text).is_err(), "{text}");
        }
    }
}
