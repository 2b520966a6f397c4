//! Unique column names of a result: JSON objects cannot repeat a key, and engines refuse tables
//! with duplicate columns.
//!
//! A repeated name gets a number, as in DuckDB: `n`, `n` become `n`, `n_1`. Other names stay as
//! they are.

use std::collections::{HashMap, HashSet};

/// Makes names unique, by exact comparison or ignoring case.
pub fn unique<'a>(names: impl IntoIterator<Item = &'a String>, ignore_case: bool) -> Vec<String> {
    let folded = |name: &str| if ignore_case { name.to_lowercase() } else { name.to_string() };
    let names: Vec<&String> = names.into_iter().collect();
    let mut taken: HashSet<String> = names.iter().map(|name| folded(name)).collect();
    let mut seen = HashSet::new();
    let mut next: HashMap<String, u64> = HashMap::new();
    let name = |name: &String| {
        if seen.insert(folded(name)) {
            return name.clone();
        }
        let number = next.entry(folded(name)).or_insert(0);
        loop {
            *number += 1;
            let numbered = format!("{name}_{number}");
            if taken.insert(folded(&numbered)) {
                return numbered;
            }
        }
    };
    names.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str], ignore_case: bool) -> Vec<String> {
        unique(&names.iter().map(ToString::to_string).collect::<Vec<_>>(), ignore_case)
    }

    #[test]
    fn a_name_that_comes_again_gets_a_number_that_nobody_has() {
        assert_eq!(named(&["n", "n", "n"], false), ["n", "n_1", "n_2"]);
        assert_eq!(named(&["n", "n", "n_1", "n"], false), ["n", "n_2", "n_1", "n_3"]);
        assert_eq!(named(&["", ""], false), ["", "_1"]);
    }

    #[test]
    fn case_counts_where_readers_heed_it() {
        assert_eq!(named(&["n", "N"], false), ["n", "N"]);
        assert_eq!(named(&["n", "N", "N_1"], true), ["n", "N_2", "N_1"]);
    }
}
