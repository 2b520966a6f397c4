//! COPY between the table and the client (PostgreSQL manual, section 55.2.7).

use std::borrow::Cow;
use std::time::Duration;

use datafusion::scalar::ScalarValue;
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};

use super::budget::Held;
use super::error::{End, Fault, PgError, copy_context};
use super::ingest::{Field, Rowwise, Target};
use super::message::Message;
use super::session::Session;
use super::value::copy_in::{CopyFields, CopyReader, CopyRow};
use super::value::copy_out::CopyWriter;
use super::value::format::Format;
use super::value::parameter::parameter;
use super::value::types::TIMESTAMPTZ;
use crate::event::EventBatch;
use crate::query::Params;
use crate::query::command::{CopyFormat, CopyIn, CopyOut};
use crate::server::access::Need;

/// Maximum size of one message with rows.
const DATA_BYTES: usize = 16 << 20;

/// Maximum size of a row.
const ROW_BYTES: usize = 1 << 20;

/// Events that are stored at a time where a COPY may be stored in parts.
const CHUNK_EVENTS: usize = 100_000;

impl Session<'_> {
    /// Sends the rows of a statement, and returns the tag.
    pub async fn copy_out(&mut self, copy: &CopyOut) -> Result<String, Fault> {
        let mut rows = self.open(&copy.query, Params::None).await?;
        let columns = rows.schema().fields().len();
        let (format, formats) = formats(copy.options.format, columns)?;
        let mut writer =
            CopyWriter::new(copy.options.clone(), rows.schema()).map_err(PgError::from)?;
        self.wire.send(&CopyOutResponse::new(format, columns as i16, formats));
        writer.start(&mut self.wire.output).map_err(PgError::from)?;
        let cancelled = self.login.registered.cancelled.clone();
        let sent = rows
            .each(self.wire, &cancelled, u64::MAX, |batch, range, wire| {
                writer.rows(batch, range, &mut wire.output).map_err(PgError::from)
            })
            .await?;
        writer.finish(&mut self.wire.output).map_err(PgError::from)?;
        self.wire.send(&CopyDone::new());
        Ok(format!("COPY {}", sent.rows))
    }

    /// Takes rows from the client as events, and returns the tag.
    pub async fn copy_in(&mut self, copy: &CopyIn) -> Result<String, Fault> {
        self.allow_writing()?;
        let rowwise = self.rowwise(&copy.columns)?;
        let names = rowwise.targets.iter().map(|target| self.column_name(*target)).collect();
        let reader =
            CopyReader::new(copy.options.clone(), names, ROW_BYTES).map_err(PgError::from)?;
        let (format, formats) = formats(copy.options.format, rowwise.targets.len())?;
        self.wire.send(&CopyInResponse::new(format, formats.len() as i16, formats));
        self.wire.flush().await.map_err(End::from)?;
        let mut copying = Copying {
            reader,
            rowwise,
            batch: EventBatch::new(),
            in_parts: self.options.copy_chunks() && !self.transaction.is_block(),
            limit: self.service.options.max_body_bytes,
            rows: 0,
            stored: 0,
            held: self.budgets.pending.take(0).ok_or_else(no_room)?,
        };
        match self.take_copy(&mut copying).await {
            Ok(()) => Ok(format!("COPY {}", copying.rows)),
            Err(Fault::Statement(error)) if copying.stored > 0 => {
                let message =
                    format!("{}; {} rows before it are stored", error.message, copying.stored);
                Err(Fault::Statement(PgError { message: message.into(), ..error }))
            }
            Err(fault) => Err(fault),
        }
    }

    fn column_name(&self, target: Target) -> String {
        match target {
            Target::Timestamp => "timestamp".into(),
            Target::User => "user_id".into(),
            Target::Kind => "event".into(),
            Target::Derived => "date".into(),
            Target::Dimension(dimension) => self.service.schema.dimensions()[dimension].to_string(),
        }
    }

    async fn take_copy(&mut self, copying: &mut Copying) -> Result<(), Fault> {
        loop {
            let timeout = self.service.options.body_timeout;
            let frame = tokio::time::timeout(timeout, self.wire.read(DATA_BYTES)).await;
            let frame = frame.map_err(|_| too_slow(timeout))?.map_err(End::from)?;
            match Message::decode(frame.kind, frame.body)? {
                Message::CopyData(data) => {
                    copying.take(&data)?;
                    copying.hold()?;
                    if copying.in_parts && copying.batch.len() >= CHUNK_EVENTS {
                        self.store_part(copying).await?;
                    }
                }
                Message::CopyDone => break,
                Message::CopyFail(reason) => {
                    let reason = format!("COPY from stdin failed: {reason}");
                    return Err(PgError::new("57014", reason).into());
                }
                // A client may send Sync before the end of its data, and does not wait for it.
                Message::Flush | Message::Sync => {}
                _ => {
                    let reason = "unexpected message during COPY from stdin";
                    return Err(PgError::fatal("08P01", reason).into());
                }
            }
        }
        copying.end()?;
        // The token may have been revoked meanwhile.
        self.check_access(Need::Write)?;
        copying.held = self.budgets.pending.take(0).ok_or_else(no_room)?;
        let batch = std::mem::take(&mut copying.batch);
        self.observe(&batch);
        let limit = self.service.options.max_body_bytes;
        self.transaction.add(batch, limit, &self.budgets.pending)?;
        Ok(())
    }

    async fn store_part(&mut self, copying: &mut Copying) -> Result<(), Fault> {
        self.check_access(Need::Write)?;
        let batch = std::mem::take(&mut copying.batch);
        self.observe(&batch);
        let rows = batch.len() as u64;
        self.service.engine.append(batch).await.map_err(PgError::from)?;
        copying.stored += rows;
        copying.held = self.budgets.pending.take(0).ok_or_else(no_room)?;
        Ok(())
    }
}

fn too_slow(timeout: Duration) -> Fault {
    let reason = format!("no rows of the COPY came for {timeout:?} (body_timeout)");
    PgError::fatal("08006", reason).into()
}

fn no_room() -> PgError {
    PgError::new("53200", "too many rows wait to be stored; try again in a moment")
}

/// A COPY FROM in progress.
struct Copying {
    reader: CopyReader,
    rowwise: Rowwise,
    batch: EventBatch,
    /// Whether it is stored in parts.
    in_parts: bool,
    limit: usize,
    rows: u64,
    /// Rows that are stored already.
    stored: u64,
    /// What the batch takes of the memory that all sessions share.
    held: Held,
}

impl Copying {
    fn take(&mut self, data: &[u8]) -> Result<(), PgError> {
        let Copying { reader, rowwise, batch, in_parts, limit, rows, .. } = self;
        reader.feed(data, |row| push(rowwise, batch, rows, &row))?;
        if !*in_parts && batch.byte_len() > *limit {
            let reason = format!("the rows of a COPY may have {limit} bytes (max_body_bytes)");
            return Err(PgError::new("54000", reason).with_hint(
                "SET hourglass.copy_chunks = on stores them in parts, each whole or not at all.",
            ));
        }
        Ok(())
    }

    /// Takes memory for the batch from that of all sessions.
    fn hold(&mut self) -> Result<(), PgError> {
        match self.held.grow_to(self.batch.byte_len()) {
            true => Ok(()),
            false => Err(no_room()),
        }
    }

    fn end(&mut self) -> Result<(), PgError> {
        let Copying { reader, rowwise, batch, rows, .. } = self;
        reader.finish(|row| push(rowwise, batch, rows, &row))
    }
}

fn push(
    rowwise: &Rowwise,
    batch: &mut EventBatch,
    rows: &mut u64,
    row: &CopyRow<'_>,
) -> Result<(), PgError> {
    *rows += 1;
    let pushed = rowwise.push(batch, |i| match &row.fields {
        CopyFields::Texts(texts) => {
            Ok(texts[i].as_deref().map_or(Field::Null, |text| Field::Text(Cow::Borrowed(text))))
        }
        CopyFields::Binary(values) => binary_field(values[i], rowwise.targets[i]),
    });
    pushed.map_err(|error| PgError { context: Some(copy_context(row.line)), ..error })
}

fn binary_field(value: Option<&[u8]>, target: Target) -> Result<Field<'_>, PgError> {
    let Some(bytes) = value else { return Ok(Field::Null) };
    if target == Target::Timestamp {
        return match parameter(TIMESTAMPTZ, Format::Binary, Some(bytes))? {
            ScalarValue::TimestampMicrosecond(Some(us), _) => Ok(Field::Time(us)),
            _ => Err(PgError::new("22P03", "a timestamp of 8 bytes is expected")),
        };
    }
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| PgError::new("22021", "a text is not UTF-8"))?;
    Ok(Field::Text(text.into()))
}

/// Returns the codes of the format and of each column's.
fn formats(format: CopyFormat, columns: usize) -> Result<(i8, Vec<i16>), PgError> {
    let code = i8::from(format == CopyFormat::Binary);
    if columns > 1_600 {
        return Err(PgError::new("54011", "a COPY may have 1600 columns"));
    }
    Ok((code, vec![code.into(); columns]))
}
