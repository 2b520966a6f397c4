//! Plain DataFusion over the same rows, with its own optimizer rules only: the reference for our
//! answers and times.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::catalog::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::{Error, Result};
use crate::event::EventSchema;
use crate::storage::{Counted, Reads, Snapshot};

const STORE: &str = "store://files";

fn session(threads: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(threads);
    config.options_mut().execution.time_zone = Some("UTC".into());
    // As in the engine: predicates are evaluated while a file is decoded.
    config.options_mut().execution.parquet.pushdown_filters = true;
    SessionContext::new_with_config(config)
}

/// Returns a session with the table `events` as a `ListingTable`: files are found by listing
/// folders, and `date` and `hour` are taken from the paths. The hour is a text, `09`: if it were a
/// number, the table would look for the folder `hour=9`.
pub async fn listing(
    snapshot: &Snapshot,
    reads: &Arc<Reads>,
    threads: usize,
) -> Result<SessionContext> {
    let context = session(threads);
    let store = url::Url::parse(STORE).expect("a valid URL");
    context.register_object_store(
        &store,
        Arc::new(Counted::new(snapshot.store.clone(), reads.clone())),
    );
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(vec![
            ("date".into(), DataType::Date32),
            ("hour".into(), DataType::Utf8),
        ]);
    let url = ListingTableUrl::parse(format!("{STORE}/events/"))?;
    let config = ListingTableConfig::new(url)
        .with_listing_options(options)
        .with_schema(EventSchema::default().file().clone());
    context.register_table("events", Arc::new(ListingTable::try_new(config)?))?;
    Ok(context)
}

/// Returns a session with the table `events` in memory.
pub fn memory(batches: Vec<RecordBatch>, threads: usize) -> Result<SessionContext> {
    let context = session(threads);
    let each = batches.len().div_ceil(threads.max(1)).max(1);
    let partitions = batches.chunks(each).map(<[RecordBatch]>::to_vec).collect();
    context.register_table(
        "events",
        Arc::new(MemTable::try_new(EventSchema::default().file().clone(), partitions)?),
    )?;
    Ok(context)
}

/// Returns the only row of a result of integers.
pub fn numbers<const N: usize>(batches: &[RecordBatch]) -> Result<[i64; N]> {
    let row = batches.iter().find(|batch| batch.num_rows() == 1);
    let row =
        row.ok_or_else(|| Error::Invalid("the question was not answered by one row".into()))?;
    Ok(std::array::from_fn(|column| row.column(column).as_primitive::<Int64Type>().value(0)))
}

/// Returns the rows of a query.
pub async fn ask(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    Ok(context.sql(sql).await.map_err(Error::from)?.collect().await?)
}
