//! The functions of `pg_catalog` over sessions, catalogs and names. A function whose first argument
//! is null returns null.
//!
//! [`sessions`], [`names`], [`catalogs`] and [`procedures`] define them, [`udf`] makes them functions
//! of DataFusion.

mod catalogs;
mod definition;
mod names;
pub mod procedures;
mod sessions;
pub mod udf;

pub use self::procedures::reference_name;
