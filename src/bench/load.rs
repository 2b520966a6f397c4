//! HTTP load generator: HTTP/1.1 over persistent connections, with one request at a time on each,
//! from one thread.
//!
//! It writes prepared requests and parses responses with `httparse`, so that on a small machine
//! processor time goes to the server and not to the client. There are two modes:
//!
//! - *Closed loop* ([`closed`]): every connection sends its next request as soon as it has a
//!   response. This finds the maximum throughput; its latencies are those of a saturated server.
//! - *Open loop* ([`open`]): requests are due at a fixed rate, however slowly the server responds,
//!   and the latency of a request counts from when it was due. A stall then delays every request
//!   that was due during it, as it delays visitors, which avoids coordinated omission (G. Tene,
//!   "How NOT to Measure Latency").

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::threads;

/// Number of classes of requests whose latencies are measured separately.
pub const CLASSES: usize = 2;

/// Interval at which due requests are released: the resolution of open-loop latencies.
const TICK: Duration = Duration::from_micros(100);

/// How long an open loop waits for responses at its end.
const GRACE: Duration = Duration::from_secs(5);

/// Source of requests, which is notified of those that succeed.
pub trait Requests: Send {
    /// Writes a request into the empty buffer. Returns its class, and a token that identifies it.
    fn next(&mut self, request: &mut Vec<u8>) -> (usize, u64);
    /// Called when a request was answered with 200 or 204.
    fn succeeded(&mut self, token: u64);
}

/// Warm-up and measured duration of a load.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// Measurements of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Number of requests answered with 200 or 204 in the measured time, by class.
    pub answered: [u64; CLASSES],
    /// Number of requests answered with 503.
    pub refused: u64,
    /// Number of the 503 responses without `Retry-After`.
    pub refused_without_retry: u64,
    /// Number of requests that were due but had no response at the end.
    pub unanswered: u64,
    pub seconds: f64,
    /// Latencies in microseconds, by class.
    latencies: [Histogram<u64>; CLASSES],
}

impl Outcome {
    fn new() -> Outcome {
        // From 1 µs to ten minutes, with three significant digits.
        let histogram =
            |_| Histogram::new_with_bounds(1, 600_000_000, 3).expect("these bounds are possible");
        let latencies = std::array::from_fn(histogram);
        Outcome {
            answered: [0; CLASSES],
            refused: 0,
            refused_without_retry: 0,
            unanswered: 0,
            seconds: 0.0,
            latencies,
        }
    }

    /// Returns the number of successful responses per second.
    pub fn rate(&self) -> f64 {
        self.answered.iter().sum::<u64>() as f64 / self.seconds
    }

    /// Returns a quantile of a class's latencies in milliseconds; `of` is a share, and 1 is the
    /// maximum.
    pub fn quantile_ms(&self, class: usize, of: f64) -> f64 {
        self.latencies[class].value_at_quantile(of) as f64 / 1e3
    }
}

/// Runs a closed loop for the duration of `span`.
///
/// # Errors
/// If a connection fails, or a response is neither 200, 204 nor 503.
pub fn closed(
    server: SocketAddr,
    connections: usize,
    span: Span,
    requests: &mut dyn Requests,
) -> Result<Outcome> {
    let meter = Meter::new(requests);
    let ask = async || {
        let open = connect(server, connections).await?;
        meter.starts(span);
        each(open, async |connection| meter.ask_until_the_end(connection).await).await
    };
    runtime()?.block_on(ask())?;
    Ok(meter.outcome(span))
}

/// Runs an open loop of `rate` requests per second. Raises the priority of the calling thread for
/// good. Errors as for [`closed`].
pub fn open(
    server: SocketAddr,
    connections: usize,
    rate: f64,
    span: Span,
    requests: &mut dyn Requests,
) -> Result<Outcome> {
    // Visitors have their own processors, so the load's scheduling delay must not count as the
    // server's.
    threads::go_first();
    let meter = Meter::new(requests);
    let pace = Arc::new(Pace::new(rate, span.warm_up + span.measured));
    let ask = async || {
        let open = connect(server, connections).await?;
        let started = meter.starts(span);
        let keeper = Arc::clone(&pace);
        let keeper = thread::spawn(move || keeper.keep(started, connections));
        let asked =
            each(open, async |connection| meter.ask_when_due(connection, &pace, started).await);
        let asked = tokio::time::timeout(span.warm_up + span.measured + GRACE, asked).await;
        keeper.join().expect("keeping pace does not panic");
        asked.unwrap_or(Ok(()))
    };
    runtime()?.block_on(ask())?;
    let mut outcome = meter.outcome(span);
    outcome.unanswered = pace.total - meter.finished.get();
    Ok(outcome)
}

/// Sends one GET for each target and returns the bodies. For checks, not for speed.
pub fn get(server: SocketAddr, targets: impl IntoIterator<Item = String>) -> Result<Vec<String>> {
    runtime()?.block_on(async {
        let mut connection = Connection::open(server).await?;
        let mut bodies = Vec::new();
        for target in targets {
            connection.request.clear();
            connection
                .request
                .extend(format!("GET {target} HTTP/1.1\r\nhost: bench\r\n\r\n").bytes());
            match connection.exchange().await.map_err(failed)? {
                200 => bodies.push(String::from_utf8_lossy(connection.body()).into_owned()),
                status => {
                    return Err(Error::Invalid(format!("GET {target} was answered {status}")));
                }
            }
        }
        Ok(bodies)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|cause| Error::Config(format!("the load generator cannot be started: {cause}")))
}

fn failed(cause: io::Error) -> Error {
    Error::Invalid(format!("the load generator lost a connection: {cause}"))
}

async fn connect(server: SocketAddr, connections: usize) -> Result<Vec<Connection>> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(server).await?);
    }
    Ok(open)
}

/// Runs `work` on all connections concurrently, until all have ended or one fails.
async fn each(open: Vec<Connection>, work: impl AsyncFn(Connection) -> Result<()>) -> Result<()> {
    let mut working: FuturesUnordered<_> =
        open.into_iter().map(|connection| work(connection)).collect();
    while let Some(ended) = working.next().await {
        ended?;
    }
    Ok(())
}

/// Pacer: releases requests at a fixed rate.
struct Pace {
    rate: f64,
    total: u64,
    /// One permit for each request that is due and not taken yet.
    due: Semaphore,
}

impl Pace {
    fn new(rate: f64, duration: Duration) -> Pace {
        Pace { rate, total: (rate * duration.as_secs_f64()) as u64, due: Semaphore::new(0) }
    }

    /// Adds a permit for each request when it falls due, and at the end one per connection, to stop
    /// it.
    fn keep(&self, started: Instant, connections: usize) {
        let mut given = 0;
        while given < self.total {
            let due = ((started.elapsed().as_secs_f64() * self.rate) as u64 + 1).min(self.total);
            self.due.add_permits((due - given) as usize);
            given = due;
            thread::sleep(TICK);
        }
        self.due.add_permits(connections);
    }

    fn due_at(&self, started: Instant, n: u64) -> Instant {
        started + Duration::from_secs_f64(n as f64 / self.rate)
    }
}

/// Sender that measures requests; shared by the connections of one load, on their thread.
struct Meter<'r> {
    requests: RefCell<&'r mut dyn Requests>,
    outcome: RefCell<Outcome>,
    /// Start and end of the measured interval.
    window: Cell<(Instant, Instant)>,
    begun: Cell<u64>,
    finished: Cell<u64>,
}

impl<'r> Meter<'r> {
    fn new(requests: &'r mut dyn Requests) -> Meter<'r> {
        let now = Instant::now();
        Meter {
            requests: RefCell::new(requests),
            outcome: RefCell::new(Outcome::new()),
            window: Cell::new((now, now)),
            begun: Cell::new(0),
            finished: Cell::new(0),
        }
    }

    fn starts(&self, span: Span) -> Instant {
        let now = Instant::now();
        let begin = now + span.warm_up;
        self.window.set((begin, begin + span.measured));
        now
    }

    fn outcome(&self, span: Span) -> Outcome {
        let mut outcome = self.outcome.replace(Outcome::new());
        outcome.seconds = span.measured.as_secs_f64();
        outcome
    }

    async fn ask_until_the_end(&self, mut connection: Connection) -> Result<()> {
        loop {
            let now = Instant::now();
            if now >= self.window.get().1 {
                return Ok(());
            }
            self.ask(&mut connection, now).await?;
        }
    }

    async fn ask_when_due(
        &self,
        mut connection: Connection,
        pace: &Pace,
        started: Instant,
    ) -> Result<()> {
        loop {
            pace.due.acquire().await.expect("never closed").forget();
            let n = self.begun.replace(self.begun.get() + 1);
            if n >= pace.total {
                return Ok(());
            }
            self.ask(&mut connection, pace.due_at(started, n)).await?;
            self.finished.set(self.finished.get() + 1);
        }
    }

    /// Sends one request and reads the response; the latency counts from `due`.
    async fn ask(&self, connection: &mut Connection, due: Instant) -> Result<()> {
        connection.request.clear();
        let (class, token) = self.requests.borrow_mut().next(&mut connection.request);
        let status = connection.exchange().await.map_err(failed)?;
        let now = Instant::now();
        let mut outcome = self.outcome.borrow_mut();
        match status {
            200 | 204 => self.requests.borrow_mut().succeeded(token),
            503 => {
                outcome.refused += 1;
                outcome.refused_without_retry += u64::from(!connection.says_when_to_retry);
            }
            _ => {
                return Err(Error::Invalid(format!("a request of the load was answered {status}")));
            }
        }
        let (begin, end) = self.window.get();
        if status != 503 && due >= begin && due < end {
            outcome.latencies[class].saturating_record((now - due).as_micros() as u64);
            // The last responses of a closed loop may arrive slightly after its end, so one tick is
            // allowed.
            outcome.answered[class] += u64::from(now < end + TICK);
        }
        Ok(())
    }
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// Bytes of the response, and the length of its head.
    answer: Vec<u8>,
    head: usize,
    says_when_to_retry: bool,
}

impl Connection {
    async fn open(server: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(server).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (request, answer) = (Vec::with_capacity(256), Vec::with_capacity(1024));
        Ok(Connection { stream, request, answer, head: 0, says_when_to_retry: false })
    }

    fn body(&self) -> &[u8] {
        &self.answer[self.head..]
    }

    /// Sends the request, reads the whole response and returns its status.
    async fn exchange(&mut self) -> io::Result<u16> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = parse(&self.answer)? {
                match self.answer.len() - head.len {
                    len if len == head.body => {
                        (self.head, self.says_when_to_retry) = (head.len, head.says_when_to_retry);
                        return Ok(head.status);
                    }
                    len if len > head.body => {
                        return Err(io::Error::other("more came than one answer"));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Parsed head of a response.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Lengths in bytes of the head, and of the body after it.
    len: usize,
    body: usize,
    /// Whether there is a `Retry-After` in seconds (RFC 9110, section 10.2.3).
    says_when_to_retry: bool,
}

/// Parses the head of a response; `None` if it is incomplete.
fn parse(answer: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = response.parse(answer).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| header.value)
    };
    let number = |value: &[u8]| -> Option<usize> { std::str::from_utf8(value).ok()?.parse().ok() };
    let body = value("content-length").map_or(Some(0), number);
    let body = body.ok_or_else(|| io::Error::other("a content-length that is no number"))?;
    let says_when_to_retry = value("retry-after").and_then(number).is_some();
    Ok(Some(Head { status, len, body, says_when_to_retry }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_head_and_says_how_long_its_body_is() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab";
        let head = Head { status: 200, len: answer.len() - 2, body: 3, says_when_to_retry: false };
        assert_eq!(parse(answer).unwrap(), Some(head));
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\r\n";
        let head = Head { status: 503, len: answer.len(), body: 0, says_when_to_retry: true };
        assert_eq!(parse(answer).unwrap(), Some(head));
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn requests_fall_due_at_their_rate() {
        let pace = Pace::new(200.0, Duration::from_millis(500));
        let started = Instant::now();
        assert_eq!(
            (pace.total, pace.due_at(started, 100) - started),
            (100, Duration::from_millis(500))
        );
    }
}
