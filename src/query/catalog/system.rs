//! The tables of the schema `system`, about the engine itself.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{
    SchemaProvider, Session as PlanningSession, TableFunctionArgs, TableFunctionImpl, TableProvider,
};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::commits;
use super::sources::{Setting, Sources};
use crate::event::{EventSchema, timestamp_type};
use crate::hour::Hour;
use crate::query::schema::{EVENTS, SHOW_CHUNKS};
use crate::query::stats::history::History;
use crate::query::stats::metrics::State;
use crate::rollup::Rollup;
use crate::storage::Snapshot;

/// Returns a table of the schema; `None` if it has none of this name.
pub fn system_table(name: &str, sources: &Sources) -> Option<Arc<dyn TableProvider>> {
    let (_, kind) = SystemTable::ALL.iter().find(|(known, _)| *known == name)?;
    Some(Arc::new(SystemProvider { kind: *kind, sources: sources.clone() }))
}

/// The schema `system`.
#[derive(Debug)]
pub struct SystemSchema(pub Sources);

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        SystemTable::ALL.iter().map(|(name, _)| (*name).to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(system_table(name, &self.0))
    }

    fn table_exist(&self, name: &str) -> bool {
        SystemTable::ALL.iter().any(|(known, _)| *known == name)
    }
}

#[derive(Clone, Copy, Debug)]
pub enum SystemTable {
    Partitions,
    Files,
    Commits,
    Wal,
    Settings,
    Queries,
    Chunks,
}

/// A column's name, type and nullability.
type ColumnOf<'s> = (&'s str, DataType, bool);

impl SystemTable {
    pub const ALL: [(&'static str, SystemTable); 6] = [
        ("partitions", SystemTable::Partitions),
        ("files", SystemTable::Files),
        ("commits", SystemTable::Commits),
        ("wal", SystemTable::Wal),
        ("settings", SystemTable::Settings),
        ("queries", SystemTable::Queries),
    ];

    /// Returns the columns, of which some depend on the declared kinds.
    pub fn schema(self, events: &EventSchema) -> SchemaRef {
        let (time, text, number) = (timestamp_type, || DataType::Utf8, || DataType::UInt64);
        let counted = |mut columns: Vec<ColumnOf<'static>>| -> Vec<ColumnOf<'_>> {
            columns.push(("unique_users", number(), false));
            let kinds = events.kinds().map(|kind| (events.counter(kind), number(), false));
            columns.into_iter().chain(kinds).collect()
        };
        let columns: Vec<ColumnOf<'_>> = match self {
            SystemTable::Partitions => counted(vec![
                ("hour", time(), false),
                ("state", text(), false),
                ("files", number(), false),
                ("rows", number(), false),
                ("bytes", number(), false),
                ("min_timestamp", time(), false),
                ("max_timestamp", time(), false),
                ("removed_after", time(), true),
            ]),
            SystemTable::Files => counted(vec![
                ("path", text(), false),
                ("hour", time(), false),
                ("rows", number(), false),
                ("bytes", number(), false),
                ("min_timestamp", time(), false),
                ("max_timestamp", time(), false),
            ]),
            SystemTable::Commits => commits::columns(),
            SystemTable::Wal => vec![
                ("segment", text(), false),
                ("state", text(), false),
                ("first_lsn", number(), true),
                ("bytes", number(), false),
                ("modified", time(), false),
            ],
            SystemTable::Settings => {
                vec![
                    ("name", text(), false),
                    ("value", text(), false),
                    ("source", text(), false),
                    ("help", text(), false),
                ]
            }
            SystemTable::Queries => vec![
                ("id", number(), false),
                ("query", text(), false),
                ("started", time(), false),
                ("state", text(), false),
                ("error", text(), true),
                ("rows", number(), false),
                ("planning_ms", DataType::Float64, false),
                ("running_ms", DataType::Float64, false),
                ("partitions", number(), false),
                ("partitions_read", number(), false),
                ("files_read", number(), false),
                ("bytes_read", number(), false),
                ("rollup", DataType::Boolean, false),
            ],
            SystemTable::Chunks => vec![(SHOW_CHUNKS, text(), false)],
        };
        let field = |(name, of, nullable): ColumnOf<'_>| Field::new(name, of, nullable);
        Arc::new(Schema::new(columns.into_iter().map(field).collect::<Vec<_>>()))
    }

    async fn columns(self, sources: &Sources) -> crate::error::Result<Vec<ArrayRef>> {
        match self {
            SystemTable::Partitions => partitions(&sources.snapshot).await,
            SystemTable::Files => Ok(files(&sources.snapshot)),
            SystemTable::Commits => commits::rows(&sources.snapshot).await,
            SystemTable::Wal => wal(&sources.snapshot),
            SystemTable::Settings => {
                let column = |of: fn(&Setting) -> &String| text(sources.settings.iter().map(of));
                Ok(vec![
                    column(|s| &s.name),
                    column(|s| &s.value),
                    column(|s| &s.source),
                    column(|s| &s.help),
                ])
            }
            SystemTable::Queries => Ok(queries(&sources.history)),
            SystemTable::Chunks => {
                let path = |hour: &Hour| format!("{EVENTS}/{}", hour.partition_path());
                Ok(vec![text(sources.snapshot.hours().iter().map(path))])
            }
        }
    }
}

fn text<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    // Arrow takes iterators of known length.
    Arc::new(StringArray::from_iter_values(values.collect::<Vec<_>>()))
}

fn number(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from(values.collect::<Vec<_>>()))
}

/// Returns the `unique_users` column and one column for each kind of event.
fn counts<'r>(
    schema: &EventSchema,
    rollups: impl Iterator<Item = &'r Rollup> + Clone,
) -> impl Iterator<Item = ArrayRef> {
    let users = number(rollups.clone().map(|rollup| rollup.users.n));
    let of = move |kind| number(rollups.clone().map(|rollup| rollup.count(kind)));
    [users].into_iter().chain(schema.kinds().map(of))
}

fn time(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.collect::<Vec<_>>()).with_timezone("UTC"))
}

fn optional_time(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.collect::<Vec<_>>()).with_timezone("UTC"))
}

/// One row of `system.partitions`.
struct Partition {
    hour: Hour,
    state: &'static str,
    files: u64,
    bytes: u64,
    rollup: Rollup,
}

async fn partitions(snapshot: &Arc<Snapshot>) -> crate::error::Result<Vec<ArrayRef>> {
    let mut rows = Vec::new();
    for hour in snapshot.hours() {
        let sources = snapshot.sources(hour);
        let files = sources.files.iter().flat_map(|files| &files.files);
        let state = match (sources.files.is_some(), sources.tables.is_empty()) {
            (true, true) => "files",
            (true, false) => "files and memory",
            (false, _) => "memory",
        };
        rows.push(Partition {
            hour,
            state,
            files: files.clone().count() as u64,
            bytes: files.map(|file| file.bytes).sum(),
            rollup: snapshot.exact(hour).await?,
        });
    }
    let rows = &rows;
    let columns = vec![
        time(rows.iter().map(|row| row.hour.start_us())),
        text(rows.iter().map(|row| row.state)),
        number(rows.iter().map(|row| row.files)),
        number(rows.iter().map(|row| row.rollup.rows())),
        number(rows.iter().map(|row| row.bytes)),
        time(rows.iter().map(|row| row.rollup.first_us)),
        time(rows.iter().map(|row| row.rollup.last_us)),
        optional_time(rows.iter().map(|row| snapshot.removed_after_us(row.hour))),
    ];
    Ok(columns
        .into_iter()
        .chain(counts(&snapshot.schema, rows.iter().map(|row| &row.rollup)))
        .collect())
}

fn files(snapshot: &Snapshot) -> Vec<ArrayRef> {
    let files = || {
        snapshot
            .files
            .iter()
            .flat_map(|(hour, files)| files.files.iter().map(move |file| (*hour, file)))
    };
    let columns = vec![
        text(files().map(|(_, file)| file.location.as_ref().to_string())),
        time(files().map(|(hour, _)| hour.start_us())),
        number(files().map(|(_, file)| file.rollup.rows())),
        number(files().map(|(_, file)| file.bytes)),
        time(files().map(|(_, file)| file.rollup.first_us)),
        time(files().map(|(_, file)| file.rollup.last_us)),
    ];
    columns
        .into_iter()
        .chain(counts(&snapshot.schema, files().map(|(_, file)| &file.rollup)))
        .collect()
}

fn wal(snapshot: &Snapshot) -> crate::error::Result<Vec<ArrayRef>> {
    let segments = snapshot.log.segments()?;
    Ok(vec![
        text(segments.iter().map(|segment| &segment.name)),
        text(
            segments
                .iter()
                .map(|segment| if segment.first_lsn.is_some() { "log" } else { "spare" }),
        ),
        Arc::new(UInt64Array::from_iter(segments.iter().map(|segment| segment.first_lsn))),
        number(segments.iter().map(|segment| segment.bytes)),
        time(segments.iter().map(|segment| segment.modified_us)),
    ])
}

fn queries(history: &History) -> Vec<ArrayRef> {
    let entries: Vec<_> =
        history.entries().into_iter().map(|entry| (entry.recorder.stats(), entry)).collect();
    vec![
        number(entries.iter().map(|(_, entry)| entry.id)),
        text(entries.iter().map(|(_, entry)| &entry.text)),
        time(entries.iter().map(|(_, entry)| entry.started.timestamp_micros())),
        text(entries.iter().map(|(_, entry)| State::as_str(entry.state))),
        Arc::new(StringArray::from_iter(entries.iter().map(|(_, entry)| entry.error.as_ref()))),
        number(entries.iter().map(|(stats, _)| stats.rows)),
        Arc::new(Float64Array::from_iter_values(
            entries.iter().map(|(stats, _)| stats.planning_ms),
        )),
        Arc::new(Float64Array::from_iter_values(entries.iter().map(|(stats, _)| stats.running_ms))),
        number(entries.iter().map(|(stats, _)| stats.partitions)),
        number(entries.iter().map(|(stats, _)| stats.partitions_read)),
        number(entries.iter().map(|(stats, _)| stats.files_read)),
        number(entries.iter().map(|(stats, _)| stats.bytes_read)),
        Arc::new(BooleanArray::from_iter(entries.iter().map(|(stats, _)| Some(stats.rollup)))),
    ]
}

/// A table of the schema `system`, whose rows are made when it is scanned.
#[derive(Debug)]
struct SystemProvider {
    kind: SystemTable,
    sources: Sources,
}

#[async_trait]
impl TableProvider for SystemProvider {
    fn schema(&self) -> SchemaRef {
        self.kind.schema(&self.sources.snapshot.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.kind.columns(&self.sources).await;
        let columns = columns.map_err(|error| DataFusionError::External(error.into()))?;
        let batch = RecordBatch::try_new(self.schema(), columns)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?)
    }
}

/// The table function `show_chunks('events')`: one row for each partition, as in TimescaleDB.
#[derive(Debug)]
pub struct ShowChunks(pub Sources);

impl TableFunctionImpl for ShowChunks {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let table = match args.exprs() {
            [Expr::Literal(name, _)] => name.try_as_str().flatten(),
            _ => None,
        };
        match table {
            Some(EVENTS) => {
                Ok(Arc::new(SystemProvider { kind: SystemTable::Chunks, sources: self.0.clone() }))
            }
            _ => plan_err!(
                "show_chunks takes the name of the one table with partitions: show_chunks('{EVENTS}')"
            ),
        }
    }
}
