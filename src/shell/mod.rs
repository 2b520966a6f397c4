//! The SQL shell: `hourglass sql`, for people at a terminal and for scripts.
//!
//! [`lexer`] cuts what is typed or read into statements and commands; [`commands`] knows the commands, [`complete`] what may
//! follow at the cursor. [`session`] runs both against a [`Target`], a data directory or a server; [`render`] shows the
//! answers and [`notes`] what is said beside them. [`editor`] is the line editor of the terminal.

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
