//! The SQL shell: `hourglass sql`, for people at a terminal and for scripts.
//!
//! [`lexer`] splits input into statements and commands. [`commands`] parses the commands,
//! [`complete`] completes the word at the cursor. [`session`] runs statements and commands against
//! a [`Target`], a data directory or a server. [`render`] formats results; [`notes`] formats costs
//! and errors. [`editor`] is the line editor of the terminal.

mod commands;
mod complete;
mod editor;
mod lexer;
mod notes;
mod render;
mod session;
mod target;

pub use self::editor::interact;
pub use self::render::DisplayFormat;
pub use self::session::{Failed, Flow, Shell};
pub use self::target::Target;
