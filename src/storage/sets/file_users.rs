//! Users of one data file, by kind of event.

use parquet::file::reader::ChunkReader;

use super::code::{KindSets, set_of};
use crate::event::{EventKind, EventSchema};
use crate::storage::error::Result;
use crate::storage::lake::data_file;

/// Reads a data file and returns the sets of its users, whose codes `code_of` returns. Memory grows
/// with the file's users, not with its rows.
pub fn read(
    schema: &EventSchema,
    file: impl ChunkReader + 'static,
    mut code_of: impl FnMut(&str) -> Result<u32>,
) -> Result<KindSets> {
    let mut codes: Vec<Vec<u32>> = vec![Vec::new(); schema.kind_names().len()];
    data_file::read_user_kinds(schema, file, |user, kinds| {
        let code = code_of(user)?;
        for kind in kinds {
            let codes = &mut codes[kind.index()];
            if codes.last() != Some(&code) {
                codes.push(code);
            }
        }
        Ok(())
    })?;
    let codes = codes.into_iter().enumerate().filter(|(_, codes)| !codes.is_empty());
    Ok(codes.map(|(kind, codes)| (EventKind::of_code(kind as u8), set_of(codes))).collect())
}
