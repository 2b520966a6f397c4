//! Delta Lake table of the flushed hours in `events/`, partitioned by `date` and `hour`.
//!
//! The Delta log is the source of truth for which data files are valid; [`FileIndex`] is the same
//! information in memory, by hour, so that a query lists nothing. Three application transactions
//! keep the table and the write-ahead log together; NODE is the name of the data directory:
//!
//! | transaction | its version |
//! | --- | --- |
//! | `NODE` | last LSN flushed; recovery replays only the log above it, so each flush happens once |
//! | `NODE/fence` | epoch of the process that committed last, see [`super::commit`] |
//! | `NODE/removed` | number of rows that retention and erasure have removed |
//!
//! A flushed file is named after the first LSN of its generation. A flush that ended before its
//! commit leaves files that nothing refers to, and the next one, which begins at the same LSN,
//! overwrites them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deltalake_core::kernel::transaction::PROTOCOL;
use deltalake_core::kernel::{
    Action, Add, DataType, EagerSnapshot, PrimitiveType, Snapshot as LogSnapshot, StructField,
    TombstoneView, Transaction,
};
use deltalake_core::logstore::LogStore;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::table::config::TablePropertiesExt;
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures::TryStreamExt;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::actions::{
    DataFile, EMPTY, checksum_of, damaged, key_files_of, placed, read_actions, source, tag,
};
use super::data_file;
use super::index::{self, FileIndex};
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

/// How the table is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Takes the table over, creating it if there is none, at this time in microseconds.
    Write {
        now_us: i64,
    },
}

/// File that a commit has removed from the table, and that other readers may still need.
#[derive(Clone, Debug)]
pub struct Tombstone {
    pub location: Location,
    /// Time of the removal, in milliseconds since the epoch.
    pub removed_ms: i64,
}

/// Handle for reading and committing to the table. Owned by the committer.
#[derive(Debug)]
pub struct Lake {
    pub(super) store: Arc<dyn TableStore>,
    pub(super) table: DeltaTable,
    /// Application id of this data directory's transactions.
    pub(super) node: String,
    pub(super) schema: EventSchema,
    names: FileNames,
    /// Epoch of this process; it is 0 where the table is only read.
    pub(super) epoch: u64,
    /// Last LSN whose events are in the table, 0 before the first flush.
    pub(super) flushed: Lsn,
    /// Rows that retention and erasure have removed.
    pub(super) removed_rows: u64,
    /// Version of which this process has last written, or tried to write, a checkpoint.
    pub(super) checkpoint_version: Option<u64>,
    /// Times of the commits of this process by its clock, in milliseconds since the epoch.
    pub(super) commit_times: BTreeMap<u64, i64>,
    /// Files added and removed by this process since its last checkpoint.
    pub(super) files_since_checkpoint: usize,
    /// Records of key files, by the data file that carries them.
    pub(super) key_files: HashMap<Location, Vec<KeyFileRecord>>,
    /// Time of the last flush as of loading, in milliseconds since the epoch.
    flushed_ms: Option<i64>,
    /// Time of the last commit as of loading, in milliseconds since the epoch.
    committed_ms: Option<i64>,
    pub(super) checkpoint_trouble: Recurring,
}

impl Lake {
    /// Loads the table. Returns it with its files.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the damaged commit, which the library's own error does not.
    pub async fn open(
        store: Arc<dyn TableStore>,
        meta: &DirectoryMeta,
        access: Access,
    ) -> Result<(Lake, FileIndex)> {
        match Lake::load(store.clone(), meta, access).await {
            Err(error @ Error::Delta(_)) => Err(damaged_commit(&*store).await.unwrap_or(error)),
            other => other,
        }
    }

    async fn load(
        store: Arc<dyn TableStore>,
        meta: &DirectoryMeta,
        access: Access,
    ) -> Result<(Lake, FileIndex)> {
        let mut table = table_in(store.clone())?;
        let committed_ms = check_log(&*store).await?;
        // A table that is created here is taken over by that.
        let mut is_ours = false;
        if access != Access::Read && !table.verify_deltatable_existence().await? {
            table = create_table(&table, meta).await?;
            is_ours = true;
        }
        let mut snapshot = LogSnapshot::try_new(&*table.log_store(), None).await?;
        table.state = Some(state_without_files(&snapshot)?);
        check_table(&table, &meta.schema, access)?;
        if access != Access::Read
            && let Some(wider) = add_columns(&table, &meta.schema).await?
        {
            table = wider;
            sync_log(&*store).await?;
            snapshot = LogSnapshot::try_new(&*table.log_store(), None).await?;
            table.state = Some(state_without_files(&snapshot)?);
        }
        let (epoch, flushed, removed_rows, files_since_checkpoint) = Default::default();
        let (key_files, flushed_ms, checkpoint_trouble) = Default::default();
        let checkpoint_version = None;
        let mut lake = Lake {
            store,
            table,
            node: meta.node.clone(),
            schema: meta.schema.clone(),
            names: FileNames::new(&meta.node),
            epoch,
            flushed,
            removed_rows,
            checkpoint_version,
            commit_times: BTreeMap::new(),
            files_since_checkpoint,
            key_files,
            flushed_ms,
            committed_ms,
            checkpoint_trouble,
        };
        let epoch = lake.read_transactions().await?;
        let index = lake.index(&snapshot).await?;
        match access {
            Access::Write { now_us } if !is_ours => lake.take_over(epoch + 1, now_us).await?,
            Access::Write { .. } => lake.epoch = epoch,
            Access::Read => {}
        }
        Ok((lake, index))
    }

    pub(super) fn fence(&self) -> String {
        fence_of(&self.node)
    }

    pub(super) fn removed(&self) -> String {
        format!("{}/removed", self.node)
    }

    /// Reads the table's transactions and returns its epoch.
    pub(super) async fn read_transactions(&mut self) -> Result<u64> {
        let (state, log_store) = (self.table.snapshot()?, self.table.log_store());
        let version = async |name: &str| {
            let version = state.transaction_version(&*log_store, name).await?;
            Ok::<u64, Error>(version.unwrap_or(0) as u64)
        };
        let flushed = version(&self.node).await?;
        let removed_rows = version(&self.removed()).await?;
        let epoch = version(&self.fence()).await?;
        (self.flushed, self.removed_rows) = (flushed, removed_rows);
        Ok(epoch)
    }

    /// Returns the last LSN whose events are in the table, 0 before the first flush.
    pub fn flushed(&self) -> Lsn {
        self.flushed
    }

    /// Returns the number of rows that retention and erasure have removed.
    pub fn removed_rows(&self) -> u64 {
        self.removed_rows
    }

    /// Returns the time of the last commit as of loading, in milliseconds since the epoch.
    pub fn committed_ms(&self) -> Option<i64> {
        self.committed_ms
    }

    /// Returns the table's version.
    pub fn version(&self) -> u64 {
        self.table.version().unwrap_or(0)
    }

    /// Returns the epoch of this process.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn store(&self) -> &Arc<dyn TableStore> {
        &self.store
    }

    pub fn names(&self) -> &FileNames {
        &self.names
    }

    /// Returns the location of a merged file.
    pub fn merged(&self, epoch: u64, number: u64, hour: Hour) -> Location {
        Location::from(format!("{TABLE_DIR}/{}", self.names.merged(epoch, number, hour)))
    }

    /// Reads the tombstones that the log still has.
    pub async fn tombstones(&self) -> Result<Vec<Tombstone>> {
        let (state, log_store) = (self.table.snapshot()?, self.table.log_store());
        let views: Vec<_> = state.all_tombstones(&*log_store).try_collect().await?;
        let tombstone = |view: TombstoneView| {
            // Another engine may remove files that lie elsewhere: those are not ours to delete.
            let location = Location::parse(format!("{TABLE_DIR}/{}", view.path())).ok()?;
            Some(Tombstone { location, removed_ms: view.deletion_timestamp().unwrap_or(0) })
        };
        Ok(views.into_iter().filter_map(tombstone).collect())
    }

    /// Returns the time for which the table's properties ask to keep removed files, in
    /// milliseconds: checkpoints forget older tombstones.
    pub fn tombstone_retention_ms(&self) -> Result<i64> {
        let kept = self.table.snapshot()?.table_config().deleted_file_retention_duration();
        Ok(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX))
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

    /// Returns the table's records of key files, in no order.
    pub fn key_files(&self) -> Vec<KeyFileRecord> {
        self.key_files.values().flatten().copied().collect()
    }

    pub(super) async fn index(&mut self, snapshot: &LogSnapshot) -> Result<FileIndex> {
        self.key_files.clear();
        let log_store = self.table.log_store();
        read_index(snapshot, &*log_store, &*self.store, &self.schema, |add, file| {
            let records = key_files_of(add);
            if !records.is_empty() {
                self.key_files.insert(file.location.clone(), records);
            }
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
}

/// Returns the application id of the transaction that has the epoch.
fn fence_of(node: &str) -> String {
    format!("{node}/fence")
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
    mut each: impl FnMut(&Add, &DataFile),
) -> Result<FileIndex> {
    let mut index = FileIndex::new();
    let mut views = snapshot.file_views(log_store, None);
    while let Some(view) = views.try_next().await? {
        #[expect(deprecated, reason = "the arrays it points to leave out the tags")]
        let add = view.add_action();
        let (hour, file) = data_file(store, schema, &add).await?;
        each(&add, &file);
        index::add(&mut index, hour, Arc::new(file));
    }
    Ok(index)
}

async fn data_file(
    store: &dyn ObjectStore,
    schema: &EventSchema,
    add: &Add,
) -> Result<(Hour, DataFile)> {
    let (location, hour) = placed(add)?;
    if add.deletion_vector.is_some() {
        let what = "rows that are deleted by a deletion vector (in Spark: REORG TABLE ... APPLY (PURGE) \
            rewrites the file)";
        return Err(foreign(&location, what));
    }
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
    if let Some(what) = contents.unusable.or_else(|| outside(hour, &contents.rollup)) {
        return Err(foreign(&location, &what));
    }
    let (rollup, checksum) = (contents.rollup, checksum_of(add));
    let (bytes, written_ms) = (add.size as u64, add.modification_time);
    Ok((hour, DataFile { location, bytes, rollup, hour: Users::NONE, checksum, written_ms }))
}

/// Describes rows outside of the hour of their partition; `None` if there are none.
fn outside(hour: Hour, rollup: &Rollup) -> Option<String> {
    let (first_us, last_us) = rollup.bounds()?;
    let is_inside = first_us >= hour.start_us() && last_us < hour.end_us();
    (!is_inside).then(|| format!("rows of other hours than that of its partition, {hour}"))
}

/// Returns the error for a file of another engine that has something hourglass cannot answer for.
fn foreign(location: &Location, what: &str) -> Error {
    Error::Config(format!(
        "{location}: another engine has written {what}; remove or rewrite them with it, or restore an earlier version of the table"
    ))
}

/// Checks that the table has the columns of events, and no features that commits here would break.
fn check_table(table: &DeltaTable, schema: &EventSchema, access: Access) -> Result<()> {
    let state = table.snapshot()?;
    let known = state.schema();
    let own = schema.file();
    let mut own = own.fields().iter().filter(|field| !field.is_nullable());
    if let Some(lacking) = own.find(|field| known.field(field.name()).is_none()) {
        let name = lacking.name();
        return Err(Error::Config(format!(
            "{TABLE_DIR}: another engine has replaced the table's columns: {name} is missing; restore an earlier version of the table with it"
        )));
    }
    if access == Access::Read {
        return Ok(());
    }
    PROTOCOL.can_write_to(state).map_err(|error| {
        Error::Config(format!(
            "{TABLE_DIR}: another engine has turned on a feature of the table that hourglass does not write ({error}); \
             turn it off with that engine, or export the rows and import them into a new store"
        ))
    })
}

/// Makes the names of the log's commits durable.
pub(super) async fn sync_log(store: &dyn TableStore) -> Result<()> {
    let synced = store.sync_names(&Location::from(LOG_DIR)).await;
    synced.map_err(store::failed(LOG_DIR, "sync"))
}

/// Checks what the library does not: that no commit is empty, and that the log is there where data
/// files are, instead of beginning a new table beside them. Returns the time of the last commit.
async fn check_log(store: &dyn ObjectStore) -> Result<Option<i64>> {
    let listed = store.list_with_delimiter(Some(&Location::from(LOG_DIR))).await?;
    let mut commits =
        listed.objects.iter().filter(|object| object.location.as_ref().ends_with(".json"));
    if let Some(commit) = commits.find(|commit| commit.size == 0) {
        return Err(damaged(&commit.location, 0, EMPTY.into()));
    }
    if !listed.objects.is_empty() {
        let modified = listed.objects.iter().map(|object| object.last_modified.timestamp_millis());
        return Ok(modified.max());
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
    Ok(None)
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
pub(super) fn state_without_files(snapshot: &LogSnapshot) -> Result<DeltaTableState> {
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

async fn create_table(table: &DeltaTable, meta: &DirectoryMeta) -> Result<DeltaTable> {
    let in_files = meta.schema.file().fields().iter().map(|field| {
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
        .with_actions([Action::Txn(Transaction::new(fence_of(&meta.node), 1))])
        .await?;
    Ok(created)
}
