//! `hourglass forget`: removes all rows of users.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;

use super::load::{SinkArgs, runtime};
use crate::client::Client;
use crate::console;
use crate::error::{Error, Result};
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{Engine, EngineOptions, ErasureReceipt, ReadOnly};
use crate::text::{count, thousands, user_lines};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hourglass forget --user ana@example.com --url http://localhost:8080
  hourglass forget --user ana@example.com --now          stop the server first
  hourglass forget --users leavers.txt --format json > receipt.json

From then on the users are in no answer, and every hour's numbers are as if they had not come. Their
bytes go when the files that were replaced do, after a day (--keep-replaced of the server); with
--now they go at once: from data files, the write-ahead log, the Delta log with its statistics, and
the statements remembered. The Delta log's history ends there: time travel goes no further back, and
other engines that read an older version fail.

It does not know of backups, exports, and the folder quarantine. If it is interrupted, or fails,
run it again.")]
pub struct Args {
    /// User to remove; may be given several times
    #[arg(long, value_name = "ID", required_unless_present = "users")]
    user: Vec<String>,

    /// File with users to remove, one a line
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// Remove every byte of them at once, and the history of the table with them
    #[arg(long)]
    now: bool,

    #[command(flatten)]
    place: SinkArgs,

    /// Output format of the receipt: text for people, or JSON for programs
    #[arg(long, value_enum, default_value_t = ForgetFormat::Text)]
    format: ForgetFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ForgetFormat {
    Text,
    Json,
}

pub fn run(args: Args) -> Result<()> {
    let users = args.named()?;
    let spinner = ProgressBar::new_spinner().with_message("searching every file");
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    let receipt = match args.place.client()? {
        Some(client) => of_server(&client, &users, args.now),
        None => of_directory(&args, users),
    };
    spinner.finish_and_clear();
    let receipt = receipt?;
    console::print(&match args.format {
        ForgetFormat::Text => text(&receipt),
        ForgetFormat::Json => {
            format!("{:#}\n", serde_json::to_value(&receipt).expect("a receipt is plain data"))
        }
    })
}

impl Args {
    fn named(&self) -> Result<BTreeSet<String>> {
        let mut users: BTreeSet<String> = self.user.iter().cloned().collect();
        if let Some(path) = &self.users {
            let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
            users.extend(user_lines(&text));
        }
        users.remove("");
        if users.is_empty() {
            return Err(Error::Invalid("no user is named".into()));
        }
        Ok(users)
    }
}

fn of_server(client: &Client, users: &BTreeSet<String>, now: bool) -> Result<ErasureReceipt> {
    let now = if now { "?now=true" } else { "" };
    let names = serde_json::to_string(users).expect("texts");
    client.admin_with(&format!("forget{now}"), names)
}

fn of_directory(args: &Args, users: BTreeSet<String>) -> Result<ErasureReceipt> {
    let (data_dir, options) = (args.place.data_dir(), EngineOptions::default());
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    // It must not create a store.
    drop(ReadOnly::open(&data_dir, &options, &vfs)?);
    runtime()?.block_on(async {
        let engine = Engine::open(&data_dir, options)?;
        let receipt = engine.forget(users, args.now).await;
        let closed = engine.close();
        let receipt = receipt?;
        closed?;
        Ok(receipt)
    })
}

fn text(receipt: &ErasureReceipt) -> String {
    let ErasureReceipt {
        users,
        files_examined,
        files_rewritten,
        hours,
        rows_removed,
        version,
        purged,
        purged_after,
    } = receipt;
    let (users, rows) = (count(*users, "user"), count(*rows_removed, "row"));
    let (examined, rewritten) = (count(*files_examined, "file"), thousands(*files_rewritten));
    let hours = count(*hours, "hour");
    let bytes = match purged_after {
        Some(after) if !purged => format!("Their bytes go after {after}"),
        _ => "Their bytes are gone".into(),
    };
    format!(
        "{rows} of {users} removed from {hours}: {examined} examined, {rewritten} rewritten.\n\
         {bytes}; the table has nothing of them since version {version}.\n"
    )
}
