//! PostgreSQL door: the values of Arrow in PostgreSQL's wire formats, and back.
//!
//! | module | content |
//! | --- | --- |
//! | [`types`] | which PostgreSQL type stands for which Arrow type |
//! | [`error`] | why a value cannot be sent or read, with its SQLSTATE |
//! | [`mod@format`] | text or binary |
//! | [`float`], [`numeric`], [`calendar`], [`interval`] | forms of single values |
//! | [`quoting`] | text of arrays |
//! | [`convert`], [`values`] | the values of one column, in both formats |
//! | [`encode`] | result rows |
//! | [`decimal`], [`scalar`], [`mod@array`], [`parameter`] | parameters of a statement |
//! | [`copy`] | options of COPY |
//! | [`copy_out`] | COPY … TO STDOUT |
//! | [`copy_in`] | COPY … FROM STDIN: [`copy_lines`], [`copy_fields`], [`copy_binary`], [`copy_error`] |

pub mod array;
pub mod calendar;
pub mod convert;
pub mod copy;
pub mod copy_binary;
pub mod copy_error;
pub mod copy_fields;
pub mod copy_in;
pub mod copy_lines;
pub mod copy_out;
pub mod decimal;
pub mod encode;
pub mod error;
pub mod float;
pub mod format;
pub mod interval;
pub mod numeric;
pub mod parameter;
pub mod quoting;
pub mod scalar;
pub mod types;
pub mod values;

#[cfg(test)]
mod tests;
