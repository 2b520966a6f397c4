pub mod error;
pub mod event;
pub mod hour;
pub mod query;
pub mod storage;
