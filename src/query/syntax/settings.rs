//! Settings of PostgreSQL in statements: the forms of SET, RESET, DISCARD and SHOW, and calls of
//! `set_config`.
//!
//! SHOW of a setting becomes a query of one column, as PostgreSQL answers it. The others are changes
//! of the session, which the planner does not see.

use std::ops::ControlFlow;

use datafusion::sql::parser::{ResetStatement, Statement};
use datafusion::sql::sqlparser::ast::{
    ContextModifier, DiscardObject, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, Set, SetSessionAuthorizationParamKind,
    ShowStatementFilter, Statement as Ast, TransactionAccessMode, TransactionIsolationLevel,
    TransactionMode, Value, Visitor,
};

use super::tree::{as_flow, query, refused, within_parentheses};
use crate::error::{Error, Result};
use crate::query::session::Change;
use crate::query::settings;
use crate::query::walk::walk;

/// Columns of SHOW FUNCTIONS. DataFusion's leaves out what is in `routines` without types, which is
/// every function that decides for itself what it takes.
const FUNCTIONS: &str = "SELECT DISTINCT routine_name AS function_name, \
     CASE WHEN rid IS NULL THEN data_type ELSE return_type END AS return_type, \
     parameters, parameter_types, function_type, description, syntax_example \
     FROM information_schema.routines LEFT JOIN (SELECT specific_name AS name, rid, \
     max(data_type) FILTER (WHERE parameter_mode = 'OUT') AS return_type, \
     array_agg(parameter_name ORDER BY ordinal_position) FILTER (WHERE parameter_mode = 'IN') AS parameters, \
     array_agg(data_type ORDER BY ordinal_position) FILTER (WHERE parameter_mode = 'IN') AS parameter_types \
     FROM information_schema.parameters GROUP BY 1, 2) \
     ON name = routine_name AND function_type <> 'TABLE'";

/// Rewrites SHOW of a setting to a query, and SHOW TABLES and SHOW FUNCTIONS to one of the columns
/// that they have.
pub fn rewrite(statement: &mut Ast) -> Result<()> {
    let sql = match statement {
        Ast::ShowVariable { variable } => match shown(variable) {
            Some(sql) => sql,
            None => return Ok(()),
        },
        Ast::ShowTables { .. } if statement.to_string() == "SHOW TABLES" => {
            "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables".into()
        }
        Ast::ShowFunctions { filter: None } => format!("{FUNCTIONS} ORDER BY 1, 5, 2, 4"),
        Ast::ShowFunctions { filter: Some(ShowStatementFilter::Like(pattern)) } => {
            let pattern = pattern.replace('\'', "''");
            format!("{FUNCTIONS} WHERE routine_name LIKE '{pattern}' ORDER BY 1, 5, 2, 4")
        }
        _ => return Ok(()),
    };
    *statement = Ast::Query(query(&sql)?);
    Ok(())
}

fn shown(variable: &[Ident]) -> Option<String> {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
    let name = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["all"] => {
            let settings = "SELECT name, setting, short_desc AS description FROM pg_catalog.pg_settings ORDER BY lower(name)";
            return Some(settings.into());
        }
        ["transaction", "isolation", "level"] => "transaction_isolation".to_string(),
        ["time", "zone"] => "timezone".into(),
        ["session", "authorization"] => "session_authorization".into(),
        _ => words.join("."),
    };
    let name = settings::find(&name)?.name;
    Some(format!("SELECT current_setting('{name}') AS \"{name}\""))
}

/// Reports whether this changes settings of PostgreSQL.
pub fn is_change(set: &Set) -> bool {
    !matches!(changes_of(set), Ok(None))
}

/// Returns the changes of the session that a statement is; `None` if it is something else, also if
/// it is a change of an option of this engine.
pub fn session_changes(statement: &Statement) -> Result<Option<Vec<Change>>> {
    match statement {
        Statement::Reset(ResetStatement::Variable(name)) => Ok(reset(name)),
        Statement::Statement(statement) => match &**statement {
            Ast::Set(set) => changes_of(set),
            Ast::Discard { object_type: DiscardObject::ALL } => Ok(Some(vec![Change::ResetAll])),
            // No plan, sequence or temporary table outlives a statement.
            Ast::Discard { object_type: _ } => Ok(Some(Vec::new())),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn reset(name: &ObjectName) -> Option<Vec<Change>> {
    let name = name.0.iter().filter_map(|part| part.as_ident());
    let name = name.map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join(".");
    if name == "all" {
        return Some(vec![Change::ResetAll]);
    }
    settings::find(&name).map(|setting| vec![to(setting.name, None, false)])
}

fn to(name: &str, value: Option<String>, is_local: bool) -> Change {
    Change::Set { name: name.into(), value, is_local }
}

fn changes_of(set: &Set) -> Result<Option<Vec<Change>>> {
    Ok(Some(match set {
        Set::SingleAssignment { scope, hivevar: false, variable, values } => {
            let name = variable.to_string();
            let Some(setting) = settings::find(&name) else { return Ok(None) };
            let is_local = match scope {
                None | Some(ContextModifier::Session) => false,
                Some(ContextModifier::Local) => true,
                Some(ContextModifier::Global) => {
                    return Err(refused("SET GLOBAL", "a session changes its own settings"));
                }
            };
            vec![to(setting.name, value_of(values), is_local)]
        }
        Set::SetTimeZone { local, value } => {
            let value = value.to_string();
            let value = match value.to_uppercase().as_str() {
                "LOCAL" | "DEFAULT" => None,
                _ => Some(value.trim_matches('\'').to_string()),
            };
            // The check refuses other zones.
            if value.as_ref().is_some_and(|value| {
                settings::find("timezone").is_some_and(|zone| zone.accept(value).is_err())
            }) {
                return Ok(None);
            }
            vec![to("TimeZone", value, *local)]
        }
        Set::SetNames { charset_name, collation_name: None } => {
            vec![to("client_encoding", Some(charset_name.value.clone()), false)]
        }
        Set::SetNamesDefault {} => vec![to("client_encoding", None, false)],
        Set::SetTransaction { modes, snapshot: None, session } => {
            modes.iter().map(|mode| transaction(mode, *session)).collect::<Result<_>>()?
        }
        // The user stays who it is.
        Set::SetSessionAuthorization(to)
            if matches!(to.kind, SetSessionAuthorizationParamKind::Default) =>
        {
            Vec::new()
        }
        Set::SetRole { context_modifier: _, role_name: None } => Vec::new(),
        _ => return Ok(None),
    }))
}

fn transaction(mode: &TransactionMode, is_of_session: bool) -> Result<Change> {
    let (name, value) = match mode {
        TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => ("read_only", "on"),
        TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => ("read_only", "off"),
        TransactionMode::IsolationLevel(level) => (
            "isolation",
            match level {
                TransactionIsolationLevel::ReadUncommitted => "read uncommitted",
                TransactionIsolationLevel::ReadCommitted => "read committed",
                TransactionIsolationLevel::RepeatableRead => "repeatable read",
                TransactionIsolationLevel::Serializable => "serializable",
                TransactionIsolationLevel::Snapshot => {
                    return Err(refused("ISOLATION LEVEL SNAPSHOT", "write REPEATABLE READ"));
                }
            },
        ),
    };
    let prefix = if is_of_session { "default_transaction" } else { "transaction" };
    Ok(to(&format!("{prefix}_{name}"), Some(value.into()), !is_of_session))
}

/// Returns the value of SET as a text; `None` for DEFAULT.
fn value_of(values: &[Expr]) -> Option<String> {
    let text = |value: &Expr| match within_parentheses(value) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    };
    match values {
        [Expr::Identifier(name)]
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("DEFAULT") =>
        {
            None
        }
        values => Some(values.iter().map(text).collect::<Vec<_>>().join(", ")),
    }
}

/// Returns the changes that the calls of `set_config` in a statement ask for.
///
/// # Errors
/// [`Error::Invalid`] if an argument is no constant: the session changes once, not for each row.
pub fn called_changes(statement: &Statement) -> Result<Vec<Change>> {
    struct Calls(Vec<Change>);
    impl Visitor for Calls {
        type Break = Error;
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
            match expr {
                Expr::Function(call) if is_set_config(call) => {
                    as_flow(called(call).map(|change| self.0.push(change)))
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let mut calls = Calls(Vec::new());
    if let Statement::Statement(statement) = statement {
        walk(&**statement, &mut calls)?;
    }
    Ok(calls.0)
}

fn is_set_config(call: &Function) -> bool {
    let name = call.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| name.value.eq_ignore_ascii_case("set_config"))
}

fn called(call: &Function) -> Result<Change> {
    let constant = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            Value::Boolean(truth) => Some(truth.to_string()),
            Value::Number(number, _) => Some(number.to_string()),
            _ => None,
        },
        _ => None,
    };
    if let FunctionArguments::List(list) = &call.args
        && let [Some(name), Some(value), Some(is_local)] =
            &list.args.iter().map(constant).collect::<Vec<_>>()[..]
    {
        return Ok(to(name, Some(value.clone()), is_local == "true"));
    }
    Err(refused(call, "set_config takes constants: the name, the value, and whether it is local"))
}
