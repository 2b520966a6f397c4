//! Interactive shell on a terminal: line editor with history, colours and completion.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use reedline::{
    Color, Completer, CompletionResult, DefaultHinter, Emacs, FileBackedHistory, Highlighter,
    HistoryItem, IdeMenu, KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode,
    PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span, StyledText,
    Suggestion, ValidationResult, Validator, default_emacs_keybindings,
};

use super::complete::Vocabulary;
use super::lexer::{self, Cutter, TokenKind};
use super::notes::dim;
use super::session::{Failed, Flow, Shell};
use crate::console;
use crate::error::{Error, Result};
use crate::text::{thousands, visible};

/// Maximum number of lines in the history.
const HISTORY_LINES: usize = 10_000;

const MENU: &str = "completions";

/// Reads and runs statements and commands until the user leaves. A failed statement does not end
/// the session.
pub fn interact(shell: &mut Shell) -> Result<()> {
    shell.set_interactive()?;
    greet(shell)?;
    let mut editor = editor(shell);
    loop {
        let typed = match editor.read_line(&Arrow) {
            Ok(Signal::Success(typed)) => typed,
            Ok(Signal::CtrlD) => return Ok(()),
            Ok(_) => continue,
            Err(error) => return Err(Error::io("the terminal", "read")(error)),
        };
        let mut cutter = Cutter::default();
        let mut pieces: Vec<_> = typed.lines().flat_map(|line| cutter.feed(line)).collect();
        pieces.extend(cutter.finish());
        for piece in pieces {
            match shell.run(&piece, None) {
                Ok(Flow::Continue) => {}
                Ok(Flow::Quit) => return Ok(()),
                Ok(Flow::Remember(text)) => {
                    drop(editor.history_mut().save(HistoryItem::from_command_line(text)))
                }
                // The error has been reported; the rest of the input is not run.
                Err(Failed(_)) => break,
            }
        }
        // The session continues if the history cannot be written.
        drop(editor.sync_history());
    }
}

fn greet(shell: &mut Shell) -> Result<()> {
    let (rows, stats) = shell.texts("SELECT count(*) FROM events").map_err(|fault| fault.error)?;
    let events = rows
        .into_iter()
        .flatten()
        .flatten()
        .next()
        .and_then(|count| count.parse().ok())
        .map_or("?".into(), thousands);
    let partitions = stats.map_or("?".into(), |stats| thousands(stats.partitions));
    let name = visible(&shell.target().name()).into_owned();
    let version = env!("CARGO_PKG_VERSION");
    console::announce(&format!(
        "hourglass {version} · {name} · {events} events in {partitions} partitions"
    ));
    let hint =
        "A statement ends with a semicolon; \\? lists the commands, Tab completes, Ctrl-D exits.";
    console::announce(&dim(hint, shell.has_colour()));
    Ok(())
}

fn editor(shell: &mut Shell) -> Reedline {
    let words = Arc::new(Vocabulary::of(shell));
    let menu = IdeMenu::default().with_name(MENU).with_max_completion_height(12).with_marker("> ");
    let mut keys = default_emacs_keybindings();
    let complete = vec![ReedlineEvent::Menu(MENU.into()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(complete));
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    let mut editor = Reedline::create()
        .with_completer(Box::new(Words(words)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_validator(Box::new(Statements))
        .with_ansi_colors(shell.has_colour());
    if shell.has_colour() {
        let hinter = DefaultHinter::default().with_style(Color::DarkGray.normal());
        editor = editor.with_highlighter(Box::new(Colours)).with_hinter(Box::new(hinter));
    }
    if let Some(path) = history_path()
        && let Ok(history) = FileBackedHistory::with_file(HISTORY_LINES, path)
    {
        editor = editor.with_history(Box::new(history));
    }
    editor
}

/// Returns the path of the history file, by the XDG base directory specification.
fn history_path() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("hourglass/history"))
}

/// The prompt.
struct Arrow;

impl Prompt for Arrow {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "hourglass".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "        -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!(" (history: {}) ", search.term).into()
    }
}

/// Validator that makes Enter run complete statements, and start a new line in incomplete ones.
struct Statements;

impl Validator for Statements {
    fn validate(&self, text: &str) -> ValidationResult {
        if lexer::is_complete(text) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

struct Words(Arc<Vocabulary>);

impl Completer for Words {
    fn complete(&mut self, text: &str, at: usize) -> CompletionResult {
        let (start, candidates) = self.0.complete(&text[..at], &text[at..]);
        let suggestions = candidates.into_iter().map(|candidate| Suggestion {
            value: candidate.value,
            description: Some(candidate.description).filter(|text| !text.is_empty()),
            span: Span::new(start, at),
            append_whitespace: candidate.spaced,
            ..Suggestion::default()
        });
        CompletionResult::fresh(suggestions.collect::<Vec<_>>())
    }
}

struct Colours;

impl Highlighter for Colours {
    fn highlight(&self, text: &str, _: usize) -> StyledText {
        let mut styled = StyledText::new();
        if lexer::is_command(text) {
            let end = text
                .trim_start()
                .find(char::is_whitespace)
                .map_or(text.len(), |at| at + text.len() - text.trim_start().len());
            styled.push((Color::Magenta.bold(), text[..end].to_string()));
            styled.push((Color::Default.normal(), text[end..].to_string()));
            return styled;
        }
        for token in lexer::tokens(text) {
            let style = match token.kind {
                TokenKind::Keyword => Color::Blue.bold(),
                TokenKind::String => Color::Green.normal(),
                TokenKind::Number | TokenKind::Parameter => Color::Cyan.normal(),
                TokenKind::Comment => Color::DarkGray.normal(),
                TokenKind::Name | TokenKind::Space | TokenKind::Semicolon | TokenKind::Symbol => {
                    Color::Default.normal()
                }
            };
            styled.push((style, text[token.range].to_string()));
        }
        styled
    }
}
