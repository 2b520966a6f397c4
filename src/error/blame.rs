//! Error classification: decides whether a failed statement is the fault of its author or of the
//! store.
//!
//! An error arrives wrapped by every layer that it passed; the innermost cause decides. Errors of
//! the disk, the object store and the file decoders are the operator's. Nearly all others are the
//! author's: a statement reads one immutable snapshot, so it fails the same way each time until it
//! is rewritten.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

use super::kinds::Error;
use super::pushed_down::{chain, pushed_down};
use crate::storage;

/// Reports whether the statement itself is at fault.
pub fn is_statements(fault: &DataFusionError) -> bool {
    pushed_down(fault).is_some() || !chain(fault).any(is_stores)
}

/// Reports whether a data file is missing or unreadable. Statements read no other Parquet files.
pub fn is_data_file(fault: &DataFusionError) -> bool {
    let is_file = |error: &(dyn StdError + 'static)| {
        matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. }))
            || matches!(error.downcast_ref(), Some(ArrowError::ParquetError(_)))
            || error.downcast_ref().is_some_and(|error| !matches!(error, ParquetError::External(_)))
    };
    pushed_down(fault).is_none() && chain(fault).any(is_file)
}

/// Reports whether the error comes from a disk, a file or one of our tasks.
fn is_stores(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        use DataFusionError::{ExecutionJoin, IoError, ObjectStore};
        return matches!(error, IoError(_) | ObjectStore(_) | ExecutionJoin(_));
    }
    if let Some(error) = error.downcast_ref::<ArrowError>() {
        use ArrowError::{CDataInterface, IoError, IpcError, ParquetError};
        return matches!(error, CDataInterface(_) | IoError(..) | IpcError(_) | ParquetError(_));
    }
    if let Some(error) = error.downcast_ref::<ParquetError>() {
        return !matches!(error, ParquetError::External(_));
    }
    if let Some(error) = error.downcast_ref::<Error>() {
        return !error.is_callers();
    }
    error.is::<storage::Error>()
        || error.is::<std::io::Error>()
        || error.is::<object_store::Error>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::pushed_down::PUSHED_DOWN;

    fn wrapped(error: ArrowError) -> DataFusionError {
        DataFusionError::from(ParquetError::from(error))
    }

    #[test]
    fn a_predicate_that_fails_within_a_file_is_the_statements_fault() {
        let fault = |inner: DataFusionError| {
            wrapped(ArrowError::ComputeError(format!("{PUSHED_DOWN}{inner:?}")))
                .context("reading a file")
        };
        let cast = fault(ArrowError::CastError("Cannot cast string 'u\"1' to Int64".into()).into());
        assert!(is_statements(&cast));
        assert_eq!(pushed_down(&cast).unwrap(), "Cannot cast string 'u\"1' to Int64");
        let division = fault(ArrowError::DivideByZero.into());
        assert_eq!(pushed_down(&division).unwrap(), "Divide by zero error");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not() {
        assert!(!is_statements(&ParquetError::EOF("footer".into()).into()));
        assert!(!is_statements(&wrapped(ArrowError::ParquetError("page".into()))));
        let gone = object_store::Error::NotFound { path: "a".into(), source: "b".into() };
        let gone = DataFusionError::from(ParquetError::from(gone));
        assert!(!is_statements(&gone) && is_data_file(&gone));
        assert!(!is_statements(&DataFusionError::IoError(std::io::Error::other("disk"))));
        let damaged =
            storage::Error::Damaged { path: "a".into(), offset: 0, reason: "x".into(), advice: "" };
        assert!(!is_statements(&DataFusionError::External(Box::new(damaged)).context("reading")));
    }

    #[test]
    fn what_was_asked_for_wrongly_is() {
        for fault in [
            DataFusionError::Plan("no such column".into()),
            DataFusionError::Internal("an unexpected shape".into()),
            DataFusionError::External("regex".into()),
            ArrowError::DivideByZero.into(),
            wrapped(ArrowError::CastError("x".into())),
        ] {
            assert!(is_statements(&fault), "{fault}");
        }
    }
}
