//! Error messages for unknown tables, with the known ones.

use datafusion::common::Diagnostic;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;

use crate::error::is_near;

/// Adds to the error for an unknown table which one may be meant; returns other errors unchanged.
pub fn suggest_table(error: DataFusionError, state: &SessionState) -> DataFusionError {
    let text = error.find_root().message().into_owned();
    let Some(told) =
        unknown(&text, "table '", "' not found", "table", &tables(state)).or_else(|| {
            unknown(&text, "table function '", "' not found", "table function", &functions(state))
        })
    else {
        return error;
    };
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    DataFusionError::Plan(told.clone()).with_diagnostic(Diagnostic::new_error(told, span))
}

fn unknown(text: &str, before: &str, after: &str, kind: &str, known: &[String]) -> Option<String> {
    let name = text.strip_prefix(before)?.strip_suffix(after)?;
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_string();
    let is_meant =
        |known: &&String| last(known) == last(name) || is_near(&last(name), &last(known));
    let name = name.trim_start_matches("hourglass.").trim_start_matches("public.");
    Some(match known.iter().find(is_meant) {
        Some(known) => format!("there is no {kind} {name}: did you mean {known}?"),
        None => format!("there is no {kind} {name}: there are {}", known.join(", ")),
    })
}

fn tables(state: &SessionState) -> Vec<String> {
    let config = state.config_options();
    let default = &config.catalog.default_schema;
    let Some(catalog) = state.catalog_list().catalog(&config.catalog.default_catalog) else {
        return Vec::new();
    };
    let mut schemas = catalog.schema_names();
    // They would bury the others.
    schemas.retain(|schema| !["pg_catalog", "information_schema"].contains(&schema.as_str()));
    schemas.sort_by_key(|schema| (schema != default, schema.clone()));
    let names = schemas.iter().flat_map(|schema| {
        let tables = catalog.schema(schema).map(|tables| tables.table_names()).unwrap_or_default();
        let qualified = move |table: String| {
            if schema == default { table } else { format!("{schema}.{table}") }
        };
        tables.into_iter().map(qualified)
    });
    names.collect()
}

fn functions(state: &SessionState) -> Vec<String> {
    let mut names: Vec<String> = state.table_functions().keys().cloned().collect();
    names.sort_unstable();
    names
}
