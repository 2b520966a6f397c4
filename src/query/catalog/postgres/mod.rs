//! PostgreSQL's catalogs, `pg_catalog` and `information_schema`, and the functions over them: what
//! psql, drivers and tools ask before and beside their users' statements.
//!
//! [`tables`] lists the catalogs and their columns, [`types`] PostgreSQL's types. Most catalogs are
//! empty; [`objects`] and [`information`] make the rows of the others when one is scanned, from
//! [`facts`] about the store. [`functions`] are registered for the statements that name one.
//!
//! OIDs are those of PostgreSQL for its own types and catalogs, and derived from the name for all
//! else, so that they are the same in every statement and every process.
//!
//! Not here: what a statement's text needs before it can be planned, such as casts to `regclass`,
//! which is rewritten in `query/syntax`; and comments, privileges and other objects that nothing in
//! this engine corresponds to, whose catalogs stay empty.

mod about;
mod calls;
pub mod facts;
mod functions;
mod information;
mod objects;
mod provider;
mod tables;
mod types;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{
    MemoryCatalogProviderList, SchemaProvider, TableFunction, TableProvider,
};
use datafusion::common::Result;

pub use self::calls::register;
use self::facts::Facts;
pub use self::functions::reference_name;
pub use self::provider::{INFORMATION_SCHEMA, PG_CATALOG, catalog, is_catalog};
pub use self::types::of_arrow;
pub use self::values::described;

/// Tables of `information_schema` that DataFusion makes.
const UPSTREAM: [&str; 3] = ["df_settings", "routines", "parameters"];

/// One of the two schemas.
#[derive(Debug)]
pub struct CatalogSchema {
    pub schema: &'static str,
    pub facts: Arc<Facts>,
    /// The table functions of the statement, which DataFusion lists.
    pub functions: HashMap<String, Arc<TableFunction>>,
}

#[async_trait]
impl SchemaProvider for CatalogSchema {
    fn table_names(&self) -> Vec<String> {
        let own = tables::all().iter().filter(|table| table.schema == self.schema);
        let upstream = UPSTREAM.iter().filter(|_| self.schema == INFORMATION_SCHEMA);
        own.map(|table| table.name).chain(upstream.copied()).map(String::from).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.schema == INFORMATION_SCHEMA && UPSTREAM.contains(&name) {
            let upstream =
                InformationSchemaProvider::new(Arc::new(MemoryCatalogProviderList::new()))
                    .with_table_functions(self.functions.clone());
            return upstream.table(name).await;
        }
        Ok(catalog(self.schema, name, &self.facts))
    }

    fn table_exist(&self, name: &str) -> bool {
        tables::find(self.schema, name).is_some()
            || self.schema == INFORMATION_SCHEMA && UPSTREAM.contains(&name)
    }
}
