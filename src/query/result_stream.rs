//! Result stream: the rows of a statement as its task produces them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;

use super::slots::AbortOnDrop;
use super::stats::recorder::StatsRecorder;
use crate::error::{Error, Result};

/// The rows of a statement, in batches. Dropping it cancels the statement.
#[derive(Debug)]
pub struct ResultStream {
    pub schema: SchemaRef,
    /// The same columns as the plan describes them: with the metadata that says which type of
    /// PostgreSQL each has.
    pub described: SchemaRef,
    pub recorder: Arc<StatsRecorder>,
    pub(super) batches: mpsc::Receiver<Message>,
    pub(super) ended: bool,
    /// Ended when this is dropped.
    pub(super) _task: AbortOnDrop,
}

/// A batch, or `None` at the end. A channel that closes without the `None` means that the task
/// panicked.
pub(super) type Message = Result<Option<RecordBatch>>;

impl ResultStream {
    /// Returns the next batch; `None` at the end and after an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.ended {
            return None;
        }
        let message = self.batches.recv().await.unwrap_or(Err(Error::Panicked));
        self.ended = !matches!(message, Ok(Some(_)));
        message.transpose()
    }

    /// Collects all batches.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}
