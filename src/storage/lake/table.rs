//! Delta Lake table of the flushed hours in `events/`, partitioned by `date` and `hour`.
//!
//! The Delta log is the source of truth for which data files are valid; [`FileIndex`] is the same
//! information in memory, by hour, so that a query lists nothing. Each flush is one commit that
//! carries the application transaction `txn(node, last LSN flushed)`. Recovery replays only the log
//! above that LSN, which makes a flush happen exactly once.
//!
//! A data file is named after the first LSN of its generation. A flush that ended before its commit
//! leaves files that nothing refers to, and the next one, which begins at the same LSN, overwrites
//! them.

use std::sync::Arc;

use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{
    Action, Add, DataType, EagerSnapshot, PrimitiveType, Snapshot as LogSnapshot, StructField,
    Transaction,
};
use deltalake_core::logstore::LogStore;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures::TryStreamExt;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::actions::{
    DataFile, EMPTY, KEYS_TAG, add_action, checksum_of, damaged, key_file_of, placed, read_actions,
    source, tag,
};
use super::data_file;
use super::tag::ROLLUP_TAG;
use crate::event::{self, EventSchema};
use crate::hour::Hour;
use crate::rollup::{Rollup, Users};
use crate::storage::directory::{DirectoryMeta, LOG_DIR, TABLE_DIR};
use crate::storage::error::{Error, Result};
use crate::storage::file_names::FileNames;
use crate::storage::idempotency::files::KeyFileRecord;
use crate::storage::recurring::Recurring;
use crate::storage::store::{self, TableStore};
use crate::storage::wal::Lsn;

/// Number of commits between two checkpoints of the Delta log.
const CHECKPOINT_INTERVAL: u64 = 50;

/// Number of files committed since the last checkpoint that makes the next one due: Parquet is read
/// faster than the files' JSON.
const CHECKPOINT_FILES: usize = 10_000;

/// Files of one hour and their merged rollup.
#[derive(Clone, Debug, Default)]
pub struct HourFiles {
    pub files: Vec<Arc<DataFile>>,
    pub rollup: Rollup,
}

impl HourFiles {
    fn push(&mut self, file: Arc<DataFile>) {
        self.rollup.merge(&file.rollup);
        self.rollup.learn(file.hour);
        self.files.push(file);
    }
}

/// All data files by hour. Clones in constant time.
pub type FileIndex = imbl::OrdMap<Hour, Arc<HourFiles>>;

pub fn add_to_index(index: &mut FileIndex, hour: Hour, file: Arc<DataFile>) {
    Arc::make_mut(index.entry(hour).or_default()).push(file);
}

/// A file to commit: its hour, and the first and last user in it.
pub type CommitFile = (Hour, DataFile, (String, String));

/// Handle for reading and committing to the table. Owned by the flusher.
#[derive(Debug)]
pub struct Lake {
    store: Arc<dyn TableStore>,
    table: DeltaTable,
    /// Application id of this data directory's transactions.
    node: String,
    schema: EventSchema,
    names: FileNames,
    /// Files committed by this process since its last checkpoint.
    files_since_checkpoint: usize,
    /// Records of key files in the table, as of loading.
    key_files: Vec<KeyFileRecord>,
    /// Time of the last flush as of loading, in milliseconds since the epoch.
    flushed_ms: Option<i64>,
    checkpoint_trouble: Recurring,
}

impl Lake {
    /// Loads the table, creating it if `create` is set and there is none. Returns it with its files
    /// and the last LSN flushed.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the damaged commit, which the library's own error does not.
    pub async fn open(
        store: Arc<dyn TableStore>,
        meta: &DirectoryMeta,
        create: bool,
    ) -> Result<(Lake, FileIndex, Lsn)> {
        match Lake::load(store.clone(), meta, create).await {
            Err(error @ Error::Delta(_)) => Err(damaged_commit(&*store).await.unwrap_or(error)),
            other => other,
        }
    }

    async fn load(
        store: Arc<dyn TableStore>,
        meta: &DirectoryMeta,
        create: bool,
    ) -> Result<(Lake, FileIndex, Lsn)> {
        let mut table = table_in(store.clone())?;
        check_log(&*store).await?;
        if create && !table.verify_deltatable_existence().await? {
            table = create_table(&table, &meta.schema).await?;
        }
        let mut snapshot = LogSnapshot::try_new(&*table.log_store(), None).await?;
        table.state = Some(state_without_files(&snapshot)?);
        if create && let Some(wider) = add_columns(&table, &meta.schema).await? {
            table = wider;
            sync_log(&*store).await?;
            snapshot = LogSnapshot::try_new(&*table.log_store(), None).await?;
            table.state = Some(state_without_files(&snapshot)?);
        }
        let (key_files, flushed_ms, checkpoint_trouble) = Default::default();
        let (node, names) = (meta.node.clone(), FileNames::new(&meta.node));
        let mut lake = Lake {
            store,
            table,
            node,
            schema: meta.schema.clone(),
            names,
            files_since_checkpoint: 0,
            key_files,
            flushed_ms,
            checkpoint_trouble,
        };
        let flushed = lake.flushed().await?;
        let index = lake.index(&snapshot).await?;
        Ok((lake, index, flushed))
    }

    /// Returns the last LSN whose events are in the table, 0 before the first flush.
    async fn flushed(&mut self) -> Result<Lsn> {
        let state = self.table.snapshot()?;
        let version = state.transaction_version(&*self.table.log_store(), &self.node).await?;
        Ok(version.unwrap_or(0) as Lsn)
    }

    /// Re-reads the log and returns the last LSN flushed. This tells whether a commit whose reply
    /// was lost took place. Syncs the log's folder before returning, as the name of such a commit
    /// may not have been durable.
    pub async fn refresh(&mut self) -> Result<Lsn> {
        self.table.update_state().await?;
        let flushed = self.flushed().await?;
        sync_log(&*self.store).await?;
        Ok(flushed)
    }

    /// Returns the version of the table and the names of its columns.
    pub fn version_and_columns(&self) -> Result<(u64, Vec<String>)> {
        let state = self.table.snapshot()?;
        let columns = state.schema().fields().map(|field| field.name().clone()).collect();
        Ok((state.version(), columns))
    }

    /// Returns the time of the last flush as of loading, in milliseconds since the epoch. It comes
    /// from the files' own entries, as a checkpoint has these but not the times of the commits that
    /// it replaces.
    pub fn flushed_ms(&self) -> Option<i64> {
        self.flushed_ms
    }

    /// Returns the kinds and dimensions of the table's events.
    pub fn schema(&self) -> &EventSchema {
        &self.schema
    }

    /// Returns the table's records of key files, as of loading.
    pub fn key_files(&self) -> &[KeyFileRecord] {
        &self.key_files
    }

    async fn index(&mut self, snapshot: &LogSnapshot) -> Result<FileIndex> {
        let log_store = self.table.log_store();
        read_index(snapshot, &*log_store, &*self.store, &self.schema, |add| {
            self.key_files.extend(key_file_of(add));
            if tag(add, ROLLUP_TAG).is_some() {
                self.flushed_ms = self.flushed_ms.max(Some(add.modification_time));
            }
        })
        .await
    }

    /// Writes a file, not yet durably, and returns its location. The same generation and hour
    /// always have the same location.
    pub async fn put(&self, first_lsn: Lsn, hour: Hour, parquet: Vec<u8>) -> Result<Location> {
        let location = Location::from(format!("{TABLE_DIR}/{}", self.names.path(first_lsn, hour)));
        let put = self.store.put(&location, parquet.into()).await;
        put.map_err(store::failed(location.as_ref(), "write"))?;
        Ok(location)
    }

    /// Makes the files durable, then commits them with the transaction `last_lsn`. The commit is
    /// durable when this returns.
    pub async fn commit(
        &mut self,
        files: &[CommitFile],
        keys: Option<&KeyFileRecord>,
        last_lsn: Lsn,
        now_us: i64,
    ) -> Result<()> {
        self.store.sync().await.map_err(store::failed(TABLE_DIR, "sync the data files"))?;
        let mut adds: Vec<Add> = files
            .iter()
            .map(|(hour, file, users)| add_action(&self.schema, *hour, file, users, now_us))
            .collect();
        if let (Some(keys), Some(tags)) = (keys, adds.first_mut().and_then(|add| add.tags.as_mut()))
        {
            let text = serde_json::to_string(keys).expect("a record is plain data");
            tags.insert(KEYS_TAG.into(), Some(text));
        }
        let transaction =
            Transaction::new_with_last_update(&self.node, last_lsn as i64, Some(now_us / 1_000));
        let properties = CommitProperties::default()
            .with_application_transaction(transaction)
            .with_create_checkpoint(false);
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec!["date".into(), "hour".into()]),
            predicate: None,
        };
        let committed = CommitBuilder::from(properties)
            .with_actions(adds.into_iter().map(Action::Add).collect())
            .build(Some(self.table.snapshot()?), self.table.log_store(), operation)
            .await?;
        self.table.state = Some(committed.snapshot);
        self.files_since_checkpoint += files.len();
        Ok(())
    }

    /// Writes a checkpoint if one is due, to keep opening fast. A failure has no other effect.
    pub async fn checkpoint_if_due(&mut self, now_us: i64) {
        let version = self.table.version().unwrap_or(0);
        let is_due = version.is_multiple_of(CHECKPOINT_INTERVAL)
            || self.files_since_checkpoint >= CHECKPOINT_FILES;
        if version == 0 || !is_due {
            return;
        }
        match deltalake_core::checkpoints::create_checkpoint(&self.table, None).await {
            Ok(()) => {
                self.files_since_checkpoint = 0;
                self.checkpoint_trouble.has_passed();
                self.forget_files().await;
            }
            Err(error) if self.checkpoint_trouble.is_due(now_us) => {
                tracing::warn!(%error, version, "the Delta checkpoint failed; it is tried again after a later commit");
            }
            Err(_) => {}
        }
    }

    /// Drops the library's list of the files committed since the last call. A failure costs only
    /// memory.
    async fn forget_files(&mut self) {
        let version = self.table.version();
        match LogSnapshot::try_new(&*self.table.log_store(), version)
            .await
            .map(|snapshot| state_without_files(&snapshot))
        {
            Ok(Ok(state)) => self.table.state = Some(state),
            Ok(Err(error)) => tracing::debug!(%error, "the table keeps its list of files"),
            Err(error) => tracing::debug!(%error, "the table keeps its list of files"),
        }
    }
}

/// Returns the handle of the table in `objects`, not yet loaded.
pub fn table_in(objects: Arc<dyn ObjectStore>) -> Result<DeltaTable> {
    // The scheme is only a name: every byte goes through `objects`. With `file` the library would
    // access the folder on the machine's disk itself, and distrust the order of our listings.
    let url = Url::parse(&format!("memory:///{TABLE_DIR}/")).expect("a valid URL");
    let builder = DeltaTableBuilder::from_url(url)?
        .with_storage_backend(objects, Url::parse("memory:///").expect("a valid URL"));
    Ok(builder.build()?)
}

/// Reads the files of one version of the table, by hour, and passes their entries to `each`.
pub async fn read_index(
    snapshot: &LogSnapshot,
    log_store: &dyn LogStore,
    store: &dyn ObjectStore,
    schema: &EventSchema,
    mut each: impl FnMut(&Add),
) -> Result<FileIndex> {
    let mut index = FileIndex::new();
    let mut views = snapshot.file_views(log_store, None);
    while let Some(view) = views.try_next().await? {
        #[expect(deprecated, reason = "the arrays it points to leave out the tags")]
        let add = view.add_action();
        let (hour, file) = data_file(store, schema, &add).await?;
        each(&add);
        add_to_index(&mut index, hour, Arc::new(file));
    }
    Ok(index)
}

async fn data_file(
    store: &dyn ObjectStore,
    schema: &EventSchema,
    add: &Add,
) -> Result<(Hour, DataFile)> {
    let (location, hour) = placed(add)?;
    if let Some(file) = DataFile::of_tags(schema, add, &location) {
        return Ok((hour, file));
    }
    let bytes = store::read(store, &location).await?;
    let contents = data_file::read_contents(schema, bytes, source(&location)).map_err(|error| {
        Error::Damaged {
            path: location.to_string().into(),
            offset: 0,
            reason: error.to_string(),
            advice: "Restore the file from a backup",
        }
    })?;
    let (rollup, checksum) = (contents.rollup, checksum_of(add));
    Ok((hour, DataFile { location, bytes: add.size as u64, rollup, hour: Users::NONE, checksum }))
}

/// Makes the names of the log's commits durable.
async fn sync_log(store: &dyn TableStore) -> Result<()> {
    let synced = store.sync_names(&Location::from(LOG_DIR)).await;
    synced.map_err(store::failed(LOG_DIR, "sync"))
}

/// Checks what the library does not: that no commit is empty, and that the log is there where data
/// files are, instead of beginning a new table beside them.
async fn check_log(store: &dyn ObjectStore) -> Result<()> {
    let listed = store.list_with_delimiter(Some(&Location::from(LOG_DIR))).await?;
    let mut commits =
        listed.objects.iter().filter(|object| object.location.as_ref().ends_with(".json"));
    if let Some(commit) = commits.find(|commit| commit.size == 0) {
        return Err(damaged(&commit.location, 0, EMPTY.into()));
    }
    if !listed.objects.is_empty() {
        return Ok(());
    }
    let table = store.list_with_delimiter(Some(&Location::from(TABLE_DIR))).await?;
    let is_partition =
        |folder: &Location| folder.filename().is_some_and(|name| name.starts_with("date="));
    if table.common_prefixes.iter().any(is_partition) {
        return Err(Error::Damaged {
            path: LOG_DIR.into(),
            offset: 0,
            reason: "the Delta log is missing, and there are data files beside it".into(),
            advice: "Restore events/_delta_log and wal from one backup",
        });
    }
    Ok(())
}

/// Returns the error of the first commit that cannot be read; `None` if all can.
async fn damaged_commit(store: &dyn ObjectStore) -> Option<Error> {
    let listed = store.list_with_delimiter(Some(&Location::from(LOG_DIR))).await.ok()?;
    let commits = listed.objects.into_iter().map(|object| object.location);
    for commit in commits.filter(|commit| commit.as_ref().ends_with(".json")) {
        if let Err(error) = read_actions(store, &commit).await {
            return Some(error);
        }
    }
    None
}

/// Returns a table state with an empty list of files. [`FileIndex`] has them, and a second list
/// would double the memory and take time with every commit. Appends never use it, and a checkpoint
/// is made from the log itself.
///
/// IMPORTANT: code that reads the state's own files (`log_data`, `file_views`) sees only those
/// committed after the state was made.
fn state_without_files(snapshot: &LogSnapshot) -> Result<DeltaTableState> {
    // The library can build such a state only by deserializing it: a snapshot, then the bytes of
    // its files.
    let files: [u8; 0] = [];
    let state =
        serde_json::to_value((snapshot, files)).and_then(serde_json::from_value::<EagerSnapshot>);
    let state = state
        .map_err(|error| Error::Config(format!("the table's state cannot be built: {error}")))?;
    Ok(DeltaTableState::new(state))
}

fn column(name: &str, of: PrimitiveType) -> StructField {
    StructField::new(name, DataType::Primitive(of), true)
}

/// Adds the columns of the dimensions that the table lacks, in one commit; `None` if it has all.
async fn add_columns(table: &DeltaTable, schema: &EventSchema) -> Result<Option<DeltaTable>> {
    let known = table.snapshot()?.schema();
    let lacking = schema.dimensions().iter().filter(|name| known.field(name.as_str()).is_none());
    let lacking: Vec<StructField> =
        lacking.map(|name| column(name, PrimitiveType::String)).collect();
    if lacking.is_empty() {
        return Ok(None);
    }
    Ok(Some(table.clone().add_columns().with_fields(lacking).await?))
}

async fn create_table(table: &DeltaTable, schema: &EventSchema) -> Result<DeltaTable> {
    let in_files = schema.file().fields().iter().map(|field| {
        let is_time = *field.data_type() == event::timestamp_type();
        column(field.name(), if is_time { PrimitiveType::Timestamp } else { PrimitiveType::String })
    });
    let of_partition =
        [column("date", PrimitiveType::Date), column("hour", PrimitiveType::Integer)];
    let created = CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_table_name("events")
        .with_comment("Visitor events by hour, written by hourglass")
        .with_columns(in_files.chain(of_partition))
        .with_partition_columns(["date", "hour"])
        .await?;
    Ok(created)
}
