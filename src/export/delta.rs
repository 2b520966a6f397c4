//! Statement results as a Delta table: one commit replaces the whole content by one file.
//!
//! The file itself is written and synced by [`super`].

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use url::Url;

use super::file::ExportedFile;
use crate::error::{Error, Result};
use crate::storage::VfsStore;
use crate::storage::vfs::Disk;

/// Commits `file` as the only content of the Delta table in `output`, creating the table if needed.
///
/// # Errors
/// [`Error::Invalid`] if a column has no Delta type, or the existing table has other columns.
pub async fn replace(
    output: &Path,
    schema: &SchemaRef,
    file: &ExportedFile,
    now_ms: i64,
) -> Result<()> {
    let columns: StructType = schema.as_ref().try_into_kernel().map_err(|fault| {
        Error::Invalid(format!(
            "the result has a column whose type Delta does not support: {fault}"
        ))
    })?;
    let table = open(output, &columns).await?;
    let state = table.snapshot()?;
    if *state.schema() != columns {
        let output = output.display();
        return Err(Error::Invalid(format!(
            "{output}: the Delta table there has other columns; export to a new directory"
        )));
    }
    // The file may be committed already, if only its entry in the receipt was lost; adding it again
    // updates its size.
    let others = state
        .log_data()
        .iter()
        .filter(|view| view.path() != file.path.as_str())
        .collect::<Vec<_>>();
    let before = others.iter().map(|view| Action::Remove(view.remove_action(true)));
    let add = Add {
        path: file.path.clone(),
        size: file.bytes as i64,
        modification_time: now_ms,
        data_change: true,
        stats: Some(serde_json::json!({ "numRecords": file.rows }).to_string()),
        ..Add::default()
    };
    let operation =
        DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
    CommitBuilder::default()
        .with_actions(before.chain([Action::Add(add)]).collect())
        .build(Some(state), table.log_store(), operation)
        .await?;
    Ok(())
}

async fn open(output: &Path, columns: &StructType) -> Result<DeltaTable> {
    // The URL is only a placeholder, as for the store's own table: all IO goes through this object
    // store.
    let url = Url::parse("memory:///").expect("a valid URL");
    let output = std::path::absolute(output).map_err(Error::io(output, "find"))?;
    let store = Arc::new(VfsStore::new(Arc::new(Disk), output));
    let mut table =
        DeltaTableBuilder::from_url(url.clone())?.with_storage_backend(store, url).build()?;
    if table.verify_deltatable_existence().await? {
        table.load().await?;
        return Ok(table);
    }
    let columns = columns.fields().cloned();
    Ok(CreateBuilder::new().with_log_store(table.log_store()).with_columns(columns).await?)
}
