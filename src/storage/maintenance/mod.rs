//! Maintenance of the table: merges the files of each hour, removes hours that are too old and
//! files that were replaced. It works in small steps, so that a flush never waits for long.
//!
//! A round plans all hours, then takes them in batches: the names of a batch's files are recorded
//! as pending, the files are written, and one commit replaces the old ones. Old files stay for a
//! grace period, for statements, time travel and other engines. After an error nothing of a batch
//! is kept, unless it may have been committed: then the commit is tried until its outcome is known.

//!
//! [`state`] decides what comes next. [`rounds`] merges files by [`batch`]; [`retain`] removes
//! hours by the rules of [`retention`]; [`erase`] removes users by the steps of an [`erasure`];
//! [`super::pace`] says how long it rests. [`remove`] removes files that were [`replaced`], or are [`orphans`].

mod batch;
mod erase;
mod erasure;
mod orphans;
mod remove;
mod replaced;
mod retain;
mod retention;
mod rounds;
mod state;

pub use self::erasure::HistoryRecord;
pub use self::retention::planned_retention;
pub use self::rounds::planned_compaction;
pub use self::state::Maintenance;
