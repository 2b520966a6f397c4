//! Export of data to a folder for a data lake: hours, as Hive partitions in Parquet, CSV or NDJSON
//! or as a Delta table; or the result of one statement, as a file or as a Delta table.
//!
//! The receipt, `_receipt.ndjson` in the folder, has one line for every file that is complete and
//! synced: path, rows, bytes and SHA-256. Running an interrupted export again continues it: a file
//! listed with as many rows as the store has now is not written again, which is safe because rows
//! are only ever added to an hour.

mod delta;
mod file;

pub use self::file::ExportedFile;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use sha2::{Digest, Sha256};

use crate::decode;
use crate::error::{Error, Result};
use crate::event::{Declaration, EventSchema};
use crate::hour::{Clock, Hour, SystemClock};
use crate::query::{Params, QueryEngine, ResultStream};
use crate::rows::{RowFormat, RowWriter};
use crate::storage::vfs::Disk;
use crate::storage::{self, Engine, EngineOptions, META_FILE, Snapshot};

/// Name of the receipt. Lake engines ignore files whose names begin with an underscore.
pub const RECEIPT: &str = "_receipt.ndjson";

/// Returns the query for an hour's rows, in a total order, so that the same rows always produce the
/// same file.
fn rows_of_hour(schema: &EventSchema) -> String {
    let quoted: Vec<String> =
        schema.dimensions().iter().map(|name| format!(", \"{name}\"")).collect();
    let dimensions = quoted.concat();
    format!(
        "SELECT timestamp, user_id, event{dimensions} FROM events WHERE timestamp >= $start AND \
        timestamp < $end ORDER BY user_id, timestamp, event{dimensions}"
    )
}

/// Format of exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    Parquet,
    /// For hours: a store, whose `events` folder is the Delta table. For a statement: a Delta table
    /// in the folder itself.
    Delta,
    Csv,
    Ndjson,
}

impl ExportFormat {
    fn rows(self) -> (RowFormat, &'static str) {
        match self {
            ExportFormat::Parquet | ExportFormat::Delta => (RowFormat::Parquet, "parquet"),
            ExportFormat::Csv => (RowFormat::Csv, "csv"),
            ExportFormat::Ndjson => (RowFormat::Ndjson, "ndjson"),
        }
    }
}

/// Totals of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Files, or hours of a Delta table, that existed already.
    pub skipped: u64,
}

/// An export in progress to one folder.
pub struct Exporter {
    query: Arc<QueryEngine>,
    snapshot: Arc<Snapshot>,
    output: PathBuf,
    receipt: Receipt,
}

impl Exporter {
    /// Opens the folder, creating it if needed, and reads its receipt.
    pub fn open(
        query: Arc<QueryEngine>,
        snapshot: Arc<Snapshot>,
        output: &Path,
    ) -> Result<Exporter> {
        fs::create_dir_all(output).map_err(Error::io(output, "create"))?;
        let receipt = Receipt::open(output)?;
        // Create the file right away: it marks the folder as an export, even while it is empty.
        let mark = OpenOptions::new().create(true).append(true).open(&receipt.path);
        mark.map_err(Error::io(&receipt.path, "create"))?;
        Ok(Exporter { query, snapshot, output: output.to_path_buf(), receipt })
    }

    /// Exports the hours `first..=last` that have rows. Calls `progress` with (done, total) after
    /// each.
    pub async fn hours(
        &mut self,
        first: Hour,
        last: Hour,
        format: ExportFormat,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Summary> {
        let hours = self.snapshot.hours_within(first, last);
        let mut summary = Summary::default();
        let delta = match format {
            ExportFormat::Delta => {
                let declared = Declaration::of(&self.snapshot.schema);
                if self.output.join(META_FILE).exists()
                    && storage::declared(&Disk, &self.output)? != self.snapshot.schema
                {
                    return Err(Error::Invalid(format!(
                        "{}: the export there has other kinds or dimensions; export to a new directory",
                        self.output.display()
                    )));
                }
                let options = EngineOptions { declared, ..EngineOptions::default() };
                Some(Engine::open(&self.output, options)?)
            }
            _ => None,
        };
        for (done, &hour) in (1..).zip(&hours) {
            match &delta {
                Some(engine) => self.hour_to_delta(hour, engine, &mut summary).await?,
                None => self.hour_to_file(hour, format, &mut summary).await?,
            }
            progress(done, hours.len() as u64);
        }
        if let Some(engine) = delta {
            engine.flush().await?;
            let files = engine
                .snapshot()
                .files
                .values()
                .flat_map(|hour| hour.files.clone())
                .collect::<Vec<_>>();
            summary.files = files.len() as u64;
            summary.bytes = files.iter().map(|file| file.bytes).sum();
            tokio::task::block_in_place(|| engine.close())?;
        }
        Ok(summary)
    }

    async fn hour_to_file(
        &mut self,
        hour: Hour,
        format: ExportFormat,
        summary: &mut Summary,
    ) -> Result<()> {
        let (rows_format, extension) = format.rows();
        let path = format!("{}/events.{extension}", hour.partition_path());
        let rows = self.snapshot.rollup(hour).rows();
        if self.receipt.has(&path, |file| file.rows == rows) {
            summary.skipped += 1;
            return Ok(());
        }
        let answer = self.rows_of(hour).await?;
        let (file, _) = self.write(answer, &path, rows_format).await?;
        summary.add(&file);
        self.receipt.append(file)
    }

    /// Appends an hour to the Delta table, as one batch, so that an interrupted export has all of
    /// its rows or none.
    async fn hour_to_delta(
        &self,
        hour: Hour,
        engine: &Engine,
        summary: &mut Summary,
    ) -> Result<()> {
        let rows = self.snapshot.rollup(hour).rows();
        match engine.snapshot().rollup(hour).rows() {
            0 => {}
            there if there == rows => {
                summary.skipped += 1;
                return Ok(());
            }
            there => {
                return Err(Error::Invalid(format!(
                    "{}: {hour} was exported with {there} rows and now has {rows}; export to a \
                    new directory",
                    self.output.display()
                )));
            }
        }
        let mut answer = self.rows_of(hour).await?;
        let mut events = crate::event::EventBatch::new();
        while let Some(batch) = answer.next().await {
            let batch = decode::from_record_batch(&self.snapshot.schema, &batch?)
                .map_err(|error| Error::Invalid(error.to_string()))?;
            events.extend(&batch);
        }
        summary.rows += rows;
        engine.append(events).await?;
        Ok(())
    }

    /// Exports the result of a statement as one file.
    pub async fn answer(&mut self, sql: &str, format: ExportFormat) -> Result<Summary> {
        let (rows_format, extension) = format.rows();
        let lsn = self.snapshot.active.last_lsn;
        // Delta tables require that a file never changes under its name.
        let path = match format {
            ExportFormat::Delta => format!("rows-{}.{extension}", answer_name(sql, lsn)),
            _ => format!("rows.{extension}"),
        };
        let mut summary = Summary::default();
        if self
            .receipt
            .has(&path, |file| file.query.as_deref() == Some(sql) && file.lsn == Some(lsn))
        {
            summary.skipped += 1;
            return Ok(summary);
        }
        let mut session = self.query.new_session();
        let answer = self.query.run_text(&mut session, &self.snapshot, sql, Params::None).await?;
        let (file, schema) = self.write(answer, &path, rows_format).await?;
        let file = ExportedFile { query: Some(sql.to_string()), lsn: Some(lsn), ..file };
        if format == ExportFormat::Delta {
            delta::replace(&self.output, &schema, &file, SystemClock.now_us() / 1_000).await?;
        }
        summary.add(&file);
        self.receipt.append(file)?;
        Ok(summary)
    }

    async fn rows_of(&self, hour: Hour) -> Result<ResultStream> {
        let instant = |us: i64| {
            datafusion::scalar::ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()))
        };
        let bounds = [("start", hour.start_us()), ("end", hour.end_us())];
        let sql = rows_of_hour(&self.snapshot.schema);
        let params = Params::Named(bounds.map(|(name, us)| (name.to_string(), instant(us))).into());
        self.query.run_text(&mut self.query.new_session(), &self.snapshot, &sql, params).await
    }

    /// Writes a result to a file under a temporary name, syncs it and renames it; also returns its
    /// schema.
    async fn write(
        &self,
        mut answer: ResultStream,
        path: &str,
        format: RowFormat,
    ) -> Result<(ExportedFile, SchemaRef)> {
        let target = self.output.join(path);
        let folder = target.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let name = target.file_name().expect("a file has a name").to_string_lossy();
        let temporary = folder.join(format!(".{name}.partial"));
        let file = File::create(&temporary).map_err(Error::io(&temporary, "create"))?;
        let output = Hashing {
            file: BufWriter::with_capacity(256 << 10, file),
            hash: Sha256::new(),
            bytes: 0,
        };
        let mut writer = RowWriter::new(format, &answer.schema, output)?;
        let (mut rows, schema) = (0, writer.schema().clone());
        while let Some(batch) = answer.next().await {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
        let Hashing { file, hash, bytes } = writer.finish()?;
        let file = file
            .into_inner()
            .map_err(|error| Error::io(&temporary, "write")(error.into_error()))?;
        file.sync_all().map_err(Error::io(&temporary, "sync"))?;
        fs::rename(&temporary, &target).map_err(Error::io(&target, "rename to"))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io(folder, "sync"))?;
        let sha256 = hex(&hash.finalize());
        Ok((
            ExportedFile { path: path.to_string(), rows, bytes, sha256, query: None, lsn: None },
            schema,
        ))
    }
}

/// Returns the part of a file's name that identifies a statement and a state of the store.
fn answer_name(sql: &str, lsn: u64) -> String {
    let hash = Sha256::new().chain_update(sql).chain_update(lsn.to_le_bytes()).finalize();
    hex(&hash[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Summary {
    fn add(&mut self, file: &ExportedFile) {
        self.files += 1;
        self.rows += file.rows;
        self.bytes += file.bytes;
    }
}

/// Writer that hashes and counts the bytes it passes on.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Receipt file, with its entries by path.
struct Receipt {
    path: PathBuf,
    output: PathBuf,
    files: BTreeMap<String, ExportedFile>,
    lines: Option<File>,
}

impl Receipt {
    fn open(output: &Path) -> Result<Receipt> {
        let path = output.join(RECEIPT);
        let mut files = BTreeMap::new();
        match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(&path, "read")(error)),
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    let line = line.map_err(Error::io(&path, "read"))?;
                    // A partial last line is ignored; its file is written again.
                    if let Ok(file) = serde_json::from_str::<ExportedFile>(&line) {
                        files.insert(file.path.clone(), file);
                    }
                }
            }
        }
        Ok(Receipt { path, output: output.to_path_buf(), files, lines: None })
    }

    /// Reports whether the receipt lists the file, `is_current` accepts the entry, and the file
    /// exists with the listed size.
    fn has(&self, path: &str, is_current: impl Fn(&ExportedFile) -> bool) -> bool {
        let Some(file) = self.files.get(path).filter(|file| is_current(file)) else { return false };
        fs::metadata(self.output.join(path)).is_ok_and(|meta| meta.len() == file.bytes)
    }

    fn append(&mut self, file: ExportedFile) -> Result<()> {
        let mut line = serde_json::to_string(&file).expect("plain data");
        line.push('\n');
        if self.lines.is_none() {
            // Ends a partial line left by an interrupted export.
            line.insert(0, '\n');
            let options = OpenOptions::new().create(true).append(true).open(&self.path);
            self.lines = Some(options.map_err(Error::io(&self.path, "open"))?);
        }
        let lines = self.lines.as_mut().expect("just opened");
        lines.write_all(line.as_bytes()).map_err(Error::io(&self.path, "write"))?;
        self.files.insert(file.path.clone(), file);
        Ok(())
    }
}
