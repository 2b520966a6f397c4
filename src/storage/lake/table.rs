//! The sealed hours: a Delta Lake table in `events/`, partitioned by `date` and `hour`.
//!
//! The Delta log is the truth about which data files count; [`FileIndex`] is the same truth in
//! memory, by hour, so that a query lists nothing. Each flush is one commit that carries the
//! application transaction `txn(node, last LSN flushed)`: recovery replays only the log above it,
//! which is what makes a flush happen exactly once.
//!
//! A data file is named after the first LSN of its generation. A flush that died before its commit
//! leaves files nobody refers to, and the next one, which begins at the same LSN, writes over them.

use std::sync::Arc;

use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{
    Action, Add, DataType, EagerSnapshot, PrimitiveType, Snapshot as LogSnapshot, StructField,
    Transaction,
};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use futures::TryStreamExt;
use object_store::path::Path as Location;
use serde_json::json;
use url::Url;

use super::data_file;
use super::tag::{self, ROLLUP_TAG};
use crate::error::{Error, Result};
use crate::event;
use crate::hour::Hour;
use crate::rollup::{Rollup, SourceSet, Users};
use crate::storage::file_names::FileNames;
use crate::storage::idempotency::files::KeyFileRecord;
use crate::storage::recurring::Recurring;
use crate::storage::store::VfsStore;
use crate::storage::wal::Lsn;

/// The table's folder below the data directory.
pub const TABLE_DIR: &str = "events";

/// The Delta log's folder below the data directory.
pub const LOG_DIR: &str = "events/_delta_log";

/// The key of the CRC-32C of a file's bytes, in eight hexadecimal digits.
const CHECKSUM_TAG: &str = "hourglass.crc32c";

/// The key of the [`KeyFileRecord`] of a commit, among the tags of its first file.
const KEYS_TAG: &str = "hourglass.keys";

/// Commits between two checkpoints of the Delta log.
const CHECKPOINT_INTERVAL: u64 = 50;

/// Files committed since the last checkpoint at which the next is due: Parquet is read quicker than
/// their JSON.
const CHECKPOINT_FILES: usize = 10_000;

/// User names longer than this are left out of the log's statistics.
const MAX_STATISTICS_BYTES: usize = 128;

/// One data file of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Below the data directory.
    pub location: Location,
    pub bytes: u64,
    /// That of the file alone; its users are always counted.
    pub rollup: Rollup,
    /// A claim about the users of the whole hour, made when the file was committed.
    pub hour: Users,
    /// CRC-32C of its bytes, where the table tells it: Parquet's own page checksums are left out by
    /// the writer used here.
    pub checksum: Option<u32>,
}

impl DataFile {
    /// The file as the tags of its `add` action tell of it; nothing for a file of another engine,
    /// which has none.
    pub fn of_tags(add: &Add, location: &Location) -> Option<DataFile> {
        let (rollup, hour) = tag::read(tag(add, ROLLUP_TAG)?, source(location))?;
        Some(DataFile {
            location: location.clone(),
            bytes: add.size as u64,
            rollup,
            hour,
            checksum: checksum_of(add),
        })
    }
}

/// The files of one hour, and what their rows count together.
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

/// All files, by hour. Clones in constant time.
pub type FileIndex = imbl::OrdMap<Hour, Arc<HourFiles>>;

pub fn add_to_index(index: &mut FileIndex, hour: Hour, file: Arc<DataFile>) {
    Arc::make_mut(index.entry(hour).or_default()).push(file);
}

/// A file to commit: its hour, and the first and last user in it.
pub type CommitFile = (Hour, DataFile, (String, String));

/// The table's writing end. Owned by the flusher.
#[derive(Debug)]
pub struct Lake {
    store: VfsStore,
    table: DeltaTable,
    /// The application id of this data directory's transactions.
    node: String,
    names: FileNames,
    /// Files committed by this process since its last checkpoint.
    files_since_checkpoint: usize,
    /// What the table says of key files, as it was loaded.
    key_files: Vec<KeyFileRecord>,
    /// When the last flush was committed as far as the table was loaded, milliseconds since the
    /// epoch.
    flushed_ms: Option<i64>,
    checkpoint_trouble: Recurring,
}

impl Lake {
    /// Loads the table; `create` makes it where there is none. Answers it with its files and the
    /// last LSN flushed.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the commit that is not what was written, which the library's own
    /// error does not.
    pub async fn open(store: VfsStore, node: &str, create: bool) -> Result<(Lake, FileIndex, Lsn)> {
        match Lake::load(store.clone(), node, create).await {
            Err(error @ Error::Delta(_)) => Err(damaged_commit(&store).unwrap_or(error)),
            other => other,
        }
    }

    async fn load(store: VfsStore, node: &str, create: bool) -> Result<(Lake, FileIndex, Lsn)> {
        // The scheme is a name only: every byte goes through `store`. With `file` the library would
        // look for the folder on the machine's disk itself, and distrust the order of our listings.
        let url = Url::parse(&format!("memory:///{TABLE_DIR}/")).expect("a valid URL");
        let builder = DeltaTableBuilder::from_url(url)?.with_storage_backend(
            Arc::new(store.clone()),
            Url::parse("memory:///").expect("a valid URL"),
        );
        let mut table = builder.build()?;
        if create && !table.verify_deltatable_existence().await? {
            table = create_table(&table).await?;
        }
        let snapshot = LogSnapshot::try_new(&*table.log_store(), None).await?;
        table.state = Some(state_without_files(&snapshot)?);
        let (key_files, flushed_ms, checkpoint_trouble) = Default::default();
        let (node, names) = (node.into(), FileNames::new(node));
        let mut lake = Lake {
            store,
            table,
            node,
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

    /// The last LSN whose events are in the table, 0 before the first flush.
    async fn flushed(&mut self) -> Result<Lsn> {
        let state = self.table.snapshot()?;
        let version = state.transaction_version(&*self.table.log_store(), &self.node).await?;
        Ok(version.unwrap_or(0) as Lsn)
    }

    /// The last LSN flushed after a look at the log: whether a commit whose answer was lost took
    /// place. What it answers is durable: the name of such a commit may not have been.
    pub async fn refresh(&mut self) -> Result<Lsn> {
        self.table.update_state().await?;
        let flushed = self.flushed().await?;
        let log = Location::from(LOG_DIR);
        self.store.sync_folder(&log).map_err(Error::io(log.to_string(), "sync"))?;
        Ok(flushed)
    }

    /// The version of the table, and its columns by name.
    pub fn version_and_columns(&self) -> Result<(u64, Vec<String>)> {
        let state = self.table.snapshot()?;
        let columns = state.schema().fields().map(|field| field.name().clone()).collect();
        Ok((state.version(), columns))
    }

    /// When the last flush was committed as far as the table was loaded, milliseconds since the
    /// epoch. Known from the files' own entries: a checkpoint has these, and not the times of the
    /// commits that it stands for.
    pub fn flushed_ms(&self) -> Option<i64> {
        self.flushed_ms
    }

    /// What the table says of the files of idempotency keys, as it was loaded.
    pub fn key_files(&self) -> &[KeyFileRecord] {
        &self.key_files
    }

    async fn index(&mut self, snapshot: &LogSnapshot) -> Result<FileIndex> {
        let mut index = FileIndex::new();
        let log_store = self.table.log_store();
        let mut views = snapshot.file_views(&*log_store, None);
        while let Some(view) = views.try_next().await? {
            #[expect(deprecated, reason = "the arrays it points to leave out the tags")]
            let add = view.add_action();
            let (hour, file) = self.data_file(&add)?;
            self.key_files.extend(key_file_of(&add));
            if tag(&add, ROLLUP_TAG).is_some() {
                self.flushed_ms = self.flushed_ms.max(Some(add.modification_time));
            }
            add_to_index(&mut index, hour, Arc::new(file));
        }
        Ok(index)
    }

    fn data_file(&self, add: &Add) -> Result<(Hour, DataFile)> {
        let (location, hour) = placed(add)?;
        if let Some(file) = DataFile::of_tags(add, &location) {
            return Ok((hour, file));
        }
        let bytes = self.store.read(&location).map_err(Error::io(location.to_string(), "read"))?;
        let contents =
            data_file::read_contents(bytes, source(&location)).map_err(|error| Error::Damaged {
                path: location.to_string().into(),
                offset: 0,
                reason: error.to_string(),
                advice: "Restore the file from a backup",
            })?;
        let (rollup, checksum) = (contents.rollup, checksum_of(add));
        Ok((
            hour,
            DataFile { location, bytes: add.size as u64, rollup, hour: Users::NONE, checksum },
        ))
    }

    /// Writes a file's bytes, not yet durable. Answers where; the same generation and hour go to
    /// the same place.
    pub fn put(&self, first_lsn: Lsn, hour: Hour, parquet: &[u8]) -> Result<Location> {
        let location = Location::from(format!("{TABLE_DIR}/{}", self.names.path(first_lsn, hour)));
        self.store
            .put_data_file(&location, parquet)
            .map_err(Error::io(location.to_string(), "write"))?;
        Ok(location)
    }

    /// Makes the files durable, then commits them with the transaction `last_lsn`: durable too when
    /// it returns.
    pub async fn commit(
        &mut self,
        files: &[CommitFile],
        keys: Option<&KeyFileRecord>,
        last_lsn: Lsn,
        now_us: i64,
    ) -> Result<()> {
        self.store.sync().map_err(Error::io(TABLE_DIR, "sync the data files"))?;
        let mut adds: Vec<Add> = files
            .iter()
            .map(|(hour, file, users)| add_action(*hour, file, users, now_us))
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

    /// Writes a checkpoint when one is due, so that opening stays quick. A failure costs only that.
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
                tracing::warn!(%error, version, "the Delta checkpoint failed; the next one makes up for it");
            }
            Err(_) => {}
        }
    }

    /// Lets go of the library's list of the files that were committed since the last time. A
    /// failure costs only memory.
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

/// The actions of a commit: a JSON object a line.
///
/// # Errors
/// [`Error::Damaged`] names the line that is none.
pub fn read_actions(store: &VfsStore, commit: &Location) -> Result<Vec<Action>> {
    let bytes = store.read(commit).map_err(Error::io(commit.to_string(), "read"))?;
    let (mut actions, mut offset) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        actions.push(serde_json::from_slice(line).map_err(|error| Error::Damaged {
            path: store.vfs().1.join(commit.as_ref()),
            offset,
            reason: format!("no action of the Delta log: {error}"),
            advice: "Restore the file from a backup; `hourglass verify` tells what else is damaged",
        })?);
        offset += line.len() as u64;
    }
    Ok(actions)
}

/// What is wrong with the first commit that cannot be read, if there is one.
fn damaged_commit(store: &VfsStore) -> Option<Error> {
    let (vfs, root) = store.vfs();
    let entries = vfs.list(&root.join(LOG_DIR)).ok()?;
    let mut commits = entries
        .iter()
        .filter(|entry| entry.name.ends_with(".json") && !entry.name.starts_with('.'));
    commits.find_map(|entry| {
        read_actions(store, &Location::from(format!("{LOG_DIR}/{}", entry.name))).err()
    })
}

/// Where a file is, below the data directory, and its hour.
pub fn placed(add: &Add) -> Result<(Location, Hour)> {
    let location = Location::from_url_path(format!("{TABLE_DIR}/{}", add.path))
        .map_err(object_store::Error::from)?;
    let partition = |column: &str| add.partition_values.get(column).cloned().flatten();
    let hour = partition("date")
        .and_then(|date| date.parse().ok())
        .zip(partition("hour").and_then(|hour| hour.parse().ok()))
        .and_then(|(date, hour)| Hour::from_partition(date, hour))
        .ok_or_else(|| {
            Error::Config(format!(
                "{location}: not a partition of hours: {:?}",
                add.partition_values
            ))
        })?;
    Ok((location, hour))
}

fn tag<'a>(add: &'a Add, key: &str) -> Option<&'a str> {
    add.tags.as_ref()?.get(key)?.as_deref()
}

/// A data file's path below the table's folder, as its `add` action has it.
fn path_in_table(location: &Location) -> &str {
    location.as_ref().trim_start_matches(TABLE_DIR).trim_start_matches('/')
}

/// What claims about users know a data file by.
pub fn source(location: &Location) -> SourceSet {
    SourceSet::of(path_in_table(location))
}

/// What the commit that added a file says of its key file, where this is the file that carries it.
pub fn key_file_of(add: &Add) -> Option<KeyFileRecord> {
    serde_json::from_str(tag(add, KEYS_TAG)?).ok()
}

/// The checksum among a file's tags.
fn checksum_of(add: &Add) -> Option<u32> {
    u32::from_str_radix(tag(add, CHECKSUM_TAG)?, 16).ok()
}

/// A table's state with an empty list of files: [`FileIndex`] has them, and a second list would
/// cost as much memory again and time with every commit. Appends never look at it, and a checkpoint
/// is made from the log itself.
///
/// IMPORTANT: whatever reads the state's own files (`log_data`, `file_views`) sees only those
/// committed after it was made.
fn state_without_files(snapshot: &LogSnapshot) -> Result<DeltaTableState> {
    // The library makes such a state only from its serialized form: a snapshot, then the bytes of
    // its files.
    let files: [u8; 0] = [];
    let state =
        serde_json::to_value((snapshot, files)).and_then(serde_json::from_value::<EagerSnapshot>);
    let state = state
        .map_err(|error| Error::Config(format!("the table's state cannot be made: {error}")))?;
    Ok(DeltaTableState::new(state))
}

async fn create_table(table: &DeltaTable) -> Result<DeltaTable> {
    let column =
        |name: &str, of: PrimitiveType| StructField::new(name, DataType::Primitive(of), true);
    let fields = event::file_schema();
    let in_files = fields.fields().iter().map(|field| {
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

fn add_action(hour: Hour, file: &DataFile, users: &(String, String), now_us: i64) -> Add {
    let rollup = &file.rollup;
    let mut min = json!({ "timestamp": milliseconds(rollup.first_us) });
    // Statistics hold milliseconds: the maximum is rounded up so that it bounds the microseconds
    // too.
    let mut max = json!({ "timestamp": milliseconds(rollup.last_us + 999) });
    let (first, last) = users;
    if last.len() <= MAX_STATISTICS_BYTES {
        min["user_id"] = json!(first.chars().take(32).collect::<String>());
        max["user_id"] = json!(last);
    }
    let columns = event::file_schema();
    let nulls: serde_json::Value =
        columns.fields().iter().map(|field| (field.name().as_str(), 0)).collect();
    let stats = json!({ "numRecords": rollup.rows(), "minValues": min, "maxValues": max, "nullCount": nulls });
    let partition = [("date", hour.date().to_string()), ("hour", hour.of_day().to_string())];
    let checksum =
        file.checksum.map(|checksum| (CHECKSUM_TAG.to_string(), Some(format!("{checksum:08x}"))));
    let rollup = (ROLLUP_TAG.to_string(), Some(tag::write(rollup, file.hour)));
    let tags = [rollup].into_iter().chain(checksum);
    Add {
        path: path_in_table(&file.location).to_string(),
        partition_values: partition.map(|(column, value)| (column.to_string(), Some(value))).into(),
        size: file.bytes as i64,
        modification_time: now_us / 1_000,
        data_change: true,
        stats: Some(stats.to_string()),
        tags: Some(tags.collect()),
        ..Add::default()
    }
}

fn milliseconds(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .expect("a stored timestamp is in range")
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Where the table's futures run, for threads that may or may not be inside another runtime. It has
/// one thread, that of the caller, so that what is asked of the store comes in the same order each
/// time.
#[derive(Debug)]
pub struct LakeRuntime(Option<tokio::runtime::Runtime>);

impl LakeRuntime {
    pub fn new() -> Result<LakeRuntime> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.thread_name("hourglass-lake").enable_all().build();
        Ok(LakeRuntime(Some(runtime.map_err(Error::io("", "start the runtime of the table"))?)))
    }

    /// Runs `future` to its end, on a thread of its own where this one is inside a runtime, which
    /// cannot be entered twice.
    pub fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let runtime = self.0.as_ref().expect("taken on drop only");
        match tokio::runtime::Handle::try_current() {
            Err(_) => runtime.block_on(future),
            Ok(_) => std::thread::scope(|scope| {
                scope
                    .spawn(|| runtime.block_on(future))
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
        }
    }
}

impl Drop for LakeRuntime {
    /// A runtime waits for its threads when it goes, which a thread of another runtime must not.
    fn drop(&mut self) {
        self.0.take().expect("taken here only").shutdown_background();
    }
}
