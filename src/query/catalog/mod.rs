//! Catalog of a statement: the table `events`, the views `hours` and `visitors`, the tables of the schema `system`,
//! and PostgreSQL's catalogs.
//!
//! All tables read one snapshot and are built when a statement names them, so a statement pays only
//! for what it uses.

mod commits;
pub mod events;
pub mod postgres;
pub mod saved_queries;
pub mod sources;
pub mod system;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;

use self::postgres::facts::Facts;
use self::sources::Sources;
use self::system::system_table;
use crate::query::schema::{EVENTS, HOURS, VISITORS};

/// Name of the schema of the tables of events.
pub const SCHEMA: &str = "public";
/// Name of the schema of the tables about the engine.
pub const SYSTEM_SCHEMA: &str = "system";

/// The schema `public`, which is also asked for every table without a schema: it looks for it in the
/// schemas of the session's search path.
#[derive(Debug)]
pub struct PublicSchema {
    pub sources: Sources,
    pub facts: Arc<Facts>,
}

impl PublicSchema {
    fn own(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(match name {
            EVENTS => Some(self.sources.events()),
            HOURS => Some(self.sources.hours()?),
            VISITORS => Some(self.sources.visitors()?),
            _ => None,
        })
    }
}

#[async_trait]
impl SchemaProvider for PublicSchema {
    fn table_names(&self) -> Vec<String> {
        vec![EVENTS.into(), HOURS.into(), VISITORS.into()]
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        for schema in self.sources.session.schemas(true) {
            let found = match schema.as_str() {
                SCHEMA => self.own(name)?,
                SYSTEM_SCHEMA => system_table(name, &self.sources),
                schema => postgres::catalog(schema, name, &self.facts),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn table_exist(&self, name: &str) -> bool {
        [EVENTS, HOURS, VISITORS].contains(&name) || postgres::is_catalog(name)
    }
}
