//! Check of expressions: operators, special forms and function calls.

use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, CaseWhen, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Interval,
    JsonPath, NullTreatment, OrderByExpr, OrderByOptions, TypedString, UnaryOperator, Value,
    WindowFrame, WindowSpec, WindowType,
};

use super::tree::refused;
use crate::error::{Error, Result};

/// Checks one expression; nested expressions are checked separately.
pub fn check_expr(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedByteStringLiteral(_)
            | Value::DoubleQuotedByteStringLiteral(_)
            | Value::HexStringLiteral(_) => {
                Err(refused(format!("the literal {value}"), "write a string or a number"))
            }
            _ => Ok(()),
        },
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Wildcard(_) => Ok(()),
        Expr::QualifiedWildcard(_, _) | Expr::Nested(_) | Expr::Tuple(_) | Expr::Subquery(_) => {
            Ok(())
        }
        Expr::CompoundFieldAccess { root: _, access_chain: _ } => Ok(()),
        Expr::IsFalse(_) | Expr::IsNotFalse(_) | Expr::IsTrue(_) | Expr::IsNotTrue(_) => Ok(()),
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => Ok(()),
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => check_distinct(right),
        Expr::InList { expr: _, list: _, negated: _ }
        | Expr::InSubquery { expr: _, subquery: _, negated: _ } => Ok(()),
        Expr::Between { expr: _, negated: _, low: _, high: _ } => Ok(()),
        Expr::BinaryOp { left: _, op, right: _ } => check_operator(op),
        Expr::UnaryOp {
            op: UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not,
            expr: _,
        } => Ok(()),
        Expr::UnaryOp { op, expr: _ } => {
            Err(refused(format!("the operator {op}"), "write a function, or a condition with NOT"))
        }
        Expr::Exists { subquery: _, negated: _ } => Ok(()),
        Expr::AtTimeZone { timestamp: _, time_zone: _ } => Ok(()),
        Expr::Extract { field: _, syntax: _, expr: _ } => Ok(()),
        Expr::Ceil { expr: _, field: _ } | Expr::Floor { expr: _, field: _ } => Ok(()),
        Expr::Position { expr: _, r#in: _ } => Ok(()),
        Expr::Substring {
            expr: _,
            substring_from: _,
            substring_for: _,
            special: _,
            shorthand: _,
        } => Ok(()),
        Expr::Overlay { expr: _, overlay_what: _, overlay_from: _, overlay_for: _ } => Ok(()),
        Expr::TypedString(TypedString { data_type: _, value: _, uses_odbc_syntax: _ }) => Ok(()),
        Expr::Case { case_token: _, end_token: _, operand: _, conditions, else_result: _ } => {
            conditions.iter().for_each(|CaseWhen { condition: _, result: _ }| ());
            Ok(())
        }
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => Ok(()),
        Expr::Struct { values: _, fields: _ } | Expr::Named { expr: _, name: _ } => Ok(()),
        Expr::Dictionary(_) | Expr::Map(_) | Expr::Lambda(_) => Ok(()),
        Expr::Array(Array { elem: _, named: _ }) => Ok(()),
        Expr::Interval(interval) => check_interval(interval),
        Expr::Function(call) => check_call(call),
        _ => check_special(expr),
    }
}

/// Rejects `a IS DISTINCT FROM b AND c`, which sqlparser reads as `a IS DISTINCT FROM (b AND c)`,
/// which nobody means.
fn check_distinct(right: &Expr) -> Result<()> {
    match right {
        Expr::BinaryOp {
            left: _,
            op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor,
            right: _,
        } => {
            let instead = "write parentheses around the comparison, (a IS DISTINCT FROM b) AND …";
            Err(refused("IS DISTINCT FROM before AND or OR", instead))
        }
        _ => Ok(()),
    }
}

/// Rejects operators that are not planned, or that have another meaning in other dialects.
fn check_operator(op: &BinaryOperator) -> Result<()> {
    let instead = match op {
        BinaryOperator::BitwiseXor => "it would be XOR of bits, write power(x, y)",
        BinaryOperator::PGOverlap => "write AND",
        BinaryOperator::DuckIntegerDivide | BinaryOperator::MyIntegerDivide => {
            "integers are divided to integers by /"
        }
        BinaryOperator::Arrow
        | BinaryOperator::LongArrow
        | BinaryOperator::HashArrow
        | BinaryOperator::HashLongArrow
        | BinaryOperator::HashMinus
        | BinaryOperator::AtArrow
        | BinaryOperator::ArrowAt
        | BinaryOperator::AtAt
        | BinaryOperator::AtQuestion
        | BinaryOperator::Question
        | BinaryOperator::QuestionAnd
        | BinaryOperator::QuestionPipe => "an event has no JSON",
        BinaryOperator::Regexp | BinaryOperator::Match => "write ~ and a regular expression",
        BinaryOperator::Custom(_) | BinaryOperator::PGCustomBinaryOperator(_) => "write a function",
        _ => return Ok(()),
    };
    Err(refused(format!("the operator {op}"), instead))
}

/// Rejects the special forms that the planner ignores in whole or in part.
fn check_special(expr: &Expr) -> Result<()> {
    let (clause, instead) = match expr {
        Expr::Like { negated: _, any, expr: _, pattern: _, escape_char: _ }
        | Expr::ILike { negated: _, any, expr: _, pattern: _, escape_char: _ }
            if *any =>
        {
            ("LIKE ANY", "write LIKE … OR LIKE …")
        }
        Expr::Cast { kind: _, expr: _, data_type: _, array, format } => match (array, format) {
            (false, None) => return Ok(()),
            (true, _) => ("CAST AS … ARRAY", "write the type with []"),
            (_, Some(_)) => {
                ("CAST with FORMAT", "write to_timestamp(text, format) or to_char(value, format)")
            }
        },
        Expr::Trim { trim_where: _, trim_what, expr: _, trim_characters } => {
            match (trim_what, trim_characters.as_ref().map_or(0, Vec::len)) {
                (None, 0 | 1) | (Some(_), 0) => return Ok(()),
                _ => ("TRIM of several sets of characters", "write all characters in one string"),
            }
        }
        Expr::AnyOp { left: _, compare_op, right, is_some: _ }
        | Expr::AllOp { left: _, compare_op, right } => match &**right {
            Expr::Subquery(_) => {
                return Err(refused(
                    format!("{compare_op} ANY or ALL of a subquery"),
                    "compare with =, <>, <, <=, > or >=",
                ));
            }
            _ => return Ok(()),
        },
        Expr::JsonAccess { value: _, path: JsonPath { path: _ } } => {
            ("a path into JSON", "an event has no JSON")
        }
        Expr::SimilarTo { .. } => (
            "SIMILAR TO with such a pattern",
            "write the pattern as a string, or ~ and a regular expression",
        ),
        Expr::RLike { .. } => ("RLIKE", "write ~ and a regular expression"),
        Expr::InUnnest { .. } => ("IN UNNEST", "write IN (SELECT unnest(…))"),
        Expr::IsNormalized { .. } => ("IS NORMALIZED", "text is stored as it came"),
        Expr::Convert { .. } => ("CONVERT", "write CAST(… AS …)"),
        Expr::Collate { .. } => {
            ("COLLATE", "text is compared byte by byte, write lower(…) to ignore case")
        }
        Expr::Prefixed { .. } => ("a prefix before a string", "write the string alone"),
        Expr::MatchAgainst { .. } => ("MATCH … AGAINST", "write LIKE or ~"),
        Expr::OuterJoin(_) => ("(+)", "write LEFT JOIN"),
        Expr::Prior(_) => ("PRIOR", "write WITH RECURSIVE"),
        Expr::MemberOf(_) => ("MEMBER OF", "write IN (…)"),
        _ => return Ok(()),
    };
    Err(refused(clause, instead))
}

fn check_interval(interval: &Interval) -> Result<()> {
    let Interval {
        value: _,
        leading_field: _,
        leading_precision,
        last_field,
        fractional_seconds_precision,
    } = interval;
    if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some()
    {
        Err(refused("an INTERVAL with TO or a precision", "write INTERVAL '1 day 2 hours'"))
    } else {
        Ok(())
    }
}

fn check_call(call: &Function) -> Result<()> {
    let Function {
        name,
        uses_odbc_syntax: _,
        parameters,
        args,
        filter: _,
        null_treatment: _,
        over,
        within_group,
    } = call;
    if let FunctionArguments::List(list) = parameters {
        let instead = "write all arguments in one list, for instance percentile_cont(0.5) WITHIN GROUP (ORDER BY …)";
        return Err(refused(format!("{name}({list})(…)"), instead));
    }
    within_group.iter().try_for_each(check_sort)?;
    match over {
        Some(WindowType::WindowSpec(spec)) => check_window(spec)?,
        Some(WindowType::NamedWindow(_)) | None => {}
    }
    match args {
        FunctionArguments::None => Ok(()),
        FunctionArguments::Subquery(_) => Err(refused(
            format!("{name} of a subquery"),
            "write the subquery in parentheses of its own, or array_agg in it",
        )),
        FunctionArguments::List(list) => check_arguments(&name.to_string(), list),
    }
}

fn check_window(spec: &WindowSpec) -> Result<()> {
    let WindowSpec { window_name, partition_by: _, order_by, window_frame } = spec;
    if let Some(name) = window_name {
        return Err(refused(format!("OVER ({name} …) here"), "write the window out"));
    }
    if let Some(WindowFrame { units: _, start_bound: _, end_bound: _ }) = window_frame {}
    order_by.iter().try_for_each(check_sort)
}

fn check_arguments(name: &str, list: &FunctionArgumentList) -> Result<()> {
    let FunctionArgumentList { duplicate_treatment, args, clauses: options } = list;
    let is_distinct = *duplicate_treatment == Some(DuplicateTreatment::Distinct);
    for arg in args {
        let value = match arg {
            FunctionArg::Named { name: _, arg, operator: _ } | FunctionArg::Unnamed(arg) => arg,
            FunctionArg::ExprNamed { .. } => {
                return Err(refused(
                    format!("{name}({arg})"),
                    "the name of an argument must be an identifier",
                ));
            }
        };
        match value {
            FunctionArgExpr::Expr(_) => {}
            // Whether the function accepts a wildcard is checked once the session is known.
            FunctionArgExpr::Wildcard if !is_distinct => {}
            FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_)
                if name.eq_ignore_ascii_case("count") =>
            {
                let instead = if is_distinct {
                    "write SELECT count(*) FROM (SELECT DISTINCT * FROM …)"
                } else {
                    "write count(*), or a column of the table"
                };
                let distinct = if is_distinct { "DISTINCT " } else { "" };
                return Err(refused(format!("count({distinct}{value})"), instead));
            }
            other => return Err(refused(format!("{name}({other})"), "write the columns")),
        }
    }
    for option in options {
        let instead = match option {
            FunctionArgumentClause::OrderBy(sorts) => {
                sorts.iter().try_for_each(check_sort)?;
                continue;
            }
            FunctionArgumentClause::IgnoreOrRespectNulls(
                NullTreatment::IgnoreNulls | NullTreatment::RespectNulls,
            ) => {
                continue;
            }
            FunctionArgumentClause::Limit(_) => {
                "take a part of the array, or a subquery with LIMIT"
            }
            FunctionArgumentClause::Having(_) => "write FILTER (WHERE …)",
            FunctionArgumentClause::Separator(_) => "write string_agg(value, separator)",
            FunctionArgumentClause::OnOverflow(_)
            | FunctionArgumentClause::JsonNullClause(_)
            | FunctionArgumentClause::JsonReturningClause(_) => "leave it out",
        };
        return Err(refused(format!("{option} in {name}"), instead));
    }
    Ok(())
}

/// Checks one expression of any ORDER BY.
pub fn check_sort(sort: &OrderByExpr) -> Result<()> {
    let OrderByExpr { expr: _, options: OrderByOptions { asc: _, nulls_first: _ }, with_fill } =
        sort;
    if with_fill.is_some() { Err(fill()) } else { Ok(()) }
}

pub fn fill() -> Error {
    refused(
        "WITH FILL or INTERPOLATE",
        "join the rows to generate_series(…), whose rows have no gaps",
    )
}
