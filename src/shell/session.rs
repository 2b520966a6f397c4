//! Shell session: runs statements against the target, and commands on the shell's own state.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use futures::FutureExt;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::commands::{COMMANDS, Command, Entry};
use super::lexer::{Cutter, Piece};
use super::notes::{Origin, dim, explain, receipt};
use super::render::{Cells, DisplayFormat, Expanded, Layout, Renderer, cells};
use super::target::{Question, Rows, Target};
use crate::client::Fault;
use crate::console::{self, STDOUT};
use crate::error::{Error, Result};
use crate::query::QueryStats;
use crate::rows::RowFormat;
use crate::storage;
use crate::text::{bytes, nearest, thousands, visible};

/// Delay before a spinner is shown for a running statement.
const SPINNER_DELAY: Duration = Duration::from_millis(500);

/// Maximum depth of script files that include others.
const MAX_DEPTH: usize = 16;

/// What to do after a statement or command.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// Text from the editor (`\e`) was run; it is added to the history.
    Remember(String),
    Quit,
}

/// Error that has been reported already. Holds the exit code for scripts.
#[derive(Debug)]
pub struct Failed(pub u8);

/// Properties of the terminal.
#[derive(Clone, Copy, Debug)]
struct Terminal {
    /// Whether standard output is a terminal; `err` is the same for standard error.
    out: bool,
    err: bool,
    /// Whether the user's environment allows colour (<https://no-color.org>).
    colour: bool,
}

/// SQL shell: its target, its options, and its output.
#[derive(Debug)]
pub struct Shell {
    target: Target,
    runtime: Runtime,
    terminal: Terminal,
    /// Ctrl-C signals in an interactive shell; they cancel the statement, not the shell.
    interrupts: Option<Signal>,
    format: DisplayFormat,
    expanded: Expanded,
    timing: bool,
    output: Output,
    /// The last statement, for `\watch` and `\e`.
    last: Option<String>,
    depth: usize,
}

impl Shell {
    /// # Errors
    /// [`Error::Config`] when the format cannot be written to the current output.
    pub fn new(target: Target, format: DisplayFormat) -> Result<Shell> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let terminal =
            Terminal { out: io::stdout().is_terminal(), err: io::stderr().is_terminal(), colour };
        Ok(Shell {
            target,
            runtime: runtime.map_err(Error::io("threads", "start"))?,
            terminal,
            interrupts: None,
            format,
            expanded: Expanded::Auto,
            timing: false,
            output: Output::terminal(),
            last: None,
            depth: 0,
        })
    }

    /// Makes the shell interactive: Ctrl-C cancels the running statement, and the cost of each
    /// statement is shown.
    pub fn set_interactive(&mut self) -> Result<()> {
        let _context = self.runtime.enter();
        self.interrupts = Some(
            signal(SignalKind::interrupt()).map_err(Error::io("signals", "install a handler"))?,
        );
        self.timing = true;
        Ok(())
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn has_colour(&self) -> bool {
        self.terminal.err && self.terminal.colour
    }

    /// Runs the statements and commands of a text until one fails.
    pub fn run_text(&mut self, text: &str) -> Result<Flow, Failed> {
        self.run_lines(text.as_bytes(), None)
    }

    /// Runs a file, or standard input if the path is `-`.
    pub fn run_file(&mut self, path: &Path) -> Result<Flow, Failed> {
        let fault = |source| Fault::from(Error::io(path, "read")(source));
        if path == Path::new("-") {
            return self.run_lines(io::stdin().lock(), None);
        }
        let opened = File::open(path).map_err(fault);
        let file = self.report(opened, Origin::unknown())?;
        self.run_lines(BufReader::new(file), Some(path))
    }

    fn run_lines(&mut self, lines: impl BufRead, file: Option<&Path>) -> Result<Flow, Failed> {
        let mut cutter = Cutter::default();
        for (number, line) in (1_u64..).zip(lines.lines()) {
            let line = line.map_err(|source| {
                unreadable(file.unwrap_or(Path::new("standard input")), number, source)
            });
            let line = self.report(line.map_err(Fault::from), Origin::unknown())?;
            // A byte order mark at the start of the file is skipped.
            let line = line.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(&line);
            for piece in cutter.feed(line) {
                if self.run(&piece, file)? == Flow::Quit {
                    return Ok(Flow::Quit);
                }
            }
        }
        match cutter.finish() {
            Some(piece) => self.run(&piece, file),
            None => Ok(Flow::Continue),
        }
    }

    /// Runs one statement or command.
    pub fn run(&mut self, piece: &Piece, file: Option<&Path>) -> Result<Flow, Failed> {
        match piece {
            Piece::Statement { text, line } => {
                self.last = Some(text.clone());
                self.statement(Origin { file, line: *line, text })
            }
            Piece::Command { text, line } => {
                let origin = Origin { file, line: *line, text };
                let command = Command::parse(text).map_err(Fault::from);
                let command = self.report(command, origin)?;
                self.command(command, origin)
            }
        }
    }

    fn statement(&mut self, origin: Origin) -> Result<Flow, Failed> {
        let answered = self.show(Question::Sql(origin.text));
        self.report(answered, origin).map(|()| Flow::Continue)
    }

    fn command(&mut self, command: Command, origin: Origin) -> Result<Flow, Failed> {
        let done = match command {
            Command::Quit => return Ok(Flow::Quit),
            Command::Include(path) => return self.include(&path, origin),
            Command::Watch { every, times } => return self.watch(every, times, origin),
            Command::Edit => {
                let edited = self.edit().map_err(Fault::from);
                let text = self.report(edited, origin)?;
                self.note(&text);
                self.run_text(&text)?;
                return Ok(Flow::Remember(text));
            }
            Command::Copy { query, file, format } => {
                let copied = self.copy(&query, &file, format);
                return self
                    .report(copied, Origin { text: &query, ..origin })
                    .map(|()| Flow::Continue);
            }
            Command::Tables(part) => self.show(Question::Sql(&tables(&part))),
            Command::Describe(table) => self.describe(&table),
            Command::Functions(part) => self.show(Question::Sql(&functions(&part))),
            Command::SavedQueries => self.library(),
            Command::Run { name, given } => self.show(Question::Named(&name, &given)),
            Command::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                self.note(&format!("timing is {}", if self.timing { "on" } else { "off" }));
                Ok(())
            }
            Command::Expanded(expanded) => {
                let flipped =
                    if self.expanded == Expanded::On { Expanded::Auto } else { Expanded::On };
                self.expanded = expanded.unwrap_or(flipped);
                self.note(&format!(
                    "expanded is {}",
                    format!("{:?}", self.expanded).to_lowercase()
                ));
                Ok(())
            }
            Command::DisplayFormat(format) => {
                self.format = format;
                self.note(&format!("format is {}", format.name()));
                Ok(())
            }
            Command::Output(path) => self.redirect(path),
            Command::Help(entry) => self.print(&help(entry)),
        };
        self.report(done.map_err(|fault| Fault { position: None, ..fault }), origin)
            .map(|()| Flow::Continue)
    }

    /// Prints the error of a failed outcome, and converts it to [`Failed`]. Prints nothing if the
    /// error is that the reader of our output has closed the pipe.
    fn report<T>(&self, outcome: Result<T, Fault>, origin: Origin) -> Result<T, Failed> {
        outcome.map_err(|fault| match &fault.error {
            Error::Storage(storage::Error::Io { path, source, .. })
                if path == Path::new(STDOUT) && source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Failed(0)
            }
            error => {
                console::tell(explain(&fault, origin, self.has_colour()).trim_end_matches('\n'));
                Failed(error.exit_code())
            }
        })
    }

    /// Prints a message that is not part of a result; only in interactive use.
    fn note(&self, text: &str) {
        if self.interrupts.is_some() {
            console::tell(&dim(&visible(text), self.has_colour()));
        }
    }

    fn print(&mut self, text: &str) -> Result<(), Fault> {
        Ok(self.output.put(text.as_bytes())?)
    }

    fn layout(&self) -> Layout {
        let is_terminal = self.terminal.out && self.output.is_terminal();
        let width =
            terminal_size::terminal_size().filter(|_| is_terminal).map(|(width, _)| width.0.into());
        Layout {
            is_terminal,
            width,
            colour: is_terminal && self.terminal.colour,
            expanded: self.expanded,
        }
    }

    /// Runs a statement and writes its result to the current output.
    fn show(&mut self, question: Question) -> Result<(), Fault> {
        let layout = self.layout();
        self.output.admit(self.format, self.terminal.out)?;
        let Shell { target, runtime, interrupts, output, format, .. } = self;
        target.refresh()?;
        let started = Instant::now();
        let (rows, stats) = runtime.block_on(async {
            let mut waiting = Waiting::new(interrupts.as_mut(), started).await;
            let mut rows = waiting.on(target.ask(question)).await??;
            // The result of `SET` has no columns.
            if rows.schema().fields().is_empty() {
                while waiting.on(rows.next()).await?.transpose()?.is_some() {}
                return Ok::<_, Fault>((0, None));
            }
            let renderer = Renderer::new(*format, rows.schema(), layout)?;
            let count = write_result(&mut waiting, &mut rows, renderer, output).await?;
            Ok((count, Some(rows.stats())))
        })?;
        if let Some(stats) = stats.filter(|_| self.timing) {
            self.show_cost(rows, stats, started);
        }
        Ok(())
    }

    fn show_cost(&self, rows: u64, stats: Option<QueryStats>, started: Instant) {
        console::tell(&dim(&receipt(rows, stats.as_ref(), started.elapsed()), self.has_colour()));
    }

    /// Returns the rows of an internal query, as text.
    pub fn texts(&mut self, sql: &str) -> Result<(Cells, Option<QueryStats>), Fault> {
        self.target.refresh()?;
        let Shell { target, runtime, interrupts, .. } = self;
        runtime.block_on(async {
            let mut waiting = Waiting::new(interrupts.as_mut(), Instant::now()).await;
            let mut rows = waiting.on(target.ask(Question::Sql(sql))).await??;
            let mut texts = Vec::new();
            while let Some(batch) = waiting.on(rows.next()).await?.transpose()? {
                texts.extend(cells(&batch, batch.num_rows())?);
            }
            Ok((texts, rows.stats()))
        })
    }

    fn describe(&mut self, table: &str) -> Result<(), Fault> {
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        let (known, _) =
            self.texts("SELECT table_schema, table_name FROM information_schema.tables")?;
        let known: Vec<(String, String)> = known
            .into_iter()
            .filter_map(|row| {
                row.into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(|row| (row[0].clone(), row[1].clone()))
            })
            .collect();
        if !known.iter().any(|(of, table)| of == schema && table == name) {
            let names: Vec<String> =
                known.iter().map(|(schema, name)| qualified(schema, name)).collect();
            let near = nearest(table, names.iter().map(String::as_str));
            let hint =
                near.first().map(|near| format!("did you mean {near}? ")).unwrap_or_default();
            return Err(
                Error::Invalid(format!("there is no table {table}; {hint}\\d lists them")).into()
            );
        }
        self.show(Question::Sql(&format!(
            "SELECT column_name AS column, data_type AS type, lower(is_nullable) AS nullable \
             FROM information_schema.columns WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
            literal(schema),
            literal(name)
        )))
    }

    fn library(&mut self) -> Result<(), Fault> {
        let parameters = |named: &crate::query::SavedQuery| {
            let parameter = |parameter: &crate::query::Parameter| match &parameter.default {
                Some(default) => format!("[{}={default}]", parameter.name),
                None => format!("{}=…", parameter.name),
            };
            named.parameters.iter().map(parameter).collect::<Vec<_>>().join(" ")
        };
        let library = self.target.library()?;
        let column = |text: &dyn Fn(&crate::query::SavedQuery) -> String| {
            Arc::new(StringArray::from_iter_values(library.all().iter().map(text))) as ArrayRef
        };
        let batch = RecordBatch::try_from_iter([
            ("query", column(&|named| named.name.clone())),
            ("parameters", column(&parameters)),
            ("answers", column(&|named| named.answers.clone())),
        ]);
        let batch = batch.map_err(Error::from)?;
        self.output.admit(self.format, self.terminal.out)?;
        let mut renderer = Renderer::new(self.format, &batch.schema(), self.layout())?;
        renderer.push(&batch)?;
        let mut text = renderer.take();
        text.extend(renderer.finish()?);
        Ok(self.output.put(&text)?)
    }

    /// Writes the result of a query to a file, which appears under its name only once it is
    /// complete.
    fn copy(&mut self, query: &str, path: &Path, format: RowFormat) -> Result<(), Fault> {
        let part = PathBuf::from(format!("{}.part", path.display()));
        let Shell { target, runtime, interrupts, .. } = self;
        target.refresh()?;
        let started = Instant::now();
        let mut file = Output::create(&part)?;
        let copied = runtime.block_on(async {
            let mut waiting = Waiting::new(interrupts.as_mut(), started).await;
            let mut rows = waiting.on(target.ask(Question::Sql(query))).await??;
            let renderer = Renderer::rows(format, rows.schema())?;
            let count = write_result(&mut waiting, &mut rows, renderer, &mut file).await?;
            Ok::<_, Fault>((count, rows.stats()))
        });
        let (count, stats) = copied.inspect_err(|_| drop(fs::remove_file(&part)))?;
        fs::rename(&part, path).map_err(Error::io(path, "rename the copy"))?;
        let size = fs::metadata(path).map_err(Error::io(path, "read"))?.len();
        self.note(&format!("{} rows in {}, {}", thousands(count), path.display(), bytes(size)));
        if self.timing {
            self.show_cost(count, stats, started);
        }
        Ok(())
    }

    fn redirect(&mut self, path: Option<PathBuf>) -> Result<(), Fault> {
        self.output = match &path {
            Some(path) => Output::create(path)?,
            None => Output::terminal(),
        };
        self.note(&path.map_or("results are shown here".into(), |path| {
            format!("results are written to {}", path.display())
        }));
        Ok(())
    }

    fn include(&mut self, path: &Path, origin: Origin) -> Result<Flow, Failed> {
        if self.depth == MAX_DEPTH {
            let reason =
                format!("{}: files include each other more than {MAX_DEPTH} deep", path.display());
            return self.report(Err(Error::Invalid(reason).into()), origin);
        }
        self.depth += 1;
        let flow = self.run_file(path);
        self.depth -= 1;
        flow
    }

    fn watch(
        &mut self,
        every: Duration,
        times: Option<u64>,
        origin: Origin,
    ) -> Result<Flow, Failed> {
        let last = self
            .last
            .clone()
            .ok_or_else(|| Error::Invalid("there is no statement to repeat yet".into()).into());
        let text = self.report(last, origin)?;
        for time in 1.. {
            let now = chrono::Local::now().format("%H:%M:%S");
            self.note(&format!("{now}, every {every:?}; Ctrl-C stops"));
            self.statement(Origin { file: None, line: 1, text: &text })?;
            if times.is_some_and(|times| time >= times) || self.sleep(every) {
                break;
            }
        }
        Ok(Flow::Continue)
    }

    /// Sleeps; returns whether Ctrl-C interrupted it.
    fn sleep(&mut self, span: Duration) -> bool {
        let Shell { runtime, interrupts, .. } = self;
        runtime.block_on(async {
            let mut waiting = Waiting::new(interrupts.as_mut(), Instant::now() + span).await;
            waiting.on(tokio::time::sleep(span)).await.is_err()
        })
    }

    /// Opens the last statement in the user's editor and returns the edited text.
    fn edit(&self) -> Result<String> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
        let path = std::env::temp_dir().join(format!("hourglass-{}.sql", uuid::Uuid::new_v4()));
        let before = self.last.as_ref().map(|last| format!("{last};\n")).unwrap_or_default();
        fs::write(&path, before).map_err(Error::io(&path, "write"))?;
        // $EDITOR may contain arguments, so it is run through `sh`.
        let command = format!("{editor} \"$1\"");
        let status = process::Command::new("sh").args(["-c", &command, "sh"]).arg(&path).status();
        let text = fs::read_to_string(&path).map_err(Error::io(&path, "read"));
        drop(fs::remove_file(&path));
        match status.map_err(Error::io(&editor, "start"))? {
            status if status.success() => Ok(text?.trim().to_string()),
            status => Err(Error::Invalid(format!("{editor} ended with {status}; nothing was run"))),
        }
    }
}

impl Origin<'_> {
    fn unknown() -> Origin<'static> {
        Origin { file: None, line: 1, text: "" }
    }
}

/// Returns the error of reading a script: if the text is not UTF-8, the script is invalid;
/// otherwise the disk failed.
fn unreadable(path: &Path, line: u64, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::InvalidData => {
            Error::Invalid(format!("{}: line {line} is not UTF-8", path.display()))
        }
        _ => Error::io(path, "read")(source),
    }
}

/// Writes a result as it arrives; returns the number of rows.
async fn write_result(
    waiting: &mut Waiting<'_>,
    rows: &mut Rows,
    mut renderer: Renderer,
    output: &mut Output,
) -> Result<u64, Fault> {
    let mut count = 0;
    while let Some(batch) = waiting.on(rows.next()).await?.transpose()? {
        count += batch.num_rows() as u64;
        waiting.show_rows(count);
        renderer.push(&batch)?;
        let ready = renderer.take();
        if !ready.is_empty() {
            waiting.hide(output);
            output.put(&ready)?;
        }
    }
    waiting.hide(output);
    output.put(&renderer.finish()?)?;
    output.flush()?;
    Ok(count)
}

fn tables(part: &str) -> String {
    format!(
        "SELECT table_schema AS schema, table_name AS name, lower(table_type) AS type FROM information_schema.tables \
         WHERE table_schema IN ('public', 'system') AND strpos(table_name, {}) > 0 ORDER BY schema, name",
        literal(part)
    )
}

fn functions(part: &str) -> String {
    // Descriptions are long, so only filtered lists include them.
    let description = if part.is_empty() { "" } else { ", description" };
    format!(
        "SELECT DISTINCT routine_name AS function, lower(function_type) AS type, syntax_example AS syntax{description} \
         FROM information_schema.routines WHERE strpos(routine_name, {}) > 0 ORDER BY function",
        literal(&part.to_lowercase())
    )
}

/// Returns a table's name as written in statements.
pub fn qualified(schema: &str, name: &str) -> String {
    match schema {
        "public" => name.to_string(),
        _ => format!("{schema}.{name}"),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn help(entry: Option<&Entry>) -> String {
    let line = |entry: &Entry, width: usize| {
        let usage = format!("{} {}", entry.names[0], entry.args);
        let also = entry.names[1..].join(" ");
        format!("  {usage:width$}  {} ({also})\n", entry.help)
    };
    match entry {
        Some(entry) => line(entry, 0),
        None => {
            let width = COMMANDS
                .iter()
                .map(|entry| entry.names[0].len() + 1 + entry.args.chars().count())
                .max();
            let lines: String =
                COMMANDS.iter().map(|entry| line(entry, width.unwrap_or(0))).collect();
            format!("A statement ends with a semicolon. Commands are one line:\n{lines}")
        }
    }
}

/// Destination of results.
#[derive(Debug)]
struct Output {
    /// `None` is standard output.
    file: Option<(PathBuf, BufWriter<File>)>,
    /// Number of results written so far.
    answers: u64,
}

impl Output {
    fn terminal() -> Output {
        Output { file: None, answers: 0 }
    }

    fn create(path: &Path) -> Result<Output> {
        let file = File::create(path).map_err(Error::io(path, "create"))?;
        Ok(Output { file: Some((path.to_path_buf(), BufWriter::new(file))), answers: 0 })
    }

    fn is_terminal(&self) -> bool {
        self.file.is_none()
    }

    /// Checks that a result in this format can be written here, and counts it.
    fn admit(&mut self, format: DisplayFormat, out_is_terminal: bool) -> Result<()> {
        self.answers += 1;
        let refusal = match format {
            DisplayFormat::Parquet if self.is_terminal() && out_is_terminal => {
                "Parquet is not for a terminal"
            }
            DisplayFormat::Parquet if self.answers > 1 => "a Parquet file holds one answer",
            _ => return Ok(()),
        };
        Err(Error::Invalid(format!("{refusal}; \\copy (…) to 'FILE.parquet' writes one")))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            Some((path, file)) => file.write_all(bytes).map_err(Error::io(path, "write")),
            None => io::stdout().write_all(bytes).map_err(Error::io(STDOUT, "write")),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.file {
            Some((path, file)) => file.flush().map_err(Error::io(path, "write")),
            None => io::stdout().flush().map_err(Error::io(STDOUT, "write")),
        }
    }
}

/// Waiter for a running statement: shows a spinner, and handles Ctrl-C.
struct Waiting<'a> {
    interrupts: Option<&'a mut Signal>,
    started: Instant,
    /// Spinner; hidden unless standard error is a terminal.
    bar: Option<ProgressBar>,
    shows: bool,
}

impl<'a> Waiting<'a> {
    /// Starts waiting for a statement that began at `started`. An earlier Ctrl-C is ignored.
    async fn new(mut interrupts: Option<&'a mut Signal>, started: Instant) -> Waiting<'a> {
        if let Some(interrupts) = &mut interrupts {
            // The runtime checks for signals only when it is otherwise idle, so yield to it once.
            tokio::task::yield_now().await;
            while interrupts.recv().now_or_never().is_some() {}
        }
        Waiting { interrupts, started, bar: None, shows: true }
    }

    async fn on<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Fault> {
        let mut work = pin!(work);
        let Waiting { interrupts, started, bar, shows } = self;
        let interrupted = async {
            match interrupts {
                Some(interrupts) => interrupts.recv().await,
                None => std::future::pending().await,
            }
        };
        let mut interrupted = pin!(interrupted);
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupted => {
                    bar.take().inspect(ProgressBar::finish_and_clear);
                    return Err(Error::Limit("cancelled".into()).into());
                }
                done = &mut work => return Ok(done),
                () = tokio::time::sleep_until((*started + SPINNER_DELAY).into()), if *shows && bar.is_none() => {
                    *bar = Some(spinner(*started));
                }
            }
        }
    }

    fn show_rows(&self, rows: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} rows", thousands(rows)));
        }
    }

    /// Hides the spinner for good if results are written to the terminal.
    fn hide(&mut self, output: &Output) {
        if output.is_terminal() {
            self.shows = false;
            self.bar.take().inspect(ProgressBar::finish_and_clear);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.bar.take().inspect(ProgressBar::finish_and_clear);
    }
}

fn spinner(started: Instant) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_elapsed(started.elapsed());
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed} {msg:.dim} Ctrl-C cancels")
            .expect("a template"),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
