//! Loading shared by `generate` and `import`: the destination of events, appending, and the
//! summary.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::console;
use crate::error::{Error, Result};
use crate::event::{EventBatch, EventSchema};
use crate::storage::{self, Engine, EngineOptions, META_FILE};
use crate::text::thousands;

/// Maximum number of batches in flight to the engine: with several, the sync of one overlaps the
/// decoding of the next.
const STORE_IN_FLIGHT: usize = 4;

/// Maximum number of batches in flight to a server, and of events per request. Both are small
/// because the server's queue is shared with other clients.
const SERVER_IN_FLIGHT: usize = 2;
const POST_EVENTS: usize = 16_384;

/// Maximum number of batches that a producer may be ahead of its consumer.
const AHEAD: usize = 3;

/// Maximum number of attempts while the engine's flusher is behind, and the delay between them:
/// about a minute in total.
const MAX_TRIES: u32 = 1_200;
const RETRY: Duration = Duration::from_millis(50);

/// Arguments that select the destination of events.
#[derive(clap::Args, Clone, Debug)]
pub struct SinkArgs {
    /// Data directory of the store [default: data/store]. No other process may have it open; use
    /// --url with a running server
    #[arg(long, value_name = "DIR", env = "HOURGLASS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// Address of a running server to use instead of a directory, such as
    /// http://localhost:8080
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Token for the server
    #[arg(long, value_name = "TOKEN", env = "HOURGLASS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

impl SinkArgs {
    /// Returns a client of the server, if one is named.
    pub fn client(&self) -> Result<Option<Client>> {
        Client::of(self.url.as_deref(), self.token.as_deref())
    }

    /// Returns the data directory, for when there is no URL.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("data/store"))
    }
}

/// Open destination of events.
pub enum Sink {
    Store(Engine),
    Server(Client),
}

impl Sink {
    /// Opens the destination. A new store gets `dimensions`; an older one must have them, as must a
    /// server.
    pub fn open(args: &SinkArgs, dimensions: &[String]) -> Result<Sink> {
        let (sink, place, fix) = if let Some(client) = args.client()? {
            let url = args.url.clone().unwrap_or_default();
            (Sink::Server(client.connect()?), url, "on its data directory")
        } else {
            let data_dir = args.data_dir();
            let is_new = !data_dir.join(META_FILE).exists();
            let mut options = bulk_options();
            options.declared.dimensions = is_new.then(|| dimensions.to_vec());
            let place = data_dir.display().to_string();
            (Sink::Store(Engine::open(&data_dir, options)?), place, "first")
        };
        let lacks = |name: &&String| sink.schema().dimension(name).is_none();
        match dimensions.iter().find(lacks) {
            None => Ok(sink),
            Some(name) => Err(Error::Config(format!(
                "{place} has no dimension {name}: run `hourglass schema add dimension {name}` {fix}"
            ))),
        }
    }

    /// Returns the kinds and dimensions of the destination's events.
    pub fn schema(&self) -> EventSchema {
        match self {
            Sink::Store(engine) => engine.snapshot().schema.clone(),
            Sink::Server(client) => client.schema().clone(),
        }
    }

    /// Stores the batches in order, several at a time, and returns the number of events. Stops at
    /// the first error; some batches may be stored by then.
    pub async fn append_all(&self, batches: impl Stream<Item = Result<EventBatch>>) -> Result<u64> {
        let in_flight = match self {
            Sink::Store(_) => STORE_IN_FLIGHT,
            Sink::Server(_) => SERVER_IN_FLIGHT,
        };
        let stored = batches.map(|batch| async {
            let batch = batch?;
            let events = batch.len() as u64;
            self.append(batch).await.map(|()| events)
        });
        stored
            .buffered(in_flight)
            .try_fold(0, |total, events| async move { Ok(total + events) })
            .await
    }

    async fn append(&self, batch: EventBatch) -> Result<()> {
        match self {
            Sink::Store(engine) => append_with_retry(engine, batch).await,
            Sink::Server(client) => {
                let client = client.clone();
                let post = move || {
                    pieces(&batch, POST_EVENTS).try_for_each(|piece| client.post_events(&piece))
                };
                match tokio::task::spawn_blocking(post).await {
                    Ok(posted) => posted,
                    Err(error) => resume_unwind(error.into_panic()),
                }
            }
        }
    }

    /// Closes the destination, after a flush if `result` is a success.
    pub async fn close_after<T>(self, result: Result<T>) -> Result<T> {
        let Sink::Store(engine) = self else { return result };
        let flushed = if result.is_ok() { engine.flush().await } else { Ok(()) };
        if result.is_ok() && flushed.is_ok() {
            build_sets(&engine).await;
        }
        let closed = engine.close();
        let value = result?;
        flushed.and(closed)?;
        Ok(value)
    }
}

/// Waits until the visitor sets of what was loaded are made.
async fn build_sets(engine: &Engine) {
    let bar = progress_bar(0);
    bar.set_message("indexing visitors");
    let mut most = 0;
    engine
        .build_sets(|left| {
            most = most.max(left);
            bar.set_length(most);
            bar.set_position(most - left);
        })
        .await;
    bar.finish_and_clear();
}

/// Returns options for an engine that only loads: a queue for [`STORE_IN_FLIGHT`] whole batches,
/// and memtables small enough that one being filled, one being flushed and the batches held for
/// checking stay within a gigabyte.
fn bulk_options() -> EngineOptions {
    EngineOptions {
        queue_max_events: 8 * crate::decode::BATCH_EVENTS,
        queue_max_bytes: 256 << 20,
        memtable_max_bytes: 192 << 20,
        sets_stand_back: false,
        ..EngineOptions::default()
    }
}

/// Appends a batch, retrying while the engine is busy; `Busy` guarantees that nothing of the batch
/// was stored.
async fn append_with_retry(engine: &Engine, batch: EventBatch) -> Result<()> {
    for _ in 1..MAX_TRIES {
        match engine.append(batch.clone()).await {
            Err(storage::Error::Busy(_)) => tokio::time::sleep(RETRY).await,
            other => return Ok(other.map(drop)?),
        }
    }
    engine.append(batch).await?;
    Ok(())
}

/// Splits a batch into batches of at most `events`.
fn pieces(batch: &EventBatch, events: usize) -> impl Iterator<Item = EventBatch> {
    (0..batch.len()).step_by(events).map(move |start| {
        let mut piece = EventBatch::new();
        for i in start..batch.len().min(start + events) {
            piece.push_event(batch.get(i));
        }
        piece
    })
}

/// Produces the items on a separate thread, [`AHEAD`] in advance. A panic of that thread is resumed
/// in the consumer.
pub fn ahead<T: Send + 'static>(
    items: impl Iterator<Item = T> + Send + 'static,
) -> impl Stream<Item = T> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let maker = std::thread::spawn(move || {
        for item in items {
            if sender.blocking_send(item).is_err() {
                break; // The consumer has stopped early.
            }
        }
    });
    stream::unfold((receiver, maker), |(mut receiver, maker)| async move {
        match receiver.recv().await {
            Some(item) => Some((item, (receiver, maker))),
            None => match maker.join() {
                Ok(()) => None,
                Err(panic) => resume_unwind(panic),
            },
        }
    })
}

pub fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Config(format!("the runtime cannot be started: {error}")))
}

/// Creates a progress bar on standard error; it is hidden if that is not a terminal.
pub fn progress_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta} left")
        .expect("the template is valid");
    ProgressBar::new(total).with_style(style)
}

/// Prints the summary of a load: `10,000,000 events in 6.2 s: 1,612,903 events/s`.
pub fn print_summary(events: u64, started: Instant) {
    // Failing to print the summary does not fail the load.
    console::announce(&summary(events, started.elapsed()));
}

fn summary(events: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = (events as f64 / seconds.max(1e-6)).round() as u64;
    format!("{} events in {seconds:.1} s: {} events/s", thousands(events), thousands(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    #[test]
    fn the_last_line_tells_events_time_and_rate() {
        let line = summary(10_000_000, Duration::from_millis(6_200));
        assert_eq!(line, "10,000,000 events in 6.2 s: 1,612,903 events/s");
        assert_eq!(summary(0, Duration::ZERO), "0 events in 0.0 s: 0 events/s");
    }

    #[test]
    fn pieces_hold_every_event_once_in_order() {
        let mut batch = EventBatch::new();
        (0..10).for_each(|i| batch.push(i, "a", EventKind::CLICK));
        let mut joined = EventBatch::new();
        let lengths: Vec<_> = pieces(&batch, 4)
            .inspect(|piece| joined.extend(piece))
            .map(|piece| piece.len())
            .collect();
        assert_eq!(lengths, [4, 4, 2]);
        assert_eq!(joined, batch);
    }

    #[test]
    fn items_made_ahead_come_in_order_and_all() {
        let items: Vec<u32> = runtime().unwrap().block_on(ahead(0..1000).collect());
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "the maker failed")]
    fn a_panic_of_the_maker_is_the_takers() {
        let items = (0..10).inspect(|&i| assert!(i < 5, "the maker failed"));
        let _: Vec<u32> = runtime().unwrap().block_on(ahead(items).collect());
    }
}
