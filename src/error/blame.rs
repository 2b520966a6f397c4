//! Tells whose fault a failed statement is: its author's, or the store's that it read.
//!
//! An error comes wrapped in the errors of the layers that it passed. What was met at the very bottom decides. The disk, the
//! object store and the decoders of files are the operator's to look at; nearly everything else is what somebody asked for: a
//! statement sees one immutable snapshot, so what fails for it fails in the same way each time until it is written otherwise.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

use super::kinds::Error;
use super::pushed_down::{chain, pushed_down};

/// Whether the statement is at fault, and not what runs it.
pub fn is_statements(fault: &DataFusionError) -> bool {
    pushed_down(fault).is_some() || !chain(fault).any(is_stores)
}

/// Whether a file of the store could not be read for what it is. Statements read no other Parquet.
pub fn is_data_file(fault: &DataFusionError) -> bool {
    let is_file = |error: &(dyn StdError + 'static)| {
        matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. }))
            || matches!(error.downcast_ref(), Some(ArrowError::ParquetError(_)))
            || error.downcast_ref().is_some_and(|error| !matches!(error, ParquetError::External(_)))
    };
    pushed_down(fault).is_none() && chain(fault).any(is_file)
}

/// Whether an error of this kind tells of a disk, a file or a task of ours.
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
    error.is::<std::io::Error>() || error.is::<object_store::Error>()
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
            wrapped(ArrowError::ComputeError(format!("{PUSHED_DOWN}{inner:?}"))).context("reading a file")
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
        let damaged = Error::Damaged { path: "a".into(), offset: 0, reason: "x".into(), advice: "" };
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
