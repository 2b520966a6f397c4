//! Check of the FROM clause: tables, their aliases, and joins.

use datafusion::sql::sqlparser::ast::{
    FunctionArg, FunctionArgExpr, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, TableSampleKind, TableWithJoins,
};

use super::tree::refused;
use crate::error::Result;

/// Keywords of other dialects that would be read as the alias of the table before them, and what to
/// write instead.
const NOT_NAMES: [(&str, &str); 9] = [
    ("FINAL", "every event is stored once, leave it out"),
    ("SAMPLE", "write WHERE with a condition that few rows satisfy"),
    ("ANY", "write JOIN (SELECT DISTINCT ON (…) …)"),
    ("ASOF", "write LEFT JOIN with the condition, and QUALIFY row_number() OVER (…) = 1"),
    ("GLOBAL", "one process has all rows, leave it out"),
    ("PASTE", "join on row_number()"),
    ("POSITIONAL", "join on row_number()"),
    ("PREWHERE", "write WHERE"),
    ("SETTINGS", "write SET before the statement"),
];

/// Checks one table, function or subquery of FROM.
pub fn check_factor(table: &TableFactor) -> Result<()> {
    match table {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            check_alias(alias.as_ref())?;
            check_sample(sample.as_ref())?;
            args.iter().try_for_each(|args| check_function(name, args))?;
            let clauses = [
                (!with_hints.is_empty(), "WITH (…) after a table", "leave it out"),
                (
                    version.is_some(),
                    "an older version of a table",
                    "write WHERE with the timestamps that you mean",
                ),
                (*with_ordinality, "WITH ORDINALITY", "write row_number() OVER ()"),
                (
                    !partitions.is_empty(),
                    "PARTITION",
                    "write WHERE with the timestamps that you mean",
                ),
                (json_path.is_some(), "a path after a table", "write the columns"),
                (!index_hints.is_empty(), "a hint of an index", "leave it out"),
            ];
            let clause = clauses.into_iter().find(|(is_there, _, _)| *is_there);
            clause.map_or(Ok(()), |(_, clause, instead)| Err(refused(clause, instead)))
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            check_sample(sample.as_ref())?;
            check_alias(alias.as_ref())
        }
        TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
            if *lateral || *with_ordinality {
                return Err(refused(
                    format!("LATERAL or WITH ORDINALITY with {name}"),
                    "write the function alone",
                ));
            }
            args.iter().try_for_each(|arg| check_argument(name, arg))?;
            check_alias(alias.as_ref())
        }
        TableFactor::UNNEST {
            alias,
            array_exprs: _,
            with_offset,
            with_offset_alias: _,
            with_ordinality,
        } => {
            if *with_offset || *with_ordinality {
                Err(refused("WITH OFFSET or WITH ORDINALITY", "write row_number() OVER ()"))
            } else {
                check_alias(alias.as_ref())
            }
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            check_alias(alias.as_ref())?;
            check_joins(table_with_joins)
        }
        TableFactor::TableFunction { expr, alias: _ } => {
            Err(refused(format!("TABLE({expr})"), "write the function alone"))
        }
        TableFactor::Pivot { .. } => {
            Err(refused("PIVOT", "write one aggregate with FILTER (WHERE …) for each column"))
        }
        TableFactor::Unpivot { .. } => {
            Err(refused("UNPIVOT", "write UNION ALL of one SELECT for each column"))
        }
        TableFactor::MatchRecognize { .. } => {
            Err(refused("MATCH_RECOGNIZE", "write window functions such as lag(…) OVER (…)"))
        }
        TableFactor::JsonTable { .. }
        | TableFactor::OpenJsonTable { .. }
        | TableFactor::XmlTable { .. }
        | TableFactor::SemanticView { .. } => {
            Err(refused("this kind of table", "write a table or a subquery"))
        }
    }
}

fn check_function(name: &ObjectName, args: &TableFunctionArgs) -> Result<()> {
    let TableFunctionArgs { args, settings } = args;
    if settings.is_some() {
        return Err(refused("SETTINGS", "write SET before the statement"));
    }
    if name.0.len() > 1 {
        return Err(refused(format!("{name}(…)"), "write the function without a schema"));
    }
    args.iter().try_for_each(|arg| check_argument(name, arg))
}

fn check_argument(name: &ObjectName, arg: &FunctionArg) -> Result<()> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) => Ok(()),
        other => Err(refused(
            format!("{name}({other})"),
            "write values, in the order that the function has",
        )),
    }
}

fn check_sample(sample: Option<&TableSampleKind>) -> Result<()> {
    match sample {
        None => Ok(()),
        Some(_) => Err(refused(
            "TABLESAMPLE or SAMPLE",
            "answers are exact; write ORDER BY random() LIMIT n for some rows, or WHERE with a condition that few meet",
        )),
    }
}

/// Checks the alias of a table.
pub fn check_alias(alias: Option<&TableAlias>) -> Result<()> {
    let Some(TableAlias { explicit, name, columns, at }) = alias else { return Ok(()) };
    let word = NOT_NAMES
        .iter()
        .find(|(word, _)| name.quote_style.is_none() && name.value.eq_ignore_ascii_case(word));
    if let Some((word, instead)) = word
        && !explicit
    {
        return Err(refused(word, instead));
    }
    if let Some(at) = at {
        return Err(refused(format!("AT {at}"), "write row_number() OVER ()"));
    }
    let typed =
        columns.iter().find(|TableAliasColumnDef { name: _, data_type }| data_type.is_some());
    typed.map_or(Ok(()), |column| {
        Err(refused(format!("a type for the column {column}"), "write a CAST"))
    })
}

/// Checks a table and the tables joined to it.
pub fn check_joins(table: &TableWithJoins) -> Result<()> {
    let TableWithJoins { relation: _, joins } = table;
    joins.iter().try_for_each(check_join)
}

/// Checks one join; the joined table is checked separately.
pub fn check_join(join: &Join) -> Result<()> {
    let Join { relation: _, global, join_operator } = join;
    if *global {
        return Err(refused("GLOBAL JOIN", "one process has all rows, write JOIN"));
    }
    match join_operator {
        JoinOperator::Join(_)
        | JoinOperator::Inner(_)
        | JoinOperator::CrossJoin(JoinConstraint::None) => Ok(()),
        JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => match constraint {
            JoinConstraint::None => {
                Err(refused("an outer join without a condition", "write ON and the condition"))
            }
            JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural => Ok(()),
        },
        JoinOperator::CrossJoin(_) => Err(refused("CROSS JOIN with a condition", "write JOIN")),
        JoinOperator::Semi(_) | JoinOperator::Anti(_) => {
            Err(refused("this join", "write LEFT SEMI or LEFT ANTI JOIN"))
        }
        JoinOperator::CrossApply => Err(refused("CROSS APPLY", "write CROSS JOIN LATERAL (…)")),
        JoinOperator::OuterApply => {
            Err(refused("OUTER APPLY", "write LEFT JOIN LATERAL (…) ON true"))
        }
        JoinOperator::AsOf { match_condition: _, constraint: _ } => Err(refused(
            "ASOF JOIN",
            "write LEFT JOIN with the condition, and QUALIFY row_number() OVER (PARTITION BY … ORDER BY …) = 1",
        )),
        JoinOperator::StraightJoin(_) => Err(refused("STRAIGHT_JOIN", "write JOIN")),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            Err(refused("ARRAY JOIN", "write CROSS JOIN UNNEST(…)"))
        }
    }
}
