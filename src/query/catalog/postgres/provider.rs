//! A catalog as a table, whose rows are made when it is scanned.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::facts::Facts;
use super::tables::{self, Table};
use super::{information, objects, values};

/// Name of the schema of catalogs.
pub const PG_CATALOG: &str = "pg_catalog";
/// Name of the schema of the standard.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// Returns a catalog as a table; `None` if there is none of this name.
pub fn catalog(schema: &str, name: &str, facts: &Arc<Facts>) -> Option<Arc<dyn TableProvider>> {
    let table = tables::find(schema, name)?;
    Some(Arc::new(CatalogTable { table, facts: facts.clone() }))
}

/// Reports whether there is a catalog of this name in `pg_catalog`.
pub fn is_catalog(name: &str) -> bool {
    tables::find(PG_CATALOG, name).is_some()
}

/// A catalog, whose rows are made when it is scanned.
#[derive(Debug)]
struct CatalogTable {
    table: &'static Table,
    facts: Arc<Facts>,
}

impl CatalogTable {
    /// Returns the chosen columns of all rows.
    fn batch(&self, projection: Option<&Vec<usize>>) -> Result<RecordBatch> {
        let rows = match self.table.schema {
            PG_CATALOG => objects::rows(self.table.name, &self.facts),
            _ => information::rows(self.table.name, &self.facts),
        };
        let schema = match projection {
            Some(columns) => Arc::new(self.table.arrow.project(columns)?),
            None => self.table.arrow.clone(),
        };
        let column = |field: &arrow::datatypes::FieldRef| {
            let absent = values::absent(field.data_type(), field.is_nullable());
            let value = |row: &values::Row| {
                let given = row.0.iter().find(|(name, _)| name == field.name());
                given.map_or_else(|| absent.clone(), |(_, value)| value.clone())
            };
            values::array(&rows.iter().map(value).collect::<Vec<_>>(), field.data_type())
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let count = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &count)?)
    }
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.table.arrow.clone()
    }

    fn table_type(&self) -> TableType {
        if self.table.kind == "r" { TableType::Base } else { TableType::View }
    }

    async fn scan(
        &self,
        _: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = self.batch(projection)?;
        let schema = batch.schema();
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?)
    }
}
