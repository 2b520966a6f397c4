//! Target of the shell: a data directory, with or without a server running on it, or a server.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::lexer::{self, TokenKind};
use crate::client::{Address, Fault, Reply, SqlClient};
use crate::config::Flags;
use crate::error::{Error, Result};
use crate::query::{
    AS_OF, Params, QueryEngine, QueryOptions, QueryStats, ResultStream, SavedQueries, Session,
};
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{AsOf, EngineOptions, ReadOnly, Snapshot};
use crate::text::nearest;

/// Time limit of a statement: practically none, because the user can cancel it.
const TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// Age of a change after which a file's time stamp can be trusted. A file that changed more
/// recently may change again with the same time stamp, because file systems store coarse times.
const SETTLED: Duration = Duration::from_millis(100);

/// Data directory or server that statements are run against.
#[derive(Debug)]
pub enum Target {
    Store(Box<Store>),
    Server(Server),
}

/// A statement to run.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    Sql(&'a str),
    /// A saved query, with its parameters.
    Named(&'a str, &'a BTreeMap<String, String>),
}

/// Stream of a result's rows. Dropping it cancels the statement.
#[derive(Debug)]
pub enum Rows {
    Here(ResultStream),
    There(Reply),
}

impl Rows {
    pub fn schema(&self) -> &SchemaRef {
        match self {
            Rows::Here(answer) => &answer.schema,
            Rows::There(reply) => &reply.schema,
        }
    }

    /// Returns the next batch; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        match self {
            Rows::Here(answer) => answer.next().await,
            Rows::There(reply) => reply.next().await,
        }
    }

    /// Returns the cost of the statement, if known.
    pub fn stats(&self) -> Option<QueryStats> {
        match self {
            Rows::Here(answer) => Some(answer.recorder.stats()),
            Rows::There(reply) => reply.stats.clone(),
        }
    }
}

impl Target {
    /// Creates a target for a server, or else for the store in `data_dir` or in the
    /// configured directory, with the saved queries of the folder `queries`. Statements read the
    /// version of the table or the time `as_of`, if it is given.
    pub fn new(
        server: Option<Address>,
        data_dir: Option<&Path>,
        queries: Option<&Path>,
        as_of: Option<&str>,
    ) -> Result<Target> {
        if let Some(as_of) = as_of {
            AsOf::parse(as_of.trim())?;
        }
        match server {
            Some(server) => {
                let (url, mut settings) = (server.url().to_string(), BTreeMap::new());
                let client = SqlClient::new(server);
                if let Some(as_of) = as_of {
                    settings.insert(AS_OF.to_string(), as_of.to_string());
                }
                Ok(Target::Server(Server { url, client, settings }))
            }
            None => {
                let mut store = Store::new(data_dir, queries)?;
                as_of.map_or(Ok(()), |as_of| store.session.set(AS_OF, as_of))?;
                Ok(Target::Store(Box::new(store)))
            }
        }
    }

    pub fn name(&self) -> String {
        match self {
            Target::Store(store) => store.data_dir.display().to_string(),
            Target::Server(server) => server.url.clone(),
        }
    }

    /// Returns the saved queries. Blocks the calling thread.
    pub fn library(&self) -> Result<SavedQueries> {
        match self {
            Target::Store(store) => Ok(store.engine.library().clone()),
            Target::Server(server) => server.client.library(),
        }
    }

    /// Makes all events acknowledged so far visible to later statements. Blocks; must not be called
    /// within a task of the runtime.
    pub fn refresh(&mut self) -> Result<()> {
        match self {
            Target::Store(store) => store.refresh(),
            Target::Server(_) => Ok(()),
        }
    }

    /// Runs a statement; options changed by `SET` apply to later ones.
    pub async fn ask(&mut self, question: Question<'_>) -> Result<Rows, Fault> {
        match self {
            Target::Store(store) => Ok(Rows::Here(store.ask(question).await?)),
            Target::Server(server) => Ok(Rows::There(server.ask(question).await?)),
        }
    }
}

/// A data directory, read without its lock.
#[derive(Debug)]
pub struct Store {
    data_dir: PathBuf,
    options: EngineOptions,
    engine: Arc<QueryEngine>,
    session: Session,
    /// The last snapshot, with the stamps of the directory's files from before it was made.
    seen: Option<(Vec<Stamp>, Arc<Snapshot>)>,
}

/// Path, length and modification time of a file or folder that changes whenever the store does.
type Stamp = (PathBuf, u64, SystemTime);

impl Store {
    fn new(data_dir: Option<&Path>, queries: Option<&Path>) -> Result<Store> {
        let given = [("data_dir", data_dir), ("queries", queries)];
        let given =
            given.into_iter().filter_map(|(key, path)| Some((key, path?.display().to_string())));
        let resolved = Flags { config: None, settings: given.collect() }.load()?;
        let options = QueryOptions { timeout: TIMEOUT, ..resolved.query_options() };
        let engine = Arc::new(QueryEngine::new(&options)?);
        let session = engine.new_session();
        let options = resolved.config.engine_options();
        Ok(Store { data_dir: resolved.config.data_dir, options, engine, session, seen: None })
    }

    /// Opens the store again if the log or the table may have changed. It is avoided otherwise,
    /// because opening reads the table's log and the tail of the write-ahead log.
    fn refresh(&mut self) -> Result<()> {
        let stamps = stamps(&self.data_dir).unwrap_or_default();
        let settled = |stamp: &Stamp| stamp.2.elapsed().is_ok_and(|age| age > SETTLED);
        let is_fresh = self.seen.as_ref().is_some_and(|(seen, _)| *seen == stamps);
        if !is_fresh || !stamps.iter().all(settled) {
            let vfs: Arc<dyn Vfs> = Arc::new(Disk);
            let store = ReadOnly::open(&self.data_dir, &self.options, &vfs)?;
            self.seen = Some((stamps, store.snapshot));
        }
        Ok(())
    }

    async fn ask(&mut self, question: Question<'_>) -> Result<ResultStream> {
        let (_, snapshot) = self.seen.as_ref().ok_or(Error::Closed)?;
        let (sql, params) = match question {
            Question::Sql(sql) => (sql.to_owned(), Params::None),
            Question::Named(name, given) => {
                let library = self.engine.library();
                let named = library.find(name).ok_or_else(|| unknown(name, library))?;
                named.bind(&snapshot.schema, given)?
            }
        };
        self.engine.run_text(&mut self.session, snapshot, &sql, params).await
    }
}

fn unknown(name: &str, library: &SavedQueries) -> Error {
    let near = nearest(name, library.all().iter().map(|named| named.name.as_str()));
    let hint = near.first().map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    Error::Invalid(format!("there is no query {name} in the library; {hint}\\l lists them"))
}

/// Returns the stamps of the write-ahead log's segments, and of the folder of the table's commits.
fn stamps(data_dir: &Path) -> io::Result<Vec<Stamp>> {
    let mut paths = vec![data_dir.join("wal"), data_dir.join("events/_delta_log")];
    for entry in fs::read_dir(&paths[0])? {
        paths.push(entry?.path());
    }
    let stamp = |path: PathBuf| {
        fs::metadata(&path).and_then(|meta| Ok((path, meta.len(), meta.modified()?)))
    };
    paths.into_iter().map(stamp).collect()
}

/// A running server. It keeps no session, so options changed by `SET` are sent with each statement.
#[derive(Debug)]
pub struct Server {
    url: String,
    client: SqlClient,
    settings: BTreeMap<String, String>,
}

impl Server {
    async fn ask(&mut self, question: Question<'_>) -> Result<Reply, Fault> {
        let sql = match question {
            Question::Sql(sql) => sql,
            Question::Named(name, given) => {
                let as_of = self.settings.get(AS_OF).filter(|as_of| !as_of.is_empty());
                return self.client.run(name, given, as_of.map(String::as_str)).await;
            }
        };
        let reply = self.client.query(sql, &self.settings).await?;
        // The server has accepted the statement, so an assignment is valid.
        match assignment(sql) {
            Some((name, Some(value))) => drop(self.settings.insert(name, value)),
            Some((name, None)) => drop(self.settings.remove(&name)),
            None => {}
        }
        Ok(reply)
    }
}

/// Parses `SET name = value`, `SET name TO value` and `RESET name`.
fn assignment(sql: &str) -> Option<(String, Option<String>)> {
    let mut tokens = lexer::tokens(sql);
    tokens.retain(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment));
    let text = |at: usize| tokens.get(at).map_or("", |token| &sql[token.range.clone()]);
    let is = |at: usize, word: &str| text(at).eq_ignore_ascii_case(word);
    let end = (1..tokens.len()).find(|at| is(*at, "=") || is(*at, "to")).unwrap_or(tokens.len());
    let name: String = (1..end).map(text).collect::<String>().to_lowercase();
    let name = if name == "timezone" { "datafusion.execution.time_zone".to_string() } else { name };
    if is(0, "reset") {
        return Some((name, None));
    }
    let value = sql[tokens.get(end + 1).filter(|_| is(0, "set"))?.range.start..].trim();
    let quoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
    Some((name, Some(quoted.map_or(value.to_string(), |value| value.replace("''", "'")))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_set_sets_is_known_without_the_parser() {
        let set = |name: &str, value: &str| Some((name.to_string(), Some(value.to_string())));
        assert_eq!(assignment("SET hourglass.rollups = false"), set("hourglass.rollups", "false"));
        assert_eq!(
            assignment("-- x\nset Datafusion.explain.format to 'tree'"),
            set("datafusion.explain.format", "tree")
        );
        assert_eq!(
            assignment("set time zone = '+02:00'"),
            set("datafusion.execution.time_zone", "+02:00")
        );
        assert_eq!(assignment("RESET hourglass.rollups"), Some(("hourglass.rollups".into(), None)));
        assert_eq!(assignment("SELECT 1 = 1"), None);
    }
}
