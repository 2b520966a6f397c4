//! Execution of one statement: it is parsed, checked to be read-only, planned, and run within
//! limits on threads that the ingest path does not share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, Statement as StatementPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument;

use super::catalog::postgres;
use super::engine::QueryEngine;
use super::exec::{frames, parts, steps};
use super::memory::Account;
use super::params::{Params, bind};
use super::parse::{Parsed, parse};
use super::result_stream::{Message, ResultStream};
use super::session::{AS_OF, Session};
use super::slots::{AbortOnDrop, TakenSlot};
use super::stats::history::Running;
use super::stats::recorder::StatsRecorder;
use super::{limits, syntax};
use crate::error::{Error, Result};
use crate::limit::Limit;
use crate::storage::Snapshot;

/// How long the end of a statement waits for the reader of its rows.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Number of batches buffered between a statement and the reader of its rows.
const BATCHES_AHEAD: usize = 2;

impl QueryEngine {
    /// Runs one statement over `snapshot`. Returns once it is planned; its rows arrive through the
    /// [`ResultStream`]. The Tokio runtime of the caller keeps its limits, and threads of its own
    /// compute it.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Query`] if the statement is at fault, [`Error::Busy`] if the
    /// maximum number of statements is running, [`Error::Limit`] if it exceeds the time or memory
    /// limit, [`Error::Panicked`] if its task panicked.
    pub async fn run(
        self: &Arc<Self>,
        session: &mut Session,
        snapshot: &Arc<Snapshot>,
        statement: Parsed,
        params: Params,
    ) -> Result<ResultStream> {
        let room = self.room()?;
        self.run_in(room, session, snapshot, statement, params).await
    }

    /// Runs one statement like [`QueryEngine::run`], but waits while the maximum number of
    /// statements is running: for a client that has a connection for each of its statements, and
    /// does not try again by itself.
    pub async fn run_when_free(
        self: &Arc<Self>,
        session: &mut Session,
        snapshot: &Arc<Snapshot>,
        statement: Parsed,
        params: Params,
    ) -> Result<ResultStream> {
        let room = self.free_room().await?;
        self.run_in(room, session, snapshot, statement, params).await
    }

    fn limits(&self, session: &Session, slot: &TakenSlot) -> Limits {
        let (most, account) = (self.options.timeout, slot.account.clone());
        let (timeout, setting) = match session.statement_timeout() {
            Some(timeout) if timeout < most => (timeout, "statement_timeout"),
            _ => (most, "query_timeout"),
        };
        Limits { deadline: Instant::now() + timeout, timeout, setting, account }
    }

    /// Returns what a statement needs to run.
    fn room(&self) -> Result<Room> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Busy(Limit::Queries))?;
        Ok(Room { permit, slot: self.slots.take()? })
    }

    /// Waits for what a statement needs to run, for up to the time limit of one.
    pub(super) async fn free_room(&self) -> Result<Room> {
        /// Pause between two looks for the threads of a statement that has ended.
        const PAUSE: Duration = Duration::from_millis(5);
        let waiting = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(|_| Error::Closed)?;
            loop {
                match self.slots.take() {
                    Err(Error::Busy(_)) => tokio::time::sleep(PAUSE).await,
                    slot => return Ok(Room { permit, slot: slot? }),
                }
            }
        };
        let waited = tokio::time::timeout(self.options.timeout, waiting).await;
        waited.unwrap_or(Err(Error::Busy(Limit::Queries)))
    }

    async fn run_in(
        self: &Arc<Self>,
        room: Room,
        session: &mut Session,
        snapshot: &Arc<Snapshot>,
        statement: Parsed,
        params: Params,
    ) -> Result<ResultStream> {
        let Room { permit, slot } = room;
        let recorder = Arc::new(StatsRecorder::default());
        let running = self.history.begin(&statement.text, &recorder, permit);
        let planner = Planner {
            engine: self.clone(),
            account: slot.account.clone(),
            session: session.clone(),
            snapshot: snapshot.clone(),
            recorder: recorder.clone(),
        };
        let job = Job { limits: self.limits(session, &slot), running, slot };
        let (planned, plan) = tokio::sync::oneshot::channel();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let task = job.run(planner, statement, params, planned, sender).in_current_span();
        // Dropped, it cancels the statement: also if the caller stops waiting for its plan.
        let task = AbortOnDrop(tokio::spawn(task).abort_handle());
        let (schema, described, changed) = plan.await.map_err(|_| Error::Panicked)??;
        if let Some(changed) = changed {
            *session = changed;
        }
        Ok(ResultStream { schema, described, recorder, batches, ended: false, _task: task })
    }

    /// Parses and runs a text of one statement, or of several of which all but the last are `SET`
    /// or `RESET`.
    pub async fn run_text(
        self: &Arc<Self>,
        session: &mut Session,
        snapshot: &Arc<Snapshot>,
        sql: &str,
        params: Params,
    ) -> Result<ResultStream> {
        let mut statements = parse(sql)?;
        let last = statements
            .pop()
            .ok_or_else(|| Error::Invalid("there is no statement to run".into()))?;
        for statement in statements {
            if !statement.is_set() {
                let reason =
                    "one statement is answered at a time; those before the last may only be SET";
                return Err(Error::Invalid(reason.into()));
            }
            self.run(session, snapshot, statement, Params::None).await?.collect().await?;
        }
        self.run(session, snapshot, last, params).await
    }
}

/// What a statement needs to run: one of the permits, and threads.
pub(super) struct Room {
    permit: OwnedSemaphorePermit,
    pub slot: TakenSlot,
}

type Planned = Result<(SchemaRef, SchemaRef, Option<Session>)>;

/// A running statement: it is planned and computed in its slot, and watched and passed on here.
struct Job {
    limits: Limits,
    running: Running,
    slot: TakenSlot,
}

impl Job {
    async fn run(
        mut self,
        planner: Planner,
        statement: Parsed,
        params: Params,
        planned: tokio::sync::oneshot::Sender<Planned>,
        sender: mpsc::Sender<Message>,
    ) {
        let recorder = self.running.recorder().clone();
        let limits = self.limits.clone();
        // Held in the slot: a plan that is stopped has freed its memory when the next one begins.
        let plan = self.slot.run(async move {
            limits.hold(planner.plan(statement, params)).await.and_then(|plan| plan)
        });
        let (plan, limits) = (plan.await, &self.limits);
        recorder.planned();
        let (mut stream, described, session) = match plan {
            Err(error) => {
                self.running.failed(&error);
                // The caller may be gone.
                let _ = planned.send(Err(error));
                return;
            }
            Ok(Planning::Set(session)) => {
                self.running.done();
                let nothing = Arc::new(arrow::datatypes::Schema::empty());
                let _ = planned.send(Ok((nothing.clone(), nothing, Some(session))));
                let _ = sender.send(Ok(None)).await;
                return;
            }
            Ok(Planning::Rows(stream, described, session)) => (stream, described, session),
        };
        let _ = planned.send(Ok((stream.schema(), described, session)));
        let last = loop {
            let next = limits.hold(stream.next()).await;
            let message = next.and_then(|batch| Ok(batch.transpose()?));
            match &message {
                Ok(Some(batch)) => recorder.answered(batch.num_rows()),
                // Recorded before the end is sent, so that a caller that has read all rows sees the
                // final stats.
                Ok(None) => self.running.done(),
                Err(error) => self.running.failed(error),
            }
            if !matches!(message, Ok(Some(_))) {
                break message;
            }
            match limits.hold(sender.send(message)).await {
                Ok(Ok(())) => {}
                // The caller is gone.
                Ok(Err(_)) => return,
                Err(error) => {
                    self.running.failed(&error);
                    break Err(error);
                }
            }
        };
        // Frees the statement's memory first: a slow reader may delay the end.
        drop(stream);
        let _ = tokio::time::timeout(END_TIMEOUT, sender.send(last)).await;
    }
}

/// What the plan of a statement is made of.
struct Planner {
    engine: Arc<QueryEngine>,
    account: Arc<Account>,
    session: Session,
    snapshot: Arc<Snapshot>,
    recorder: Arc<StatsRecorder>,
}

impl Planner {
    /// Plans the statement. Boxed so that the compiler proves once that what planning holds is
    /// `Send`, not again for each future around it.
    fn plan(mut self, statement: Parsed, params: Params) -> BoxFuture<'static, Result<Planning>> {
        Box::pin(async move {
            self.engine.slots.tidy();
            self.engine.slots.begin(&self.account).await;
            self.plan_here(statement, params).await
        })
    }

    /// Replaces the snapshot by that of the version of the table that the session asks for, if it
    /// asks for one.
    async fn travel(&mut self) -> Result<()> {
        if let Some(as_of) = self.session.as_of() {
            self.snapshot = self.snapshot.as_of(as_of).await?;
        }
        Ok(())
    }

    async fn plan_here(&mut self, statement: Parsed, params: Params) -> Result<Planning> {
        if let Some(changes) = syntax::session_changes(&statement.statement)? {
            changes.into_iter().try_for_each(|change| self.session.change(change))?;
            return Ok(Planning::Set(self.session.clone()));
        }
        // An option can also be changed while the version that is set cannot be read.
        if !statement.is_set() {
            self.travel().await?;
        }
        let (session, snapshot) = (&self.session, &self.snapshot);
        let state = self.engine.state_of(session, snapshot, &self.recorder, &statement)?;
        let mut ast = Statement::clone(&statement.statement);
        if !params.is_none() {
            syntax::bind_table_arguments(&mut ast, &|name| params.value(name))?;
        }
        let mut plan = state
            .statement_to_plan(ast)
            .await
            .map_err(|error| syntax::suggest_table(error, &state))?;
        match &plan {
            LogicalPlan::Statement(StatementPlan::SetVariable(set)) => {
                let name = set.variable.to_lowercase();
                self.session.set(&name, &set.value)?;
                if name == AS_OF {
                    self.travel().await?;
                }
                return Ok(Planning::Set(self.session.clone()));
            }
            LogicalPlan::Statement(StatementPlan::ResetVariable(reset)) => {
                let defaults = self.engine.base.config_options().clone();
                self.session.reset(&reset.variable.to_lowercase(), &defaults)?;
                return Ok(Planning::Set(self.session.clone()));
            }
            _ => {}
        }
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        if read_only.verify_plan(&plan).is_err() {
            let reason = "this store is read through SQL and written through events: \
                          SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE and SET are answered";
            return Err(Error::Invalid(reason.into()));
        }
        plan = bind(plan, params)?;
        let rows = execute(state, &plan).await?;
        let described = postgres::described(rows.schema(), plan.schema());
        let changes = syntax::called_changes(&statement.statement)?;
        let is_changed = !changes.is_empty();
        changes.into_iter().try_for_each(|change| self.session.change(change))?;
        Ok(Planning::Rows(rows, described, is_changed.then(|| self.session.clone())))
    }
}

enum Planning {
    /// The rows, their columns as the plan describes them, and the session if the statement changed
    /// it, as `set_config` does.
    Rows(SendableRecordBatchStream, SchemaRef, Option<Session>),
    /// The session with the option changed.
    Set(Session),
}

async fn execute(mut state: SessionState, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
    limits::check_plan(plan)?;
    let plan = state.optimize(plan)?;
    steps::fit_batches(&mut state, &plan)?;
    let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
    frames::check(&physical)?;
    let physical = steps::bound(physical, state.config().batch_size())?;
    Ok(in_own_task(execute_stream(physical, state.task_ctx())?))
}

/// Runs the stream in a task of its own: in the task that watches the timeout, a stream that
/// computes without a pause would delay the timer as well. Dropping the result ends the task at its
/// next pause.
fn in_own_task(mut stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let mut receiver = RecordBatchReceiverStream::builder(stream.schema(), 1);
    let sender = receiver.tx();
    receiver.spawn(async move {
        while let Some(batch) = stream.next().await {
            for part in parts::split(batch?) {
                if sender.send(Ok(part)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    receiver.build()
}

/// The time and memory limits of a statement.
#[derive(Clone)]
struct Limits {
    deadline: Instant,
    timeout: Duration,
    /// Name of the setting of the timeout.
    setting: &'static str,
    account: Arc<Account>,
}

impl Limits {
    async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            done = tokio::time::timeout_at(self.deadline.into(), work) => done.map_err(|_| {
                let (timeout, setting) = (self.timeout, self.setting);
                Error::Limit(format!(
                    "the query was stopped after {timeout:?} ({setting}): ask for fewer hours, or raise it"
                ))
            }),
            error = self.account.over() => Err(error),
        }
    }
}
