//! Conversions from the errors of libraries to [`Error`].

use super::kinds::Error;
use super::{blame, fault};
use crate::event::Rejection;
use crate::storage;

/// Errors that both the storage engine and its callers can raise map to one variant.
impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Error {
        match error {
            storage::Error::Busy(limit) => Error::Busy(limit),
            storage::Error::Config(text) => Error::Config(text),
            storage::Error::AsOf(reason) => Rejection::new("as_of", reason).into(),
            storage::Error::Closed => Error::Closed,
            other => Error::Storage(other),
        }
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Error {
        use datafusion::error::DataFusionError as Fault;
        let error = match error {
            // An error of ours that passed through DataFusion is unwrapped unchanged.
            Fault::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => return *ours,
                Err(inner) => match inner.downcast::<storage::Error>() {
                    Ok(ours) => return Error::from(*ours),
                    Err(inner) => Fault::External(inner),
                },
            },
            other => other,
        };
        if let Fault::External(root) = error.find_root()
            && let Some(Error::Limit(text)) = root.downcast_ref::<Error>()
        {
            return Error::Limit(text.clone());
        }
        match error.find_root() {
            // DataFusion has no error kind for this limit.
            fault if fault.message().contains("max_temp_directory_size") => Error::Limit(
                "the query needs more temporary files than query_spill_bytes allows: ask for fewer hours, or raise it"
                    .into(),
            ),
            Fault::ResourcesExhausted(_) => Error::Limit(
                "the query needs more memory than is left of query_memory_bytes, half of \
                 which its joins, sorts and groups may account for: ask for fewer hours, or raise \
                 it"
                    .into(),
            ),
            _ if blame::is_data_file(&error) => Error::DataFile(format!(
                "a data file is missing or damaged ({}); hourglass verify names all of them",
                fault::text(&error)
            )),
            _ => Error::Query(Box::new(error)),
        }
    }
}

/// For files being written; data files of the store are read by DataFusion.
impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Error {
        Error::Query(Box::new(datafusion::error::DataFusionError::from(error)))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Error {
        if let arrow::error::ArrowError::IoError(_, source) = error {
            return Error::io("rows", "write")(source);
        }
        Error::from(datafusion::error::DataFusionError::from(error))
    }
}

impl From<deltalake_core::DeltaTableError> for Error {
    fn from(error: deltalake_core::DeltaTableError) -> Error {
        Error::Storage(error.into())
    }
}
