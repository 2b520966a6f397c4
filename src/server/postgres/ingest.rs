//! Rows of INSERT and COPY FROM as events.

use std::borrow::Cow;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::scalar::ScalarValue;

use super::error::{Fault, PgError};
use super::rows::Rows;
use super::session::Session;
use super::value::types::{TEXT, TIMESTAMPTZ};
use crate::event::{
    Event, EventBatch, EventSchema, Rejection, TimestampBounds, Values, check_timestamp_us,
    check_user, check_value, timestamp_type,
};
use crate::query::command::{Cell, Insert, Source};
use crate::query::{EVENTS, Params, parse_time};

/// What a column of rows is in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Timestamp,
    User,
    Kind,
    Dimension(usize),
    /// Part of the timestamp: only DEFAULT, or a null, can be given.
    Derived,
}

/// A value of a row.
#[derive(Clone, Debug)]
pub enum Field<'a> {
    Null,
    Text(Cow<'a, str>),
    /// Microseconds since the epoch.
    Time(i64),
}

/// Makes events of rows.
#[derive(Debug)]
pub struct Rowwise {
    pub targets: Vec<Target>,
    schema: EventSchema,
    bounds: TimestampBounds,
}

impl Rowwise {
    /// `columns` are the names of the rows' columns; none is all, in the order of the table.
    pub fn new(
        schema: &EventSchema,
        columns: &[String],
        bounds: TimestampBounds,
    ) -> Result<Rowwise, PgError> {
        let own = || {
            let dimensions = (0..schema.dimensions().len()).map(Target::Dimension);
            [Target::Timestamp, Target::User, Target::Kind].into_iter().chain(dimensions).collect()
        };
        let targets: Vec<Target> = match columns {
            [] => own(),
            columns => columns.iter().map(|name| target(schema, name)).collect::<Result<_, _>>()?,
        };
        for (i, target) in targets.iter().enumerate() {
            if *target != Target::Derived && targets[..i].contains(target) {
                let reason = format!("column {:?} specified more than once", columns[i]);
                return Err(PgError::new("42701", reason));
            }
        }
        if !columns.is_empty() {
            let needed = [
                (Target::Timestamp, "timestamp"),
                (Target::User, "user_id"),
                (Target::Kind, "event"),
            ];
            if let Some((_, name)) = needed.iter().find(|(target, _)| !targets.contains(target)) {
                return Err(null(name));
            }
        }
        Ok(Rowwise { targets, schema: schema.clone(), bounds })
    }

    /// Adds the event of a row; `field` returns the value of each of the targets.
    pub fn push<'a>(
        &self,
        batch: &mut EventBatch,
        mut field: impl FnMut(usize) -> Result<Field<'a>, PgError>,
    ) -> Result<(), PgError> {
        let (mut timestamp_us, mut user, mut kind) = (None, None, None);
        let mut values: Vec<(usize, Cow<'a, str>)> = Vec::new();
        for (i, target) in self.targets.iter().enumerate() {
            match (target, field(i)?) {
                (_, Field::Null) => {}
                (Target::Derived, _) => {
                    let reason =
                        "cannot insert a value into a column that is derived from timestamp";
                    return Err(PgError::new("428C9", reason));
                }
                (Target::Timestamp, Field::Time(us)) => timestamp_us = Some(us),
                (Target::Timestamp, Field::Text(text)) => {
                    let parsed = parse_time(&text, Some("UTC"));
                    timestamp_us = Some(parsed.map_err(|reason| PgError::new("22007", reason))?);
                }
                (Target::User, Field::Text(text)) => user = Some(text),
                (Target::Kind, Field::Text(text)) => kind = Some(text),
                (Target::Dimension(dimension), Field::Text(text)) => {
                    values.push((*dimension, text))
                }
                (_, Field::Time(_)) => {
                    return Err(PgError::new(
                        "42804",
                        "a time is given where the column is a text",
                    ));
                }
            }
        }
        let timestamp_us = timestamp_us.ok_or_else(|| null("timestamp"))?;
        let (user, kind) =
            (user.ok_or_else(|| null("user_id"))?, kind.ok_or_else(|| null("event"))?);
        let timestamp_us = self.bounds.check(check_timestamp_us(timestamp_us)?)?;
        let kind = self.schema.check_event(&kind)?;
        batch.push_event(Event {
            timestamp_us,
            user: check_user(&user)?,
            kind,
            values: Values::NONE,
        });
        for (dimension, value) in &values {
            let name = &self.schema.dimensions()[*dimension];
            let checked =
                check_value(value).map_err(|reason| Rejection::new(name.clone(), reason))?;
            batch.set_value(*dimension, checked);
        }
        Ok(())
    }
}

fn target(schema: &EventSchema, name: &str) -> Result<Target, PgError> {
    match name {
        "timestamp" => Ok(Target::Timestamp),
        "user_id" | "user" => Ok(Target::User),
        "event" => Ok(Target::Kind),
        "date" | "hour" => Ok(Target::Derived),
        name => {
            let dimension = schema.dimensions().iter().position(|dimension| **dimension == *name);
            dimension.map(Target::Dimension).ok_or_else(|| {
                let reason = format!("column {name:?} of relation {EVENTS:?} does not exist");
                PgError::new("42703", reason)
            })
        }
    }
}

fn null(column: &str) -> PgError {
    let reason = format!(
        "null value in column {column:?} of relation {EVENTS:?} violates not-null constraint"
    );
    PgError::new("23502", reason)
}

impl Session<'_> {
    pub fn rowwise(&self, columns: &[String]) -> Result<Rowwise, PgError> {
        Rowwise::new(&self.service.schema, columns, self.service.times.bounds())
    }

    /// Returns the types of an INSERT's parameters, which are those of their columns.
    pub fn parameters_of(&self, insert: &Insert) -> Result<Vec<u32>, PgError> {
        let rowwise = self.rowwise(&insert.columns)?;
        let mut types = Vec::new();
        if let Source::Rows(rows) = &insert.source {
            for (i, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
                let Cell::Parameter(number) = cell else { continue };
                if *number >= usize::from(u16::MAX) {
                    return Err(PgError::new(
                        "42P02",
                        format!("there is no parameter ${}", number + 1),
                    ));
                }
                if types.len() <= *number {
                    types.resize(*number + 1, TEXT);
                }
                if rowwise.targets.get(i) == Some(&Target::Timestamp) {
                    types[*number] = TIMESTAMPTZ;
                }
            }
        }
        Ok(types)
    }

    /// Adds the rows of an INSERT to the transaction, and returns their number.
    pub async fn insert(&mut self, insert: &Insert, params: &Params) -> Result<u64, Fault> {
        self.allow_writing()?;
        let rowwise = self.rowwise(&insert.columns)?;
        let mut batch = EventBatch::new();
        let now_us = self.service.engine.clock().now_us();
        match &insert.source {
            Source::Rows(rows) => {
                for row in rows {
                    check_width(row.len(), &rowwise, &insert.columns)?;
                    rowwise.push(&mut batch, |i| match row.get(i) {
                        None => Ok(Field::Null),
                        Some(cell) => field(cell, params, rowwise.targets[i], now_us),
                    })?;
                }
            }
            Source::Query(query) => {
                let mut rows = self.open(query, params.clone()).await?;
                check_width(rows.schema().fields().len(), &rowwise, &insert.columns)?;
                self.take_rows(&mut rows, &rowwise, &mut batch).await?;
            }
        }
        self.observe(&batch);
        let count = batch.len() as u64;
        let limit = self.service.options.max_body_bytes;
        self.transaction.add(batch, limit, &self.budgets.pending)?;
        Ok(count)
    }

    /// Notes timestamps that are likely seconds.
    pub fn observe(&self, batch: &EventBatch) {
        self.service.times.observe(batch.timestamps_us());
    }

    async fn take_rows(
        &mut self,
        rows: &mut Rows,
        rowwise: &Rowwise,
        batch: &mut EventBatch,
    ) -> Result<(), Fault> {
        let limit = self.service.options.max_body_bytes;
        let cancelled = self.login.registered.cancelled.clone();
        let take =
            |part: &RecordBatch, range: std::ops::Range<usize>, _: &mut super::wire::Wire| {
                let part = part.slice(range.start, range.len());
                push_batch(rowwise, batch, &part)?;
                if batch.byte_len() > limit {
                    let reason =
                        format!("the rows of an INSERT may have {limit} bytes (max_body_bytes)");
                    return Err(PgError::new("54000", reason));
                }
                Ok(())
            };
        rows.each(self.wire, &cancelled, u64::MAX, take).await?;
        Ok(())
    }
}

/// Adds the rows of a batch of Arrow.
fn push_batch(
    rowwise: &Rowwise,
    batch: &mut EventBatch,
    rows: &RecordBatch,
) -> Result<(), PgError> {
    let mut columns = Vec::new();
    for (column, target) in rows.columns().iter().zip(&rowwise.targets) {
        let to = match target {
            Target::Timestamp
                if matches!(column.data_type(), DataType::Timestamp(..) | DataType::Date32) =>
            {
                timestamp_type()
            }
            _ => DataType::Utf8,
        };
        let cast = cast(column, &to).map_err(|error| PgError::new("42804", error.to_string()))?;
        columns.push(cast);
    }
    for row in 0..rows.num_rows() {
        rowwise.push(batch, |i| {
            let Some(column) = columns.get(i).filter(|column| column.is_valid(row)) else {
                return Ok(Field::Null);
            };
            Ok(match column.data_type() {
                DataType::Utf8 => Field::Text(column.as_string::<i32>().value(row).into()),
                _ => Field::Time(column.as_primitive::<TimestampMicrosecondType>().value(row)),
            })
        })?;
    }
    Ok(())
}

fn check_width(width: usize, rowwise: &Rowwise, columns: &[String]) -> Result<(), PgError> {
    let targets = rowwise.targets.len();
    let reason = if width > targets {
        "INSERT has more expressions than target columns"
    } else if width < targets && !columns.is_empty() {
        "INSERT has more target columns than expressions"
    } else {
        return Ok(());
    };
    Err(PgError::new("42601", reason))
}

fn field<'a>(
    cell: &'a Cell,
    params: &'a Params,
    target: Target,
    now_us: i64,
) -> Result<Field<'a>, PgError> {
    match cell {
        Cell::Null => Ok(Field::Null),
        Cell::Now => Ok(Field::Time(now_us)),
        Cell::Text(text) => Ok(Field::Text(text.as_str().into())),
        Cell::Number(_) if target == Target::Timestamp => Err(PgError::new(
            "42804",
            "column \"timestamp\" is of type timestamp with time zone but expression is a number",
        )
        .with_hint("Write a time, such as '2025-01-06 02:00:00Z', or to_timestamp(seconds).")),
        Cell::Number(number) => Ok(Field::Text(number.as_str().into())),
        Cell::Parameter(number) => {
            let value = match params {
                Params::Positional(values) => values.get(*number),
                _ => None,
            };
            let missing =
                || PgError::new("42P02", format!("there is no parameter ${}", number + 1));
            parameter_field(value.ok_or_else(missing)?)
        }
    }
}

fn parameter_field(value: &ScalarValue) -> Result<Field<'_>, PgError> {
    if value.is_null() {
        return Ok(Field::Null);
    }
    Ok(match value {
        ScalarValue::TimestampMicrosecond(Some(us), _) => Field::Time(*us),
        ScalarValue::Date32(Some(days)) => Field::Time(i64::from(*days) * 86_400_000_000),
        value => match value.try_as_str().flatten() {
            Some(text) => Field::Text(text.into()),
            None => Field::Text(value.to_string().into()),
        },
    })
}
