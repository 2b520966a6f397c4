//! Functions that are other spellings: `time_bucket`, `dayname`, `count_if`, `arg_max` and the like
//! become expressions that the engine has already, before types are known. So they prune, and
//! rollups answer them, as those do.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::functions_aggregate::{average, min_max};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Cast, ScalarFunction,
};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, BinaryExpr, ColumnarValue, Documentation, Expr,
    ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    WindowFunctionDefinition,
};
use datafusion::prelude::lit;

use super::function::{documentation, is_text, time};
use super::{calendar, instant, part, sum, trunc};

const NAIVE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Puts the expressions in the place of their spellings.
#[derive(Debug)]
pub struct SpellingRewrite;

impl FunctionRewrite for SpellingRewrite {
    fn name(&self) -> &str {
        "hourglass_spellings"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(Cast { expr, field }) => Ok(super::zone::at_time_zone(*expr, field, schema)),
            Expr::BinaryExpr(binary) => Ok(date_and_interval(binary, schema)),
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                if func.name() == "age" && args.len() == 1 {
                    return Ok(Transformed::yes(age_since_midnight(only(args)?)));
                }
                if let ("arrow_cast" | "arrow_try_cast", [of, _]) = (func.name(), &args[..])
                    && !of.get_type(schema).is_ok_and(|of| of.is_numeric())
                {
                    return Ok(Transformed::yes(
                        func.call(args.into_iter().map(in_micros).collect()),
                    ));
                }
                match (func.inner().as_ref() as &dyn Any).downcast_ref::<Spelling>() {
                    Some(spelling) => Ok(Transformed::yes((spelling.expand)(args)?)),
                    None => {
                        Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })))
                    }
                }
            }
            Expr::AggregateFunction(AggregateFunction { func, params }) => match spelled(&func) {
                Some(spelling) => {
                    let (func, params) = spelling.expanded(params)?;
                    Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction {
                        func,
                        params,
                    })))
                }
                None => {
                    Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })))
                }
            },
            Expr::WindowFunction(mut window) => {
                let WindowFunctionDefinition::AggregateUDF(func) = &window.fun else {
                    return Ok(Transformed::no(Expr::WindowFunction(window)));
                };
                let Some(spelling) = spelled(func) else {
                    return Ok(Transformed::no(Expr::WindowFunction(window)));
                };
                let params = AggregateFunctionParams {
                    args: window.params.args.clone(),
                    distinct: window.params.distinct,
                    filter: window.params.filter.clone(),
                    order_by: Vec::new(),
                    null_treatment: window.params.null_treatment,
                };
                let (func, params) = spelling.expanded(params)?;
                if !params.order_by.is_empty() {
                    return plan_err!(
                        "{} cannot be asked OVER a window: ask for it in a GROUP BY",
                        spelling.name
                    );
                }
                window.fun = WindowFunctionDefinition::AggregateUDF(func);
                window.params.args = params.args;
                window.params.distinct = params.distinct;
                window.params.filter = params.filter;
                Ok(Transformed::yes(Expr::WindowFunction(window)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// The name of a type with microseconds where it has nanoseconds.
fn in_micros(arg: Expr) -> Expr {
    let name = match &arg {
        Expr::Literal(value, _) => value.try_as_str().flatten().unwrap_or_default(),
        _ => "",
    };
    if name.trim_start().starts_with("Timestamp(") {
        lit(name.replacen("Nanosecond", "Microsecond", 1).replacen("(ns", "(µs", 1))
    } else {
        arg
    }
}

/// A date and an interval make a time, as in PostgreSQL; DataFusion cuts the hours off.
fn date_and_interval(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let types = (binary.left.get_type(schema), binary.right.get_type(schema));
    let is_sum = matches!(binary.op, Operator::Plus | Operator::Minus);
    let as_time = |expr: Box<Expr>| Box::new(cast(*expr, NAIVE));
    let BinaryExpr { left, op, right } = binary;
    let (left, right, is_other) = match types {
        (Ok(DataType::Date32 | DataType::Date64), Ok(DataType::Interval(_))) if is_sum => {
            (as_time(left), right, true)
        }
        (Ok(DataType::Interval(_)), Ok(DataType::Date32 | DataType::Date64)) if is_sum => {
            (left, as_time(right), true)
        }
        _ => (left, right, false),
    };
    let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
    if is_other { Transformed::yes(expr) } else { Transformed::no(expr) }
}

fn spelled(func: &Arc<AggregateUDF>) -> Option<&AggregateSpelling> {
    (func.inner().as_ref() as &dyn Any).downcast_ref::<AggregateSpelling>()
}

/// A scalar function that is an expression.
#[derive(Debug)]
struct Spelling {
    name: &'static str,
    aliases: Vec<String>,
    /// The type of the answer; nothing where the arguments are not what the function takes.
    answers: fn(&[DataType]) -> Option<DataType>,
    /// How it is called.
    usage: &'static str,
    expand: fn(Vec<Expr>) -> Result<Expr>,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for Spelling {
    fn eq(&self, other: &Spelling) -> bool {
        self.name == other.name
    }
}

impl Eq for Spelling {}

impl Hash for Spelling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Spelling {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.return_type(types)?;
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.answers)(types) {
            Some(answers) => Ok(answers),
            None => plan_err!("{} is called as {}", self.name, self.usage),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is another function by the time a statement runs", self.name)
    }
}

fn call(function: Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    function.call(args)
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

fn only(args: Vec<Expr>) -> Result<Expr> {
    match <[Expr; 1]>::try_from(args) {
        Ok([arg]) => Ok(arg),
        Err(_) => internal_err!("one argument is expected"),
    }
}

fn one_time(types: &[DataType]) -> Option<DataType> {
    match types {
        [of] => time(of),
        _ => None,
    }
}

fn to_char(args: Vec<Expr>, format: &str) -> Result<Expr> {
    Ok(call(calendar::to_char_udf(), vec![only(args)?, lit(format)]))
}

macro_rules! part_of {
    ($name:literal, $part:literal) => {
        spelling(
            $name,
            &[],
            |types| one_time(types).map(|_| DataType::Int32),
            concat!($name, "(timestamp)"),
            |args| Ok(call(part::udf(), vec![lit($part), only(args)?])),
        )
    };
}

macro_rules! start_of {
    ($name:literal, $unit:literal) => {
        spelling($name, &[], one_time, concat!($name, "(timestamp)"), |args| {
            Ok(call(trunc::date_trunc(), vec![lit($unit), only(args)?]))
        })
    };
}

fn spelling(
    name: &'static str,
    aliases: &[&str],
    answers: fn(&[DataType]) -> Option<DataType>,
    usage: &'static str,
    expand: fn(Vec<Expr>) -> Result<Expr>,
) -> Arc<ScalarUDF> {
    let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Spelling {
        name,
        aliases,
        answers,
        usage,
        expand,
        signature,
        documentation: documentation(
            "Short for another expression, as other engines have it.",
            usage,
        ),
    }))
}

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let text = |types: &[DataType]| one_time(types).map(|_| DataType::Utf8);
    let date = |types: &[DataType]| one_time(types).map(|_| DataType::Date32);
    vec![
        spelling(
            "time_bucket",
            &[],
            bucket_type,
            "time_bucket(INTERVAL '1 hour', timestamp)",
            time_bucket,
        ),
        spelling(
            "tostartofinterval",
            &[],
            |types| bucket_type(&[types.get(1)?.clone(), types.first()?.clone()]),
            "toStartOfInterval(timestamp, INTERVAL '1 hour')",
            |args| Ok(call(trunc::date_bin(), args.into_iter().rev().collect())),
        ),
        spelling("mod", &[], modulo_type, "mod(n, divisor)", |mut args| {
            match (args.pop(), args.pop()) {
                (Some(divisor), Some(n)) => Ok(n % divisor),
                _ => internal_err!("two arguments are expected"),
            }
        }),
        spelling("date", &["todate"], date, "date(timestamp)", |args| {
            Ok(cast(only(args)?, DataType::Date32))
        }),
        spelling("dayname", &[], text, "dayname(timestamp)", |args| to_char(args, "%A")),
        spelling("monthname", &[], text, "monthname(timestamp)", |args| to_char(args, "%B")),
        spelling("strftime", &[], strftime_type, "strftime(timestamp, '%Y-%m-%d')", strftime),
        spelling("last_day", &[], date, "last_day(timestamp)", |args| {
            let month = call(trunc::date_trunc(), vec![lit("month"), only(args)?]);
            let next = month + lit(ScalarValue::new_interval_mdn(1, 0, 0));
            Ok(cast(next - lit(ScalarValue::new_interval_mdn(0, 1, 0)), DataType::Date32))
        }),
        part_of!("year", "year"),
        part_of!("quarter", "quarter"),
        part_of!("month", "month"),
        part_of!("week", "week"),
        part_of!("weekofyear", "week"),
        part_of!("day", "day"),
        part_of!("dayofmonth", "day"),
        part_of!("dayofweek", "dow"),
        part_of!("isodow", "isodow"),
        part_of!("dayofyear", "doy"),
        part_of!("hour", "hour"),
        part_of!("minute", "minute"),
        start_of!("tostartofsecond", "second"),
        start_of!("tostartofminute", "minute"),
        start_of!("tostartofhour", "hour"),
        start_of!("tostartofday", "day"),
        start_of!("tomonday", "week"),
        start_of!("tostartofmonth", "month"),
        start_of!("tostartofquarter", "quarter"),
        start_of!("tostartofyear", "year"),
    ]
}

fn modulo_type(types: &[DataType]) -> Option<DataType> {
    match types {
        [n, divisor] => {
            BinaryTypeCoercer::new(n, &Operator::Modulo, divisor).get_result_type().ok()
        }
        _ => None,
    }
}

fn strftime_type(types: &[DataType]) -> Option<DataType> {
    match types {
        [of, format] if is_text(format) && time(of).is_some() => Some(DataType::Utf8),
        [format, of] if is_text(format) && time(of).is_some() => Some(DataType::Utf8),
        _ => None,
    }
}

/// The format may come first, as in SQLite.
fn strftime(mut args: Vec<Expr>) -> Result<Expr> {
    let is_format = |expr: &Expr| match expr {
        Expr::Literal(value, _) => {
            value.try_as_str().flatten().is_some_and(|text| text.contains('%'))
        }
        _ => false,
    };
    if is_format(&args[0]) && !is_format(&args[1]) {
        args.reverse();
    }
    Ok(call(calendar::to_char_udf(), args))
}

fn bucket_type(types: &[DataType]) -> Option<DataType> {
    let [width, of, rest @ ..] = types else { return None };
    let is_width = matches!(width, DataType::Interval(_)) || is_text(width);
    let answers = if *of == DataType::Date32 { NAIVE } else { time(of)? };
    (is_width && rest.len() <= 3).then_some(answers)
}

/// `time_bucket(width, time[, zone][, origin or offset])`, as TimescaleDB has it: buckets of days
/// and less begin on Monday, 3 January 2000, those of months on 1 January 2000.
fn time_bucket(args: Vec<Expr>) -> Result<Expr> {
    let mut args = args.into_iter();
    let (Some(width), Some(of)) = (args.next(), args.next()) else {
        return internal_err!("checked by the type");
    };
    let width = match &width {
        Expr::Literal(value, _) => {
            value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))?
        }
        _ => return plan_err!("the width of time_bucket must be a constant: INTERVAL '1 hour'"),
    };
    let is_months =
        matches!(width, ScalarValue::IntervalMonthDayNano(Some(width)) if width.months != 0);
    // 3 January and 1 January 2000.
    let first = if is_months { 946_684_800_000_000 } else { 946_857_600_000_000 };
    let mut origin = lit(ScalarValue::TimestampMicrosecond(Some(first), None));
    let mut zone = None;
    let mut offset = None;
    for arg in args {
        match &arg {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
                if interval.months == 0 =>
            {
                offset = Some(arg.clone());
                let us = i64::from(interval.days) * super::time_bucket::DAY_US
                    + interval.nanoseconds / 1_000;
                origin = lit(ScalarValue::TimestampMicrosecond(Some(first + us), None));
            }
            Expr::Literal(value, _)
                if value.try_as_str().flatten().is_some() && offset.is_none() =>
            {
                let text = value.try_as_str().flatten().unwrap_or_default();
                match text.parse::<arrow::array::timezone::Tz>() {
                    Ok(_) => zone = Some(lit(text)),
                    Err(_) => origin = cast(arg, NAIVE),
                }
            }
            // A zone that the origin names counts not: buckets are of the clock.
            _ => origin = arg,
        }
    }
    let args = [lit(width), of, origin].into_iter().chain(zone);
    Ok(call(trunc::date_bin(), args.collect()))
}

/// An aggregate that is another, and how its parameters become those of the other.
#[derive(Debug)]
struct AggregateSpelling {
    name: &'static str,
    aliases: Vec<String>,
    usage: &'static str,
    arguments: usize,
    answers: Answers,
    becomes: fn() -> Arc<AggregateUDF>,
    expand: fn(AggregateFunctionParams) -> AggregateFunctionParams,
    signature: Signature,
    documentation: Documentation,
}

#[derive(Clone, Copy, Debug)]
enum Answers {
    Count,
    /// As the first argument.
    First,
    /// As the other aggregate of the first argument.
    Other,
}

impl AggregateSpelling {
    fn expanded(
        &self,
        params: AggregateFunctionParams,
    ) -> Result<(Arc<AggregateUDF>, AggregateFunctionParams)> {
        if params.args.len() != self.arguments {
            return plan_err!("{} is called as {}", self.name, self.usage);
        }
        if params.distinct && !matches!(self.answers, Answers::Other) {
            return plan_err!("{} takes no DISTINCT", self.name);
        }
        Ok(((self.becomes)(), (self.expand)(params)))
    }
}

impl PartialEq for AggregateSpelling {
    fn eq(&self, other: &AggregateSpelling) -> bool {
        self.name == other.name
    }
}

impl Eq for AggregateSpelling {}

impl Hash for AggregateSpelling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for AggregateSpelling {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() == self.arguments {
            Ok(types.to_vec())
        } else {
            plan_err!("{} is called as {}", self.name, self.usage)
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.answers {
            Answers::Count => Ok(DataType::Int64),
            Answers::First => Ok(types[0].clone()),
            Answers::Other => {
                let other = (self.becomes)();
                let field: FieldRef =
                    Arc::new(arrow::datatypes::Field::new("", types[0].clone(), true));
                let coerced = datafusion::logical_expr::type_coercion::functions::fields_with_udf(
                    &[field],
                    other.as_ref(),
                )?;
                other.return_type(
                    &coerced.iter().map(|field| field.data_type().clone()).collect::<Vec<_>>(),
                )
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} is another aggregate by the time a statement runs", self.name)
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        internal_err!("{} is another aggregate by the time a statement runs", self.name)
    }
}

fn and(filter: Option<Box<Expr>>, condition: Expr) -> Option<Box<Expr>> {
    Some(Box::new(match filter {
        Some(filter) => filter.and(condition),
        None => condition,
    }))
}

/// The last argument as a condition on the rows.
fn with_condition(mut params: AggregateFunctionParams) -> AggregateFunctionParams {
    if let Some(condition) = params.args.pop() {
        params.filter = and(params.filter, condition);
    }
    if params.args.is_empty() {
        params.args.push(lit(1_i64));
    }
    params
}

/// The first argument where the second is the least or the greatest. Rows in which either is null
/// do not count.
fn by_the_other(mut params: AggregateFunctionParams, ascending: bool) -> AggregateFunctionParams {
    if let Some(by) = params.args.pop() {
        let known = params.args[0].clone().is_not_null().and(by.clone().is_not_null());
        params.filter = and(params.filter, known);
        params.order_by = vec![by.sort(ascending, false)];
    }
    params
}

fn distinct(params: AggregateFunctionParams) -> AggregateFunctionParams {
    AggregateFunctionParams { distinct: true, ..params }
}

pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let aggregate = |name, aliases: &[&str], usage, arguments, answers, becomes, expand| {
        let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        let documentation =
            documentation("Short for another expression, as other engines have it.", usage);
        let spelling = AggregateSpelling {
            name,
            aliases,
            usage,
            arguments,
            answers,
            becomes,
            expand,
            signature,
            documentation,
        };
        Arc::new(AggregateUDF::new_from_impl(spelling))
    };
    type Becomes = fn() -> Arc<AggregateUDF>;
    let (count, first): (Becomes, Becomes) = (count_udaf, first_value_udaf);
    vec![
        aggregate(
            "count_if",
            &["countif"],
            "count_if(event = 'click')",
            1,
            Answers::Count,
            count,
            with_condition,
        ),
        aggregate(
            "sum_if",
            &["sumif"],
            "sum_if(x, condition)",
            2,
            Answers::Other,
            sum::udaf,
            with_condition,
        ),
        aggregate(
            "avg_if",
            &["avgif"],
            "avg_if(x, condition)",
            2,
            Answers::Other,
            average::avg_udaf,
            with_condition,
        ),
        aggregate(
            "min_if",
            &["minif"],
            "min_if(x, condition)",
            2,
            Answers::Other,
            min_max::min_udaf,
            with_condition,
        ),
        aggregate(
            "max_if",
            &["maxif"],
            "max_if(x, condition)",
            2,
            Answers::Other,
            min_max::max_udaf,
            with_condition,
        ),
        aggregate(
            "uniq",
            &["uniqexact", "uniqcombined"],
            "uniq(user_id)",
            1,
            Answers::Count,
            count,
            distinct,
        ),
        aggregate(
            "uniq_if",
            &["uniqif", "uniqexactif"],
            "uniq_if(user_id, condition)",
            2,
            Answers::Count,
            count,
            |params| distinct(with_condition(params)),
        ),
        aggregate(
            "arg_max",
            &["argmax", "max_by"],
            "arg_max(value, by)",
            2,
            Answers::First,
            first,
            |params| by_the_other(params, false),
        ),
        aggregate(
            "arg_min",
            &["argmin", "min_by"],
            "arg_min(value, by)",
            2,
            Answers::First,
            first,
            |params| by_the_other(params, true),
        ),
    ]
}

/// `age(a)`: since the last midnight.
fn age_since_midnight(of: Expr) -> Expr {
    let midnight = call(trunc::date_trunc(), vec![lit("day"), call(instant::now(), vec![])]);
    call(calendar::age_udf(), vec![midnight, of])
}
