//! One statement, from its text to its rows: parsed, checked to be one that only reads, planned, and run within limits on
//! threads that the ingest path does not share.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ParamValues;
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, Statement as StatementPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::prelude::{SQLOptions, SessionConfig};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Statement as Ast, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::courtesy;
use super::history::Running;
use super::receipt::Receipt;
use super::{QueryEngine, SHOW_CHUNKS, frames, size, syntax, window};
use crate::error::{Bound, Error, Result};
use crate::storage::Snapshot;

/// Expressions and subqueries may nest this deep.
const RECURSION_LIMIT: usize = 50;

/// Batches that wait between a statement and who reads it.
const BATCHES_AHEAD: usize = 2;

/// Options that `SET` may change; the others would change the process or open doors.
const SETTABLE: [&str; 5] =
    ["hourglass.", "datafusion.execution.", "datafusion.explain.", "datafusion.optimizer.", "datafusion.sql_parser."];

/// The largest values of options that memory hangs on.
const BOUNDED: [(&str, u64); 2] =
    [("datafusion.execution.target_partitions", 64), ("datafusion.execution.batch_size", 65_536)];

/// Options that statements are parsed before.
const FIXED: [&str; 2] = ["datafusion.sql_parser.recursion_limit", "datafusion.sql_parser.dialect"];

/// The zone of times without one, which is always that of the answers.
const TIME_ZONE: &str = "datafusion.execution.time_zone";

/// What outlives a statement: the options that `SET` changed.
#[derive(Clone, Debug)]
pub struct Session {
    config: SessionConfig,
    /// Those changed, by name.
    changed: BTreeMap<String, String>,
}

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Parsed {
    statement: Statement,
    /// Its text, without comments before it and the semicolon after it.
    pub text: String,
}

/// The values of a statement's parameters: `$1, $2, …` or `$name`.
#[derive(Clone, Debug, Default)]
pub enum Params {
    #[default]
    None,
    Positional(Vec<ScalarValue>),
    Named(BTreeMap<String, ScalarValue>),
}

impl Params {
    /// From a JSON array or object of strings, numbers, booleans and nulls.
    pub fn from_json(value: &serde_json::Value) -> Result<Params> {
        Ok(match value {
            serde_json::Value::Null => Params::None,
            serde_json::Value::Array(values) => Params::Positional(values.iter().map(scalar).collect::<Result<_>>()?),
            serde_json::Value::Object(values) => {
                let named = values.iter().map(|(name, value)| Ok((name.clone(), scalar(value)?)));
                Params::Named(named.collect::<Result<_>>()?)
            }
            _ => return Err(Error::Invalid("params must be an array or an object".into())),
        })
    }
}

/// 2 to the power of 64.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn scalar(value: &serde_json::Value) -> Result<ScalarValue> {
    Ok(match value {
        serde_json::Value::Null => ScalarValue::Null,
        serde_json::Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        serde_json::Value::String(value) => ScalarValue::Utf8(Some(value.clone())),
        serde_json::Value::Number(value) => match (value.as_i64(), value.as_u64(), value.as_f64()) {
            (Some(value), ..) => ScalarValue::Int64(Some(value)),
            (_, Some(value), _) => ScalarValue::UInt64(Some(value)),
            // JSON is read as 64 bits, so that the last digits of a longer integer are gone already.
            (.., Some(value))
                if value.fract() == 0.0 && value.abs() < 1e38 && (value >= TWO_TO_64 || value <= -TWO_TO_64 / 2.0) =>
            {
                let reason = "an integer parameter beyond 64 bits loses digits: give it as a string, and cast it in the \
                              statement to DECIMAL(38, 0), or to DOUBLE";
                return Err(Error::Invalid(reason.into()));
            }
            (.., value) => ScalarValue::Float64(value),
        },
        _ => return Err(Error::Invalid("a parameter must be a string, a number, a boolean or null".into())),
    })
}

/// Splits a text at its semicolons. A text without a statement is none.
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    // Editors of Windows begin a text with a byte order mark.
    let sql = sql.strip_prefix('\u{feff}').unwrap_or(sql);
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| DataFusionError::SQL(Box::new(error.into()), None))?;
    let mut places = Places { text: sql, offset: 0, at: Location { line: 1, column: 1 } };
    let mut statements = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let is_code = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
        let (Some(first), Some(last)) = (tokens.iter().find(is_code), tokens.iter().rfind(is_code)) else { continue };
        let text = places.excerpt(first, last);
        size::check_tokens(tokens)?;
        syntax::check_verb(tokens)?;
        syntax::check_numbers(tokens)?;
        let statement = size::with_stack(tokens.len(), || parse_one(tokens.to_vec()))?;
        statements.extend(statement.map(|statement| Parsed { statement, text }));
    }
    Ok(statements)
}

fn parse_one(mut tokens: Vec<TokenWithSpan>) -> Result<Option<Statement>> {
    syntax::read_table(&mut tokens);
    let mut parser =
        DFParserBuilder::new(tokens).with_dialect(&GenericDialect {}).with_recursion_limit(RECURSION_LIMIT).build()?;
    let mut statement = parser.parse_statements()?.pop_front();
    if let Some(statement) = &statement {
        size::check(statement)?;
    }
    if let Some(Statement::Statement(statement)) = &mut statement {
        let _ = statement.visit(&mut FromChunks);
    }
    if let Some(statement) = &mut statement {
        syntax::prepare(statement)?;
        // Some clauses are longer in other words.
        size::check(statement)?;
    }
    Ok(statement)
}

/// Reads `SELECT show_chunks('events')`, as TimescaleDB has it, as `SELECT show_chunks FROM show_chunks('events')`: there it is
/// a function that answers rows, here a table.
struct FromChunks;

impl VisitorMut for FromChunks {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = &mut *query.body else { return ControlFlow::Continue(()) };
        let [SelectItem::UnnamedExpr(Expr::Function(function))] = &select.projection[..] else {
            return ControlFlow::Continue(());
        };
        if select.from.is_empty() && function.name.to_string().eq_ignore_ascii_case(SHOW_CHUNKS) {
            let table = format!("SELECT {SHOW_CHUNKS} FROM {function}");
            let parsed = DFParserBuilder::new(table.as_str()).build().and_then(|mut parser| parser.parse_statements());
            if let Ok(Some(Statement::Statement(parsed))) = parsed.map(|mut parsed| parsed.pop_front())
                && let Ast::Query(parsed) = *parsed
            {
                query.body = parsed.body;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Finds tokens in their text, in its order. Positions count lines and characters from 1.
struct Places<'a> {
    text: &'a str,
    offset: usize,
    at: Location,
}

impl Places<'_> {
    fn offset(&mut self, of: Location) -> usize {
        let mut chars = self.text[self.offset..].chars();
        while self.at < of
            && let Some(char) = chars.next()
        {
            self.offset += char.len_utf8();
            self.at = match char {
                '\n' => Location { line: self.at.line + 1, column: 1 },
                _ => Location { column: self.at.column + 1, ..self.at },
            };
        }
        self.offset
    }

    /// The text from one token to another.
    fn excerpt(&mut self, first: &TokenWithSpan, last: &TokenWithSpan) -> String {
        let start = self.offset(first.span.start);
        let end = self.offset(last.span.end);
        self.text[start..end].trim().to_string()
    }
}

/// The rows of a statement, as they come. Dropping it cancels the statement.
#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub receipt: Arc<Receipt>,
    batches: mpsc::Receiver<Message>,
    ended: bool,
    task: AbortHandle,
}

/// A batch, or nothing at the end: a channel that closes without a word is a statement that died.
type Message = Result<Option<RecordBatch>>;

impl Drop for Answer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answer {
    /// The next batch, `None` at the end. After an error nothing more comes.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.ended {
            return None;
        }
        let message = self.batches.recv().await.unwrap_or(Err(Error::Panicked));
        self.ended = !matches!(message, Ok(Some(_)));
        message.transpose()
    }

    /// All of them.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Session {
    pub(super) fn new(config: SessionConfig) -> Session {
        Session { config, changed: BTreeMap::new() }
    }

    pub(super) fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The options changed so far, by name.
    pub fn changed(&self) -> &BTreeMap<String, String> {
        &self.changed
    }

    /// Sets an option, as `SET` does.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if !SETTABLE.iter().any(|prefix| name.starts_with(prefix)) || FIXED.contains(&name) {
            let families = SETTABLE.map(|prefix| format!("{prefix}*")).join(", ");
            return Err(Error::Invalid(format!("{name} cannot be set here; what can be set is {families}")));
        }
        if name == TIME_ZONE && !["UTC", "+00:00", "Z", "ETC/UTC"].contains(&value.to_ascii_uppercase().as_str()) {
            let reason = "times are answered in UTC: write timestamp AT TIME ZONE 'Europe/Berlin' where another zone's clock counts";
            return Err(Error::Invalid(reason.into()));
        }
        let value = if name == TIME_ZONE { "UTC" } else { value };
        let limit = BOUNDED.iter().find(|(bounded, _)| *bounded == name);
        if let Some((_, limit)) = limit
            && !value.parse::<u64>().is_ok_and(|value| (1..=*limit).contains(&value))
        {
            return Err(Error::Invalid(format!("{name} must be between 1 and {limit}")));
        }
        if let Err(error) = self.config.options_mut().set(name, value) {
            let reason = Error::from(error).to_string();
            return Err(Error::Invalid(match reason.contains("not found on") {
                true => format!("there is no option {name}; SHOW ALL lists them"),
                false => format!("{name} cannot be {value:?}: {reason}"),
            }));
        }
        self.changed.insert(name.to_string(), value.to_string());
        Ok(())
    }

    fn reset(&mut self, name: &str, defaults: &ConfigOptions) -> Result<()> {
        // Options of extensions are told without the name of the extension.
        let is_named = |key: &str| key == name || name.strip_prefix("hourglass.") == Some(key);
        let entry = defaults.entries().into_iter().find(|entry| is_named(&entry.key));
        let entry = entry.ok_or_else(|| Error::Invalid(format!("there is no option {name}")))?;
        self.set(name, &entry.value.unwrap_or_default())?;
        self.changed.remove(name);
        Ok(())
    }
}

impl QueryEngine {
    /// Runs one statement over `snapshot`. It has been planned when this returns; its rows come through the [`Answer`].
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Query`] when the statement is at fault, [`Error::Busy`] when as many statements run as
    /// may, [`Error::Limit`] when it takes longer or needs more memory than statements may, [`Error::Panicked`] when its task
    /// panicked.
    pub async fn run(
        self: &Arc<Self>,
        session: &mut Session,
        snapshot: &Arc<Snapshot>,
        statement: Parsed,
        params: Params,
    ) -> Result<Answer> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let slot = slot.map_err(|_| Error::Busy(Bound::Queries))?;
        let receipt = Arc::new(Receipt::default());
        let running = self.history.begin(&statement.text, &receipt, slot);
        let job = Job {
            engine: self.clone(),
            session: session.clone(),
            snapshot: snapshot.clone(),
            deadline: Instant::now() + self.options.timeout,
            running,
        };
        let (planned, plan) = tokio::sync::oneshot::channel();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        // What the statement's task logs names the request that it answers.
        let task = job.run(statement.statement, params, planned, sender).in_current_span();
        let task = self.runtime().spawn(task).abort_handle();
        // Who stops waiting for the plan cancels it.
        let guard = AbortOnDrop(Some(task));
        let (schema, changed) = plan.await.map_err(|_| Error::Panicked)??;
        if let Some(changed) = changed {
            *session = changed;
        }
        let task = guard.keep();
        Ok(Answer { schema, receipt, batches, ended: false, task })
    }

    /// Parses and runs a text of one statement, or several of which all but the last are `SET` or `RESET`.
    pub async fn run_text(
        self: &Arc<Self>,
        session: &mut Session,
        snapshot: &Arc<Snapshot>,
        sql: &str,
        params: Params,
    ) -> Result<Answer> {
        let mut statements = parse(sql)?;
        let last = statements.pop().ok_or_else(|| Error::Invalid("there is no statement to run".into()))?;
        for statement in statements {
            if !statement.is_set() {
                let reason = "one statement is answered at a time; those before the last may only be SET";
                return Err(Error::Invalid(reason.into()));
            }
            self.run(session, snapshot, statement, Params::None).await?.collect().await?;
        }
        self.run(session, snapshot, last, params).await
    }
}

impl Parsed {
    fn is_set(&self) -> bool {
        match &self.statement {
            Statement::Statement(statement) => matches!(**statement, Ast::Set(_)),
            Statement::Reset(_) => true,
            _ => false,
        }
    }
}

struct AbortOnDrop(Option<AbortHandle>);

impl AbortOnDrop {
    fn keep(mut self) -> AbortHandle {
        self.0.take().expect("taken once")
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

type Planned = Result<(SchemaRef, Option<Session>)>;

/// A statement under way.
struct Job {
    engine: Arc<QueryEngine>,
    session: Session,
    snapshot: Arc<Snapshot>,
    deadline: Instant,
    running: Running,
}

impl Job {
    async fn run(
        mut self,
        statement: Statement,
        params: Params,
        planned: tokio::sync::oneshot::Sender<Planned>,
        sender: mpsc::Sender<Message>,
    ) {
        let receipt = self.running.receipt().clone();
        let plan = within(self.deadline, self.engine.options.timeout, self.plan(statement, params)).await;
        receipt.planned();
        let mut stream = match plan.and_then(|plan| plan) {
            Err(error) => {
                self.running.failed(&error);
                // Who asked may have gone.
                let _ = planned.send(Err(error));
                return;
            }
            Ok(Planning::Set(session)) => {
                self.running.done();
                let _ = planned.send(Ok((Arc::new(arrow::datatypes::Schema::empty()), Some(session))));
                let _ = sender.send(Ok(None)).await;
                return;
            }
            Ok(Planning::Rows(stream)) => stream,
        };
        let _ = planned.send(Ok((stream.schema(), None)));
        loop {
            let next = within(self.deadline, self.engine.options.timeout, stream.next()).await;
            let message = next.and_then(|batch| Ok(batch.transpose()?));
            let is_last = !matches!(message, Ok(Some(_)));
            match &message {
                Ok(Some(batch)) => receipt.answered(batch.num_rows()),
                // Before the end is told, so that who has read all rows reads the final figures too.
                Ok(None) => self.running.done(),
                Err(error) => self.running.failed(error),
            }
            let sent = within(self.deadline, self.engine.options.timeout, sender.send(message)).await;
            if is_last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn plan(&mut self, statement: Statement, params: Params) -> Result<Planning> {
        let state = self.engine.state(&self.session, &self.snapshot, self.running.receipt())?;
        syntax::check_calls(&statement, &state)?;
        let mut plan =
            state.statement_to_plan(statement).await.map_err(|error| syntax::suggest_table(error, &state))?;
        match &plan {
            LogicalPlan::Statement(StatementPlan::SetVariable(set)) => {
                self.session.set(&set.variable.to_lowercase(), &set.value)?;
                return Ok(Planning::Set(self.session.clone()));
            }
            LogicalPlan::Statement(StatementPlan::ResetVariable(reset)) => {
                let defaults = self.engine.base.config_options().clone();
                self.session.reset(&reset.variable.to_lowercase(), &defaults)?;
                return Ok(Planning::Set(self.session.clone()));
            }
            _ => {}
        }
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        if read_only.verify_plan(&plan).is_err() {
            let reason = "this store is read through SQL and written through events: \
                          SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE and SET are answered";
            return Err(Error::Invalid(reason.into()));
        }
        plan = bind(plan, params)?;
        Ok(Planning::Rows(execute(&state, &plan).await?))
    }
}

enum Planning {
    Rows(SendableRecordBatchStream),
    /// The session as the statement left it.
    Set(Session),
}

/// Fills in the parameters; one that the statement names and the caller does not give is an error that names it.
fn bind(plan: LogicalPlan, params: Params) -> Result<LogicalPlan> {
    let mut names: Vec<String> = plan.get_parameter_names()?.into_iter().collect();
    names.sort_unstable();
    let values = match params {
        Params::None => ParamValues::List(Vec::new()),
        Params::Positional(values) => ParamValues::List(values.into_iter().map(ScalarAndMetadata::from).collect()),
        Params::Named(values) => {
            ParamValues::Map(values.into_iter().map(|(name, value)| (name, value.into())).collect())
        }
    };
    let missing = names.iter().find(|name| {
        let name = name.trim_start_matches('$');
        match &values {
            ParamValues::List(values) => !name.parse().is_ok_and(|i: usize| (1..=values.len()).contains(&i)),
            ParamValues::Map(values) => !values.contains_key(name),
        }
    });
    if let Some(name) = missing {
        return Err(Error::Invalid(format!("the parameter {name} has no value")));
    }
    match names.is_empty() {
        true => Ok(plan),
        false => Ok(syntax::bind_limits(plan, &values)?.with_param_values(values)?),
    }
}

async fn execute(state: &SessionState, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
    size::check_plan(plan)?;
    let physical = state.create_physical_plan(plan).await?;
    frames::check(&physical)?;
    let physical = window::count(courtesy::give_way(physical)?)?;
    Ok(aside(execute_stream(physical, state.task_ctx())?))
}

/// The stream, driven by a task of its own: one that computes without a pause would, in the task that watches the time, hold up
/// the clock as well. Dropping it ends that task at its next pause.
fn aside(mut stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let mut receiver = RecordBatchReceiverStream::builder(stream.schema(), 1);
    let sender = receiver.tx();
    receiver.spawn(async move {
        while let Some(batch) = stream.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    receiver.build()
}

async fn within<T>(deadline: Instant, timeout: Duration, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| {
        Error::Limit(format!(
            "the query was stopped after {timeout:?} (query_timeout): ask for fewer hours, or raise it"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_splits_into_statements_whatever_stands_in_strings_and_comments() {
        let texts = |sql| parse(sql).unwrap().into_iter().map(|parsed| parsed.text).collect::<Vec<_>>();
        assert_eq!(texts(" select ';' ; -- one; two\n\n set a.b = 1;;"), ["select ';'", "set a.b = 1"]);
        assert_eq!(texts("select 'ü' as ß\n  from x"), ["select 'ü' as ß\n  from x"]);
        assert!(texts(" ; -- nothing\n").is_empty());
    }

    /// A script that an editor of Windows wrote was refused for its first, invisible character.
    #[test]
    fn a_byte_order_mark_is_no_part_of_a_statement() {
        let parsed = parse("\u{feff}select 1; select 2").unwrap();
        assert_eq!(parsed.into_iter().map(|parsed| parsed.text).collect::<Vec<_>>(), ["select 1", "select 2"]);
        assert_eq!(parse("\u{feff}select 1 2").unwrap_err().position(), Some((1, 10)));
    }

    #[test]
    fn a_fault_says_where() {
        let error = parse("select 1;\nselect a b c").unwrap_err();
        assert_eq!(error.position(), Some((2, 12)), "{error}");
    }

    #[test]
    fn the_time_zone_of_a_session_stays_utc() {
        let mut session = Session::new(SessionConfig::new());
        session.set(TIME_ZONE, "utc").unwrap();
        let refusal = session.set(TIME_ZONE, "Europe/Berlin").unwrap_err().to_string();
        assert!(refusal.contains("AT TIME ZONE"), "{refusal}");
    }

    /// Bug: an integer above i64 became a float. Consequence: its last digits were others. Cure: unsigned up to 64 bits, an error
    /// beyond.
    #[test]
    fn an_integer_parameter_keeps_its_digits() {
        let of = |json: &str| Params::from_json(&serde_json::from_str(json).unwrap());
        assert!(matches!(&of("[18446744073709551615]").unwrap(), Params::Positional(values)
            if values[..] == [ScalarValue::UInt64(Some(u64::MAX))]));
        assert!(matches!(&of("[1.5, 1e300]").unwrap(), Params::Positional(values)
            if values[..] == [ScalarValue::Float64(Some(1.5)), ScalarValue::Float64(Some(1e300))]));
        assert!(of("[18446744073709551616]").is_err());
    }

    #[test]
    fn options_that_reach_beyond_the_session_stay() {
        let mut session = Session::new(SessionConfig::new());
        assert!(session.set("datafusion.runtime.memory_limit", "1G").is_err());
        assert!(session.set("datafusion.execution.target_partitions", "100000").is_err());
        session.set("datafusion.execution.target_partitions", "3").unwrap();
        assert_eq!(session.config().options().execution.target_partitions, 3);
    }
}
