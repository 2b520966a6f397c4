//! `generate_series` and `range` over times and dates: rows of microseconds, up to the year 9999.
//! Over integers, DataFusion's functions are used.

use std::sync::{Arc, LazyLock};

use arrow::array::timezone::Tz;
use arrow::array::{Array as _, ArrayRef, AsArray, ListBuilder, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    Schema, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Months};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{
    Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err,
};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions_table::generate_series::{GenSeriesArgs, GenerateSeriesTable};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl,
};
use datafusion::prelude::{col, lit};

use super::function::{Function, by_rows, identity};
use super::interval_text::{self, is_of_postgres};
use super::time_bucket::{DAY_US, instant_in, offset_at};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

static STEP: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Function::new("series_step", step_types, steps).udf());

#[derive(Debug)]
pub struct Series {
    pub name: &'static str,
    pub includes_end: bool,
    /// The function used for integers.
    pub integers: Arc<dyn TableFunctionImpl>,
}

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let of = match args.exprs().first() {
            Some(Expr::Literal(value, _)) => value.data_type(),
            Some(Expr::Cast(cast)) => cast.field.data_type().clone(),
            _ => DataType::Null,
        };
        match (&of, args.exprs()) {
            (DataType::Timestamp(..) | DataType::Date32 | DataType::Date64, [start, end, step]) => {
                let zone = match of {
                    DataType::Timestamp(_, zone) => zone,
                    _ => None,
                };
                self.times(start, end, step, zone)
            }
            (DataType::Timestamp(..) | DataType::Date32 | DataType::Date64, _) => {
                plan_err!("{} of times takes two times and an interval", self.name)
            }
            _ => {
                let exprs: Vec<Expr> = args.exprs().iter().map(integer).collect::<Result<_>>()?;
                self.integers.call_with_args(TableFunctionArgs::new(&exprs, args.session()))
            }
        }
    }
}

/// Returns a constant as the integer of 64 bits, or the null without a type, that DataFusion takes.
fn integer(expr: &Expr) -> Result<Expr> {
    Ok(match expr {
        Expr::Literal(value, _) if value.is_null() => lit(ScalarValue::Null),
        Expr::Literal(value, _) if value.data_type().is_integer() => {
            lit(value.cast_to(&DataType::Int64)?)
        }
        Expr::Literal(value, _) => match value.try_as_str().flatten().map(str::trim) {
            Some(text) => match text.parse::<i64>() {
                Ok(number) => lit(number),
                Err(_) => {
                    return plan_err!(
                        "'{text}' is no integer: a series goes from one integer or time to another"
                    );
                }
            },
            None => expr.clone(),
        },
        _ => expr.clone(),
    })
}

impl Series {
    fn times(
        &self,
        start: &Expr,
        end: &Expr,
        step: &Expr,
        zone: Option<Arc<str>>,
    ) -> Result<Arc<dyn TableProvider>> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
        let first = constant(start, &time, self.name)?;
        let last = constant(end, &time, self.name)?;
        let step = constant(step, &INTERVAL, self.name)?;
        let count = match (&first, &last, &step) {
            (
                ScalarValue::TimestampMicrosecond(Some(first), _),
                ScalarValue::TimestampMicrosecond(Some(last), _),
                ScalarValue::IntervalMonthDayNano(Some(step)),
            ) => {
                let includes = (self.name, self.includes_end);
                count(includes, *first, *last, *step, zone_of(zone.as_deref())?)?
            }
            // A series with a null argument has no rows.
            _ => 0,
        };
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)]));
        let integers = GenSeriesArgs::Int64Args {
            start: 0,
            end: count,
            step: 1,
            include_end: false,
            name: self.name,
        };
        let integers = Arc::new(GenerateSeriesTable::new(schema, integers));
        let value = STEP.call(vec![lit(first), lit(step), col("value")]).alias("value");
        let plan = LogicalPlanBuilder::scan(self.name, provider_as_source(integers), None)?
            .project([value])?
            .build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

/// Returns the number of values from `first` to `last`, which is one of them if the series includes
/// its end; `name` is for errors.
fn count(
    (name, includes_end): (&str, bool),
    first: i64,
    last: i64,
    step: IntervalMonthDayNano,
    zone: Option<Tz>,
) -> Result<i64> {
    let parts = [i64::from(step.months), i64::from(step.days), step.nanoseconds];
    let is_forward = parts.iter().any(|part| *part > 0);
    let is_backward = parts.iter().any(|part| *part < 0);
    if is_forward == is_backward {
        return plan_err!(
            "the step of {name} must not be zero, or have both positive and negative parts"
        );
    }
    let is_within = |index: i64| match step_at(first, step, index, zone) {
        None => false,
        Some(us) if us == last => includes_end,
        Some(us) => (us < last) == is_forward,
    };
    let (mut within, mut beyond) = (-1_i64, 1_i64 << 62);
    while within + 1 < beyond {
        let middle = within + (beyond - within) / 2;
        if is_within(middle) { within = middle } else { beyond = middle }
    }
    Ok(beyond)
}

/// `range` as a scalar function, whose value is an array: of times in microseconds, where
/// DataFusion's is null for a time that nanoseconds do not reach; of dates up to the end, where
/// DataFusion's ends a step early.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Array {
    /// The function used for integers.
    inner: Arc<ScalarUDF>,
}

/// Returns the scalar function to be used in the place of `inner`.
pub fn array(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Array { inner }))
}

fn microseconds(zone: Option<Arc<str>>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone)
}

impl ScalarUDFImpl for Array {
    identity!(inner);

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Timestamp(_, zone), rest @ ..] if !rest.iter().any(DataType::is_null) => {
                let item = Field::new_list_field(microseconds(zone.clone()), true);
                Ok(DataType::List(Arc::new(item)))
            }
            _ => self.inner.return_type(types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (zone, is_dates) = match args.return_field.data_type() {
            DataType::List(item) => match item.data_type() {
                DataType::Timestamp(_, zone) => (zone.clone(), false),
                DataType::Date32 => (None, true),
                _ => return self.inner.invoke_with_args(args),
            },
            _ => return self.inner.invoke_with_args(args),
        };
        let [first, last, step] = &args.args[..] else {
            return self.inner.invoke_with_args(args);
        };
        by_rows(&args, |_, rows| {
            let time = microseconds(zone.clone());
            let column = |arg: &ColumnarValue, of: &DataType| cast(&arg.to_array(rows)?, of);
            let (first, last) = (column(first, &time)?, column(last, &time)?);
            let step = column(step, &INTERVAL)?;
            let first = first.as_primitive::<TimestampMicrosecondType>();
            let last = last.as_primitive::<TimestampMicrosecondType>();
            let step = step.as_primitive::<IntervalMonthDayNanoType>();
            let values = TimestampMicrosecondArray::builder(0).with_data_type(time);
            let zone = zone_of(zone.as_deref())?;
            let mut lists = ListBuilder::new(values);
            for row in 0..rows {
                if first.is_null(row) || last.is_null(row) || step.is_null(row) {
                    lists.append(false);
                    continue;
                }
                let (first, step) = (first.value(row), step.value(row));
                if is_dates && step.nanoseconds % (1_000 * DAY_US) != 0 {
                    return exec_err!(
                        "the step of {} over dates must be days or months",
                        self.name()
                    );
                }
                let series = (self.name(), false);
                for index in 0..count(series, first, last.value(row), step, zone)? {
                    lists.values().append_option(step_at(first, step, index, zone));
                }
                lists.append(true);
            }
            Ok(cast(&lists.finish(), args.return_field.data_type())?)
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

fn constant(expr: &Expr, of: &DataType, name: &str) -> Result<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => match (value.try_as_str().flatten(), of) {
            (Some(text), DataType::Timestamp(_, zone)) => {
                let us = super::text::parse_time(text, zone.as_deref());
                Ok(ScalarValue::TimestampMicrosecond(
                    Some(us.map_err(|e| exec_datafusion_err!("{e}"))?),
                    zone.clone(),
                ))
            }
            (Some(text), DataType::Interval(_)) if is_of_postgres(text) => {
                let of = interval_text::parse(text).map_err(|e| exec_datafusion_err!("{e}"))?;
                let ns = of.us.checked_mul(1_000);
                let ns = ns.ok_or_else(|| exec_datafusion_err!("'{text}' has too many hours"))?;
                Ok(ScalarValue::new_interval_mdn(of.months, of.days, ns))
            }
            _ => value.cast_to(of),
        },
        Expr::Cast(cast) => constant(&cast.expr, of, name),
        _ => plan_err!("{name} takes constants"),
    }
}

fn zone_of(name: Option<&str>) -> Result<Option<Tz>> {
    name.map(|name| name.parse().map_err(|_| exec_datafusion_err!("'{name}' is no time zone")))
        .transpose()
}

/// Returns `first` plus `index` times `step`: months first, then days, both on the local clock of
/// `zone`, then the time.
fn step_at(first: i64, step: IntervalMonthDayNano, index: i64, zone: Option<Tz>) -> Option<i64> {
    let offset = zone.map_or(Some(0), |zone| offset_at(zone, first))?;
    let local = DateTime::from_timestamp_micros(first.checked_add(offset)?)?;
    let months = i64::from(step.months).checked_mul(index)?;
    let shift = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let local =
        if months < 0 { local.checked_sub_months(shift) } else { local.checked_add_months(shift) }?;
    let days = i64::from(step.days).checked_mul(index)?.checked_mul(DAY_US)?;
    let local = local.timestamp_micros().checked_add(days)?;
    let instant = zone.map_or(Some(local), |zone| instant_in(zone, local, offset))?;
    let rest = i64::try_from(i128::from(step.nanoseconds) * i128::from(index) / 1_000).ok()?;
    instant.checked_add(rest).filter(|us| DateTime::from_timestamp_micros(*us).is_some())
}

fn step_types(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [time @ DataType::Timestamp(..), _, _] => Ok((types.to_vec(), time.clone())),
        _ => internal_err!("series_step takes a time, an interval and a number"),
    }
}

fn steps(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let first = columns[0].as_primitive::<TimestampMicrosecondType>();
    let step = columns[1].as_primitive::<IntervalMonthDayNanoType>();
    let index = columns[2].as_primitive::<Int64Type>();
    let zone = zone_of(first.timezone())?;
    let value = |row: usize| {
        if first.is_null(row) || step.is_null(row) || index.is_null(row) {
            Ok(None)
        } else {
            step_at(first.value(row), step.value(row), index.value(row), zone).map(Some).ok_or_else(
                || exec_datafusion_err!("a series goes outside the range of the calendar"),
            )
        }
    };
    let values: TimestampMicrosecondArray = (0..rows).map(value).collect::<Result<_>>()?;
    Ok(Arc::new(values.with_timezone_opt(first.timezone())))
}
