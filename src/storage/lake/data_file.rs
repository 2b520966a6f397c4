//! Parquet data file: the rows of one hour from one generation.
//!
//! Rows are sorted by user, then timestamp, then the code of their kind. Equal users are adjacent,
//! so their names are short when front-coded (`DELTA_BYTE_ARRAY`), the bloom filter and the page
//! index find a user, and distinct users are counted by comparing neighbours. Timestamps are
//! delta-packed, users who return often are dictionary-coded, and all pages are compressed with
//! zstd. Each declared dimension is a column of texts, dictionary-coded, with a bloom filter; it is
//! null where an event has no value. A flush leaves a file for every hour that a late event belongs
//! to, so files of a few rows go without what only helps a reader to skip rows.
//!
//! The aggregates that queries most often need of whole hours, the [`Rollup`], are in the Delta
//! log, so that no file is opened for them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

use crate::event::{EventKind, EventSchema, OWN_COLUMNS, timestamp_type};
use crate::rollup::{Rollup, SourceSet, Users};
use crate::storage::error::Result;
use crate::storage::memory::dictionary::Interner;
use crate::storage::memory::memtable::{ABSENT, HourTable};

/// Rows per row group, the unit that a reader skips by statistics and bloom filter.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Rows up to which each column of a file has one page.
const SMALL_ROWS: u64 = 10_000;

/// Rows up to which a file is read as fast as what describes its columns.
const TINY_ROWS: u64 = 64;

/// Rows of a user from which on a dictionary takes less space than front-coded names.
const DICTIONARY_ROWS: u64 = 16;

/// Rows encoded at a time.
const BATCH_ROWS: usize = 65_536;

/// An encoded file.
#[derive(Debug)]
pub struct Encoded {
    pub parquet: Vec<u8>,
    /// Rollup of this file alone, with its users counted.
    pub rollup: Rollup,
    /// Claim about the users of this file and the hour's earlier files together, if the memtable
    /// carried over their users; otherwise [`Users::NONE`].
    pub hour: Users,
    /// The first and last user in the sort order.
    pub min_user: String,
    pub max_user: String,
}

/// Returns the file's schema as other engines see it: strings are plain `Utf8`.
pub fn parquet_schema(schema: &EventSchema) -> SchemaRef {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8View => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        _ => field.clone(),
    };
    Arc::new(Schema::new(schema.file().fields().iter().map(plain).collect::<Vec<_>>()))
}

/// Encodes one hour, which must have rows.
pub fn encode(schema: &EventSchema, table: &HourTable) -> Result<Encoded> {
    let names = table.users.to_array();
    let sorted = Sorted::new(table, &names);
    let columns = ValueColumns::new(schema, table);
    let users = sorted.users.len() as u64;
    let rollup = table.rollup.clone().with_users(users);
    let hour = if table.rollup.users.of == table.source { Users::NONE } else { table.rollup.users };
    let values = table.values.iter().map(|values| values.len() as u64).collect();
    let mut writer = writer(Vec::new(), schema, &Shape { rows: rollup.rows(), users, values })?;
    // Values are written out for a batch, and each may take a kilobyte.
    let rows = BATCH_ROWS / (1 + schema.dimensions().len());
    for start in (0..sorted.packed.len()).step_by(rows) {
        writer.write(&sorted.batch(schema, start, rows, &names, &columns)?)?;
    }
    let name = |code: Option<&u32>| {
        code.map_or(String::new(), |&code| names.value(code as usize).to_string())
    };
    let (min_user, max_user) = (name(sorted.users.first()), name(sorted.users.last()));
    Ok(Encoded { parquet: writer.into_inner()?, rollup, hour, min_user, max_user })
}

/// Figures of a file to be written, each a bound.
#[derive(Clone, Debug)]
pub struct Shape {
    pub rows: u64,
    /// Distinct users.
    pub users: u64,
    /// Distinct values of each dimension; of one that is left out there are none.
    pub values: Vec<u64>,
}

/// Returns the writer of a file.
pub fn writer<W: io::Write + Send>(
    sink: W,
    schema: &EventSchema,
    shape: &Shape,
) -> Result<ArrowWriter<W>> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties(schema, shape))
        .with_skip_arrow_metadata(true);
    Ok(ArrowWriter::try_new_with_options(sink, parquet_schema(schema), options)?)
}

fn properties(schema: &EventSchema, shape: &Shape) -> WriterProperties {
    let (timestamp, user) = (ColumnPath::from("timestamp"), ColumnPath::from("user_id"));
    // Rows are sorted by user, so a row group holds only its share of the users.
    let groups = shape.rows.div_ceil(ROW_GROUP_ROWS as u64).max(1);
    // The index of a column's pages says nothing where there is one page.
    let is_small = shape.rows <= SMALL_ROWS;
    let is_tiny = shape.rows <= TINY_ROWS;
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("hourglass ", env!("CARGO_PKG_VERSION")).into())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(match (is_tiny, is_small) {
            (true, _) => EnabledStatistics::None,
            (_, true) => EnabledStatistics::Chunk,
            _ => EnabledStatistics::Page,
        })
        .set_offset_index_disabled(is_small)
        .set_dictionary_enabled(!is_tiny)
        .set_column_dictionary_enabled(timestamp.clone(), false)
        .set_column_encoding(timestamp, Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(
            user.clone(),
            shape.rows >= shape.users.saturating_mul(DICTIONARY_ROWS).max(TINY_ROWS + 1),
        )
        .set_column_encoding(user.clone(), Encoding::DELTA_BYTE_ARRAY)
        .set_column_bloom_filter_enabled(user.clone(), !is_tiny)
        .set_column_bloom_filter_max_ndv(user, shape.users.div_ceil(groups).max(1));
    for (name, &values) in schema.dimensions().iter().zip(&shape.values) {
        let column = ColumnPath::from(name.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), values > 0 && !is_tiny)
            .set_column_bloom_filter_max_ndv(column, values.min(ROW_GROUP_ROWS as u64).max(1));
    }
    properties.build()
}

/// Values of the dimensions of a table, by the order of its chunks.
struct ValueColumns(Vec<Option<Coded>>);

/// Values of one dimension as codes of a dictionary.
struct Coded {
    names: StringViewArray,
    /// Code of each row, in arrival order, or [`ABSENT`].
    codes: Vec<u32>,
}

impl ValueColumns {
    fn new(schema: &EventSchema, table: &HourTable) -> ValueColumns {
        let column = |dimension: usize| {
            let names = table.values.get(dimension).filter(|names| !names.is_empty())?;
            let mut codes = Vec::with_capacity(table.rows() as usize);
            for chunk in table.chunks() {
                match chunk.values(dimension) {
                    Some(values) => codes.extend_from_slice(values),
                    None => codes.resize(codes.len() + chunk.rows(), ABSENT),
                }
            }
            Some(Coded { names: names.to_array(), codes })
        };
        ValueColumns((0..schema.dimensions().len()).map(column).collect())
    }

    /// Returns the columns of these rows, counted in arrival order.
    fn arrays(&self, rows: &[u32]) -> impl Iterator<Item = ArrayRef> {
        self.0.iter().map(move |column| -> ArrayRef {
            let Some(column) = column else {
                return Arc::new(StringArray::new_null(rows.len()));
            };
            let value = |row: &u32| match column.codes[*row as usize] {
                ABSENT => None,
                code => Some(column.names.value(code as usize)),
            };
            Arc::new(rows.iter().map(value).collect::<StringArray>())
        })
    }
}

/// Rows in file order.
struct Sorted {
    /// Codes of the users that have rows, in the order of their names.
    users: Vec<u32>,
    /// End of each of those users' rows.
    ends: Vec<usize>,
    /// `(timestamp - first) << 8 | kind`, sorted within each user; the microseconds of an hour fit
    /// in 32 bits.
    packed: Vec<u64>,
    /// Where each row was in arrival order; empty if the rows have no values of dimensions.
    arrived: Vec<u32>,
    first_us: i64,
}

impl Sorted {
    /// Sorts by user with a counting sort, then sorts the few rows of each user.
    fn new(table: &HourTable, names: &dyn NameOf) -> Sorted {
        let mut counts = vec![0_u32; names.len()];
        table
            .chunks()
            .for_each(|chunk| chunk.users.iter().for_each(|&user| counts[user as usize] += 1));
        let mut users: Vec<u32> =
            (0..names.len() as u32).filter(|&user| counts[user as usize] > 0).collect();
        users.sort_unstable_by(|&a, &b| names.name(a).cmp(names.name(b)));
        let mut next = vec![0_usize; names.len()];
        let mut ends = Vec::with_capacity(users.len());
        let mut end = 0;
        for &user in &users {
            next[user as usize] = end;
            end += counts[user as usize] as usize;
            ends.push(end);
        }
        let first_us = table.rollup.first_us;
        let mut packed = vec![0_u64; end];
        let mut arrived = vec![0_u32; if table.values.is_empty() { 0 } else { end }];
        let mut row = 0;
        for chunk in table.chunks() {
            for i in 0..chunk.rows() {
                let place = &mut next[chunk.users[i] as usize];
                packed[*place] =
                    ((chunk.timestamps_us[i] - first_us) as u64) << 8 | u64::from(chunk.kinds[i]);
                if let Some(arrived) = arrived.get_mut(*place) {
                    *arrived = row;
                }
                row += 1;
                *place += 1;
            }
        }
        let mut start = 0;
        for &end in &ends {
            if arrived.is_empty() {
                packed[start..end].sort_unstable();
            } else {
                sort_together(&mut packed[start..end], &mut arrived[start..end]);
            }
            start = end;
        }
        Sorted { users, ends, packed, arrived, first_us }
    }

    fn batch(
        &self,
        schema: &EventSchema,
        start: usize,
        len: usize,
        names: &dyn NameOf,
        values: &ValueColumns,
    ) -> Result<RecordBatch> {
        let end = self.packed.len().min(start + len);
        let rows = &self.packed[start..end];
        let timestamps = TimestampMicrosecondArray::from_iter_values(
            rows.iter().map(|p| self.first_us + (p >> 8) as i64),
        );
        let mut user = self.ends.partition_point(|&end| end <= start);
        let users = (start..start + rows.len()).map(|row| {
            if self.ends[user] <= row {
                user += 1;
            }
            names.name(self.users[user])
        });
        let users = StringArray::from_iter_values(users);
        let kinds = schema.kind_names();
        let events =
            StringArray::from_iter_values(rows.iter().map(|p| &kinds[usize::from(*p as u8)]));
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(timestamps.with_timezone("UTC")), Arc::new(users), Arc::new(events)];
        match self.arrived.get(start..end) {
            Some(arrived) => columns.extend(values.arrays(arrived)),
            None => {
                let nulls: ArrayRef = Arc::new(StringArray::new_null(rows.len()));
                columns.resize(OWN_COLUMNS + schema.dimensions().len(), nulls);
            }
        }
        Ok(RecordBatch::try_new(parquet_schema(schema), columns)?)
    }
}

/// Sorts the keys, and the others along with them.
fn sort_together(keys: &mut [u64], others: &mut [u32]) {
    let mut pairs: Vec<(u64, u32)> = keys.iter().copied().zip(others.iter().copied()).collect();
    pairs.sort_unstable();
    for (i, (key, other)) in pairs.into_iter().enumerate() {
        (keys[i], others[i]) = (key, other);
    }
}

/// Lookup of user names by code.
trait NameOf {
    fn len(&self) -> usize;
    fn name(&self, code: u32) -> &str;
}

impl NameOf for arrow::array::StringViewArray {
    fn len(&self) -> usize {
        Array::len(self)
    }

    fn name(&self, code: u32) -> &str {
        self.value(code as usize)
    }
}

/// Adds a file's users to `users`.
pub fn read_users(parquet: Bytes, users: &mut Interner) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(parquet)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["user_id"]);
    for batch in builder.with_projection(mask).with_batch_size(8_192).build()? {
        let column = arrow::compute::cast(batch?.column(0), &DataType::Utf8View)?;
        let mut last = None;
        for name in column.as_string_view().iter().flatten() {
            if last.replace(name) != Some(name) {
                users.intern(name);
            }
        }
    }
    Ok(())
}

/// Reads which users a file has and what they did: calls `each` with every user and the kinds of
/// their events, once for a run of equal users. A user may come in several runs, and a kind several
/// times in one.
pub fn read_user_kinds(
    schema: &EventSchema,
    file: impl ChunkReader + 'static,
    mut each: impl FnMut(&str, &[EventKind]) -> Result<()>,
) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["user_id", "event"]);
    let mut kinds: Vec<EventKind> = Vec::new();
    for batch in builder.with_projection(mask).with_batch_size(8_192).build()? {
        let batch = batch?;
        let column = |name: &str| match batch.column_by_name(name) {
            Some(column) => Ok(arrow::compute::cast(column, &DataType::Utf8View)?),
            None => Err(ArrowError::SchemaError(format!("the file has no column {name}"))),
        };
        let (users, events) = (column("user_id")?, column("event")?);
        let (users, events) = (users.as_string_view(), events.as_string_view());
        let (mut start, mut known) = (0, None::<(&str, EventKind)>);
        while start < batch.num_rows() {
            let user = users.value(start);
            kinds.clear();
            let mut end = start;
            while end < batch.num_rows() && users.value(end) == user {
                let name = events.value(end);
                let kind = match known {
                    Some((last, kind)) if last == name => kind,
                    _ => schema.kind(name).ok_or_else(|| {
                        ArrowError::ParseError(format!("an event of the kind {name:?}"))
                    })?,
                };
                known = Some((name, kind));
                if kinds.last() != Some(&kind) {
                    kinds.push(kind);
                }
                end += 1;
            }
            if !users.is_null(start) {
                each(user, &kinds)?;
            }
            start = end;
        }
    }
    Ok(())
}

/// Reports whether a file has rows of some of the users. Row groups whose statistics or bloom
/// filters exclude all of them are not read.
pub fn has_users(file: impl ChunkReader + 'static, users: &BTreeSet<String>) -> Result<bool> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["user_id"]);
    let Some(column) = (0..builder.parquet_schema().num_columns())
        .find(|column| builder.parquet_schema().column(*column).name() == "user_id")
    else {
        return Ok(false);
    };
    let mut groups = Vec::new();
    for group in 0..builder.metadata().num_row_groups() {
        let filter = builder.get_row_group_column_bloom_filter(group, column)?;
        let may_have = |user: &String| filter.as_ref().is_none_or(|f| f.check(&user.as_str()));
        if users.iter().any(may_have) {
            groups.push(group);
        }
    }
    for batch in
        builder.with_projection(mask).with_row_groups(groups).with_batch_size(8_192).build()?
    {
        let column = arrow::compute::cast(batch?.column(0), &DataType::Utf8View)?;
        if column.as_string_view().iter().flatten().any(|user| users.contains(user)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Summary of a file's rows, obtained by reading all of them.
pub struct Contents {
    /// Rollup of the rows, with the users counted.
    pub rollup: Rollup,
    pub users: Interner,
    /// Number of rows, including those of an unknown kind.
    pub rows: u64,
    /// What some row has that no event has: an unknown kind, or no value.
    pub unusable: Option<String>,
    /// Whether the rows are in the order of [`encode`].
    pub sorted: bool,
}

/// Reads every row of the file identified by `source`.
pub fn read_contents(schema: &EventSchema, parquet: Bytes, source: SourceSet) -> Result<Contents> {
    let mut users = Interner::default();
    let mut rollup = Rollup { sources: source, ..Rollup::EMPTY };
    let (mut rows, mut sorted, mut unusable) = (0, true, None);
    let mut last = (String::new(), i64::MIN, None);
    let builder = ParquetRecordBatchReaderBuilder::try_new(parquet)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["timestamp", "user_id", "event"]);
    for batch in builder.with_projection(mask).with_batch_size(8_192).build()? {
        let batch = batch?;
        let column = |name: &str, as_type| -> Result<ArrayRef> {
            let column = batch.column_by_name(name).ok_or_else(|| {
                arrow::error::ArrowError::SchemaError(format!(
                    "a data file lacks the column {name}"
                ))
            })?;
            Ok(arrow::compute::cast(column, &as_type)?)
        };
        let timestamps = column("timestamp", timestamp_type())?;
        let names = column("user_id", DataType::Utf8View)?;
        let events = column("event", DataType::Utf8View)?;
        let timestamps = timestamps.as_primitive::<TimestampMicrosecondType>();
        for ((us, name), event) in
            timestamps.iter().zip(names.as_string_view()).zip(events.as_string_view())
        {
            let kind = event.and_then(|event| schema.kind(event));
            if unusable.is_none() && (kind.is_none() || us.is_none() || name.is_none()) {
                unusable = Some(unusable_row(us, name, event));
            }
            if let Some(kind) = kind {
                rollup.counts.add(kind, 1);
            }
            if let Some(us) = us {
                rollup.first_us = rollup.first_us.min(us);
                rollup.last_us = rollup.last_us.max(us);
            }
            let (user, at) = (name.unwrap_or_default(), us.unwrap_or(i64::MIN));
            sorted &= (last.0.as_str(), last.1, last.2) <= (user, at, kind);
            (last.1, last.2) = (at, kind);
            if name.is_some() && last.0 != user {
                users.intern(user);
                last.0 = user.to_string();
            }
            rows += 1;
        }
    }
    let rollup = rollup.with_users(users.len() as u64);
    Ok(Contents { rollup, users, rows, unusable, sorted })
}

fn unusable_row(us: Option<i64>, user: Option<&str>, event: Option<&str>) -> String {
    match (us, user, event) {
        (None, ..) => "rows without a timestamp".into(),
        (_, None, _) => "rows without a user_id".into(),
        (.., None) => "rows without an event".into(),
        (.., Some(event)) => {
            format!(
                "events of the kind {event:?}, which is not declared (`hourglass schema add kind`)"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventBatch, EventKind};
    use crate::hour::Hour;
    use crate::storage::file_names::FileNames;
    use crate::storage::memory::memtable::MemtableWriter;

    #[test]
    fn a_file_holds_the_hours_rows_sorted_and_its_rollup() {
        let mut batch = EventBatch::new();
        for i in 0..1_000_i64 {
            let kind = if i % 3 == 0 { EventKind::CLICK } else { EventKind::IMPRESSION };
            batch.push(i * 7_919 % 1_000_000, &format!("user-with-a-long-name-{}", i % 17), kind);
        }
        let mut writer = MemtableWriter::new(1, FileNames::new("a node"));
        writer.apply(&batch, 1_000, |_| false);
        let table = &writer.view().hours[&Hour(0)];
        let schema = EventSchema::default();
        let encoded = encode(&schema, table).unwrap();
        let rollup = &encoded.rollup;
        assert_eq!(
            (rollup.count(EventKind::CLICK), rollup.unique_users(), rollup.rows()),
            (334, Some(17), 1_000)
        );
        assert_eq!(encoded.hour, Users::NONE, "the file is all that the table knows of");
        assert_eq!(encoded.max_user, "user-with-a-long-name-9");
        let bytes = Bytes::from(encoded.parquet);
        let contents = read_contents(&schema, bytes.clone(), table.source).unwrap();
        assert_eq!(
            (contents.rollup, contents.rows, contents.sorted),
            (encoded.rollup, 1_000, true)
        );

        let mut rows = Vec::new();
        for read in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let read = read.unwrap();
            let timestamps = read.column(0).as_primitive::<TimestampMicrosecondType>();
            let (users, events) =
                (read.column(1).as_string::<i32>(), read.column(2).as_string::<i32>());
            for i in 0..read.num_rows() {
                rows.push((
                    users.value(i).to_string(),
                    timestamps.value(i),
                    events.value(i).to_string(),
                ));
            }
        }
        let mut expected: Vec<_> = batch
            .iter()
            .map(|e| (e.user.to_string(), e.timestamp_us, schema.name(e.kind).to_string()))
            .collect();
        expected.sort();
        assert_eq!(rows, expected);
    }
}
