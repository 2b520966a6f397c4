//! `hourglass schema`: shows and declares the kinds of event and the dimensions of a store.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::client::{Address, Client};
use crate::console;
use crate::error::Result;
use crate::event::EventSchema;
use crate::storage::vfs::Disk;
use crate::storage::{declare, declared};

const EXAMPLES: &str = "\
Examples:
  hourglass schema show
      the kinds and dimensions of data/store
  hourglass schema show --url http://localhost:8080
  hourglass schema add kind signup
  hourglass schema add dimension page --data-dir /var/lib/hourglass
      stop the server first; it takes them from its next start on

A kind is what the visitor did: click and impression are always there, and up
to 62 others, with names of letters, digits, _ and -. It is sent as event=NAME,
and is a column of the view hours. A dimension is a text that events may have,
such as a page or a country: up to 32, with names of small letters, digits and
_. It is sent as a parameter or field of its name, up to 1,024 bytes, and is a
column of the table events; events without it have NULL there.

Nothing is ever removed or renamed, and older versions of hourglass refuse the
store from then on.";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the kinds and dimensions of a store or of a running server
    Show(ShowArgs),
    /// Declare a kind or a dimension
    Add(AddArgs),
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// Data directory of the store; a server may be running on it
    #[arg(long, env = "HOURGLASS_DATA_DIR", default_value = "data/store", value_name = "DIR")]
    data_dir: PathBuf,

    /// Address of a running server to ask instead, such as http://localhost:8080
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Token for the server, of the role read
    #[arg(long, value_name = "TOKEN", env = "HOURGLASS_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Args, Debug)]
struct AddArgs {
    /// What to declare
    #[arg(value_enum)]
    what: What,

    /// Its name
    name: String,

    /// Data directory of the store; no server may be running on it
    #[arg(long, env = "HOURGLASS_DATA_DIR", default_value = "data/store", value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Kind,
    Dimension,
}

pub fn run(args: SchemaArgs) -> Result<()> {
    let schema = match args.action {
        Action::Show(ShowArgs { url: Some(url), token, .. }) => {
            let server = Address::new(&url, token.as_deref())?;
            Client::new(server).connect()?.schema().clone()
        }
        Action::Show(ShowArgs { data_dir, .. }) => declared(&Disk, &data_dir)?,
        Action::Add(AddArgs { what, name, data_dir }) => {
            declare(&Disk, &data_dir, |schema| match what {
                What::Kind => schema.with_kind(&name),
                What::Dimension => schema.with_dimension(&name),
            })?
        }
    };
    console::print(&text(&schema))
}

/// Formats a schema: a line for each kind and dimension.
fn text(schema: &EventSchema) -> String {
    let lines = |what: &str, names: &[String]| -> String {
        names.iter().map(|name| format!("{what:<10} {name}\n")).collect()
    };
    lines("kind", schema.kind_names()) + &lines("dimension", schema.dimensions())
}
