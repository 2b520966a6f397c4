//! Merge of an hour's files into one. All have one order, so their rows are merged as sorted
//! streams: memory depends on the number of files, not on their size.
//!
//! Rows come out by user, so the file's distinct users are counted by comparing neighbours. If the
//! hour has other files, too, their users are read beside and the hour's are counted in the same
//! way. The merged rows are compared with the counters of the files that they came from, and the
//! bytes of these with their checksums: damage is not copied into a file that looks sound.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use object_store::path::Path as Location;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::actions::{DataFile, damaged, path_in_table};
use super::commit::CommitFile;
use super::compaction::{MAX_INPUTS, Plan};
use super::data_file::{self, Shape};
use crate::event::{EventKind, EventSchema, OWN_COLUMNS, timestamp_type};
use crate::rollup::{Rollup, SourceSet, Users};
use crate::storage::error::{Error, Result};
use crate::storage::store::{ObjectFile, ObjectWriter, StoreRuntime, TableStore};

/// Rows that all sources together hold decoded, and that are written at a time.
const ROWS: usize = 65_536;

/// Maximum number of rows that one source decodes at a time.
const SOURCE_ROWS: usize = 8_192;

/// Users that are left out of a merge.
pub type Forgotten = Arc<BTreeSet<String>>;

/// A merge in progress.
#[derive(Debug)]
pub struct Merge {
    schema: EventSchema,
    file_schema: SchemaRef,
    plan: Plan,
    forgotten: Forgotten,
    location: Location,
    sources: Vec<Source>,
    writer: Option<ArrowWriter<ObjectWriter>>,
    /// Batches that `rows` refers to, and those rows in order.
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
    rows_at_once: usize,
    rollup: Rollup,
    dropped: u64,
    users: Distinct,
    hour_users: Distinct,
    first_user: Option<String>,
}

/// Count of the distinct values of a sorted stream.
#[derive(Debug, Default)]
struct Distinct {
    last: Option<String>,
    n: u64,
}

impl Distinct {
    fn see(&mut self, value: &str) {
        if self.last.as_deref() == Some(value) {
            return;
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.push_str(value);
        self.n += 1;
    }
}

/// One file's rows.
#[derive(Debug)]
struct Source {
    location: Location,
    reader: ParquetRecordBatchReader,
    /// Whether the rows are merged; otherwise only the users are counted.
    merged: bool,
    users: StringArray,
    timestamps_us: Vec<i64>,
    kinds: Vec<EventKind>,
    row: usize,
    /// Index of the current batch in [`Merge::batches`]; `None` if no row of it was taken yet.
    batch: Option<usize>,
    columns: Option<RecordBatch>,
}

/// Files, and where they are read and written.
#[derive(Clone, Debug)]
pub struct Files {
    pub runtime: StoreRuntime,
    pub store: Arc<dyn TableStore>,
    pub schema: EventSchema,
}

/// A merged file.
#[derive(Debug)]
pub struct Merged {
    pub plan: Plan,
    /// `None` if no row is left.
    pub file: Option<CommitFile>,
}

impl Merge {
    /// Opens the plan's files and begins the merged one at `location`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a file is not what was written.
    pub fn begin(
        files: &Files,
        plan: Plan,
        location: Location,
        forgotten: Forgotten,
    ) -> Result<Merge> {
        let schema = files.schema.clone();
        let file_schema = data_file::parquet_schema(&schema);
        let counted = plan.users.is_none() || !forgotten.is_empty();
        let beside: &[Arc<DataFile>] = if counted { &plan.others } else { &[] };
        let open = plan.inputs.len() + beside.len();
        let rows_at_once = (ROWS / open / (1 + schema.dimensions().len())).clamp(1, SOURCE_ROWS);
        let mut sources = Vec::with_capacity(open);
        for (list, merged) in [(plan.inputs.as_slice(), true), (beside, false)] {
            for file in list.iter().filter(|file| merged || file.checksum.is_some()) {
                sources.push(Source::open(files, file, merged, rows_at_once)?);
            }
        }
        let bound: u64 = plan.inputs.iter().map(|file| file.rollup.users.n).sum();
        let rows: u64 = plan.inputs.iter().map(|file| file.rollup.rows()).sum();
        let shape = Shape { rows, users: bound, values: vec![rows; schema.dimensions().len()] };
        let writer = data_file::writer(
            ObjectWriter::create(files.runtime.clone(), &files.store, &location)?,
            &schema,
            &shape,
        )?;
        let mut merge = Merge {
            schema,
            file_schema,
            plan,
            forgotten,
            location,
            sources,
            writer: Some(writer),
            batches: Vec::new(),
            rows: Vec::new(),
            rows_at_once: (ROWS / (1 + files.schema.dimensions().len())).max(1),
            rollup: Rollup::EMPTY,
            dropped: 0,
            users: Distinct::default(),
            hour_users: Distinct::default(),
            first_user: None,
        };
        for source in 0..merge.sources.len() {
            merge.refill(source)?;
        }
        merge.sources.retain(|source| source.row < source.users.len());
        Ok(merge)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Merges up to `rows` more rows; returns whether there are more.
    pub fn advance(&mut self, rows: usize) -> Result<bool> {
        let mut left = rows;
        while left > 0 {
            let Some((first, second)) = self.least() else { return Ok(false) };
            left -= self.take_run(first, second, left)?;
        }
        Ok(true)
    }

    /// Returns the sources with the least and the second least key.
    fn least(&self) -> Option<(usize, Option<usize>)> {
        let (mut first, mut second) = (None::<usize>, None::<usize>);
        for i in 0..self.sources.len() {
            let before = |other: Option<usize>| {
                other.is_none_or(|other| self.sources[i].key() < self.sources[other].key())
            };
            if before(first) {
                (first, second) = (Some(i), first);
            } else if before(second) {
                second = Some(i);
            }
        }
        Some((first?, second))
    }

    /// Takes rows of the source `first` up to the key of `second`, and at most `limit`; returns
    /// their number.
    fn take_run(&mut self, first: usize, second: Option<usize>, limit: usize) -> Result<usize> {
        let mut taken = 0;
        while taken < limit {
            self.take(first)?;
            taken += 1;
            self.sources[first].row += 1;
            if self.sources[first].row == self.sources[first].users.len() {
                self.refill(first)?;
                if self.sources[first].row == self.sources[first].users.len() {
                    self.sources.swap_remove(first);
                }
                return Ok(taken);
            }
            if second.is_some_and(|second| self.sources[second].key() < self.sources[first].key()) {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes the current row of a source.
    fn take(&mut self, source: usize) -> Result<()> {
        let from = &mut self.sources[source];
        let row = from.row;
        let user = from.users.value(row);
        if self.forgotten.contains(user) {
            self.dropped += u64::from(from.merged);
            return Ok(());
        }
        self.hour_users.see(user);
        if !from.merged {
            return Ok(());
        }
        self.users.see(user);
        self.first_user.get_or_insert_with(|| user.to_string());
        self.rollup.add(from.kinds[row], from.timestamps_us[row]);
        let batch = *from.batch.get_or_insert_with(|| {
            self.batches.extend(from.columns.clone());
            self.batches.len() - 1
        });
        self.rows.push((batch, row));
        if self.rows.len() >= self.rows_at_once { self.write() } else { Ok(()) }
    }

    /// Reads the next rows of a source; it has none if its file has ended.
    fn refill(&mut self, source: usize) -> Result<()> {
        // Rows already taken keep their batch until they are written.
        let Merge { sources, schema, file_schema, .. } = self;
        sources[source].read(schema, file_schema)?;
        if self.batches.len() > 4 * MAX_INPUTS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &self.rows)?;
        self.writer.as_mut().expect("not finished").write(&rows)?;
        self.rows.clear();
        self.batches.clear();
        self.sources.iter_mut().for_each(|source| source.batch = None);
        Ok(())
    }

    /// Writes the rest, and returns the file. It is not durable yet.
    pub fn finish(mut self) -> Result<Merged> {
        self.write()?;
        let writer = self.writer.take().expect("finished once").into_inner()?;
        let mut before = Rollup::EMPTY;
        self.plan.inputs.iter().for_each(|file| before.merge(&file.rollup));
        let is_same =
            (&before.counts, before.bounds()) == (&self.rollup.counts, self.rollup.bounds());
        let is_whole = before.rows() == self.rollup.rows() + self.dropped;
        if !is_whole || self.forgotten.is_empty() && !is_same {
            return Err(self.wrong_counters(&before));
        }
        if self.rollup.rows() == 0 {
            return Ok(Merged { plan: self.plan, file: None });
        }
        let (bytes, crc32c) = writer.close()?;
        let sources = SourceSet::of(path_in_table(&self.location));
        let rollup = Rollup { sources, ..mem::take(&mut self.rollup) }.with_users(self.users.n);
        let file = DataFile {
            location: self.location.clone(),
            bytes,
            hour: self.claim(sources),
            rollup,
            checksum: Some(crc32c),
            written_ms: self.plan.inputs.iter().map(|file| file.written_ms).max().unwrap_or(0),
        };
        let users = (self.first_user.unwrap_or_default(), self.users.last.unwrap_or_default());
        let file = Some((self.plan.hour, file, users));
        Ok(Merged { plan: self.plan, file })
    }

    /// Returns the claim about the users of the whole hour, if they are known.
    fn claim(&self, merged: SourceSet) -> Users {
        let others = &self.plan.others;
        if others.is_empty() {
            return Users::NONE;
        }
        let mut of = merged;
        others.iter().for_each(|file| of += file.rollup.sources);
        match self.plan.users {
            Some(n) if self.forgotten.is_empty() => Users { of, n },
            _ if others.iter().all(|file| file.checksum.is_some()) => {
                Users { of, n: self.hour_users.n }
            }
            _ => Users::NONE,
        }
    }

    fn wrong_counters(&self, before: &Rollup) -> Error {
        let (hour, says) = (self.plan.hour, before.rows());
        let has = self.rollup.rows() + self.dropped;
        Error::Damaged {
            path: self.plan.inputs[0].location.to_string().into(),
            offset: 0,
            reason: format!(
                "the files of {hour} have {has} rows where the table says {says}, or other times or kinds"
            ),
            advice: "`hourglass verify` reports which file is damaged",
        }
    }
}

impl Source {
    fn open(files: &Files, file: &DataFile, merged: bool, rows_at_once: usize) -> Result<Source> {
        let object =
            ObjectFile::open(files.runtime.clone(), &files.store, &file.location, file.bytes)?;
        if let Some(written) = file.checksum {
            let read = object.checksum()?;
            if read != written {
                return Err(damaged(
                    &file.location,
                    0,
                    format!("its bytes have the CRC-32C {read:08x}; {written:08x} was written"),
                ));
            }
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(object)?;
        let mask = match merged {
            true => ProjectionMask::all(),
            false => ProjectionMask::columns(builder.parquet_schema(), ["user_id"]),
        };
        let reader = builder.with_projection(mask).with_batch_size(rows_at_once).build()?;
        Ok(Source {
            location: file.location.clone(),
            reader,
            merged,
            users: StringArray::new_null(0),
            timestamps_us: Vec::new(),
            kinds: Vec::new(),
            row: 0,
            batch: None,
            columns: None,
        })
    }

    /// Returns the key of the current row in the order of a file. Files whose rows are only counted
    /// have just the user.
    fn key(&self) -> (&str, i64, Option<EventKind>) {
        let row = self.row;
        let us = self.timestamps_us.get(row).copied().unwrap_or(i64::MIN);
        (self.users.value(row), us, self.kinds.get(row).copied())
    }

    /// Reads the next batch.
    fn read(&mut self, schema: &EventSchema, file_schema: &SchemaRef) -> Result<()> {
        (self.row, self.batch, self.columns) = (0, None, None);
        let Some(batch) = self.reader.next() else {
            self.users = StringArray::new_null(0);
            return Ok(());
        };
        let batch = batch?;
        self.users = self.column(&batch, "user_id", &DataType::Utf8)?.as_string::<i32>().clone();
        if !self.merged {
            return Ok(());
        }
        let timestamps = self.column(&batch, "timestamp", &timestamp_type())?;
        let kinds = self.column(&batch, "event", &DataType::Utf8)?;
        let kind = |name: Option<&str>| {
            let name = name.unwrap_or_default();
            let unknown = || damaged(&self.location, 0, format!("an event of the kind {name:?}"));
            schema.kind(name).ok_or_else(unknown)
        };
        self.kinds = kinds.as_string::<i32>().iter().map(kind).collect::<Result<_>>()?;
        self.timestamps_us =
            timestamps.as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let mut columns: Vec<ArrayRef> = vec![timestamps, Arc::new(self.users.clone()), kinds];
        for name in schema.dimensions() {
            columns.push(match batch.column_by_name(name) {
                Some(column) => cast(column, &DataType::Utf8)?,
                None => new_null_array(&DataType::Utf8, batch.num_rows()),
            });
        }
        debug_assert_eq!(columns.len(), OWN_COLUMNS + schema.dimensions().len());
        self.columns = Some(RecordBatch::try_new(file_schema.clone(), columns)?);
        Ok(())
    }

    fn column(&self, batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef> {
        let column = batch
            .column_by_name(name)
            .filter(|column| column.null_count() == 0)
            .ok_or_else(|| damaged(&self.location, 0, format!("it lacks values of {name}")))?;
        Ok(cast(column, as_type)?)
    }
}
