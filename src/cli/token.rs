//! `hourglass token`: creates, lists and revokes tokens.

use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};

use crate::client::Client;
use crate::config::{parse_duration, parse_origin};
use crate::console;
use crate::error::{Error, Result};
use crate::hour::{Clock, SystemClock};
use crate::server::access::SETTLED;
use crate::server::tokens::{Created, Described, NewToken, Role, TokenFile};
use crate::storage::declared;
use crate::storage::vfs::Disk;

const EXAMPLES: &str = "\
Examples:
  hourglass token create --role admin --name me
  hourglass token create --role write --origin https://example.com
      for a page of that site: it may send events, and nothing else
  TOKEN=$(hourglass token create --role read --expires 90d)
  hourglass sql --url http://localhost:8080 --token $TOKEN -c 'SELECT 1'
  hourglass token list
  hourglass token revoke me

Until the first token is created, anyone who reaches the server may do everything. From then on,
whoever has no token may send events, and nothing else; `serve --anonymous` changes that. It stays
so when the last token is revoked.

A running server takes a change from the next request on. Send a token as `Authorization: Bearer
TOKEN`, as the password of any user, or, with events, as the parameter `token`.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a token and print it; it is shown this once
    Create(CreateArgs),
    /// List the tokens, without their secrets
    List(ListArgs),
    /// Revoke a token
    Revoke(RevokeArgs),
}

/// Arguments that select the store.
#[derive(Args, Debug)]
struct PlaceArgs {
    /// Data directory of the store; a server may be running on it
    #[arg(long, env = "HOURGLASS_DATA_DIR", default_value = "data/store", value_name = "DIR")]
    data_dir: PathBuf,

    /// Address of a running server to use instead, such as http://localhost:8080
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Token for the server, of the role admin
    #[arg(long, value_name = "TOKEN", env = "HOURGLASS_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// What it allows: write sends events, read asks, admin does both and everything else
    #[arg(long, value_enum)]
    role: Role,

    /// Name by which it is listed and revoked
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Time after which it ends, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,

    /// Origin of the pages that may use it: a scheme and a host
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Output format: text for people, or JSON for programs
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ListFormat {
    Text,
    Json,
}

#[derive(Args, Debug)]
struct RevokeArgs {
    /// Id or name of the token
    token_id: String,

    #[command(flatten)]
    place: PlaceArgs,
}

fn origin(text: &str) -> Result<String, String> {
    match parse_origin(text) {
        Some(_) => Ok(text.to_string()),
        None => Err("expected a scheme and a host, such as https://example.com".into()),
    }
}

pub fn run(args: TokenArgs) -> Result<()> {
    match args.action {
        Action::Create(args) => create(args),
        Action::List(args) => list(&args),
        Action::Revoke(args) => revoke(&args),
    }
}

impl PlaceArgs {
    fn client(&self) -> Result<Option<Client>> {
        Client::of(self.url.as_deref(), self.token.as_deref())
    }

    /// Returns the file of tokens of the directory, which must be a store.
    fn file(&self) -> Result<TokenFile> {
        declared(&Disk, &self.data_dir)?;
        Ok(TokenFile::of(&self.data_dir))
    }
}

fn now_ms() -> i64 {
    SystemClock.now_us() / 1_000
}

fn create(args: CreateArgs) -> Result<()> {
    let CreateArgs { role, name, expires, origin, place } = args;
    let expires_seconds = expires.map(|expires| expires.as_secs());
    let new = NewToken { role, name, expires_seconds, origin };
    let Created { token, described } = match place.client()? {
        Some(client) => {
            let body = serde_json::to_string(&new).expect("plain data");
            client.admin_with("tokens", body)?
        }
        None => {
            let created = place.file()?.create(&Disk, new, now_ms())?;
            std::thread::sleep(SETTLED);
            created
        }
    };
    let end = described.expires.map_or("until it is revoked".into(), |at| format!("until {at}"));
    console::print(&format!("{token}\n"))?;
    console::tell(&format!(
        "The token above is {} and holds {end}. It is not shown again.",
        described.id
    ));
    Ok(())
}

fn list(args: &ListArgs) -> Result<()> {
    let tokens: Vec<Described> = match args.place.client()? {
        Some(client) => client.list("tokens")?,
        None => {
            let tokens = args.place.file()?.read(&Disk)?;
            let tokens = tokens.iter().flat_map(|tokens| &tokens.tokens);
            tokens.map(|token| token.described()).collect()
        }
    };
    console::print(&match args.format {
        ListFormat::Json => {
            format!("{:#}\n", serde_json::to_value(&tokens).expect("a list is plain data"))
        }
        ListFormat::Text if tokens.is_empty() => "No tokens.\n".into(),
        ListFormat::Text => text(&tokens),
    })
}

fn text(tokens: &[Described]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["id", "name", "role", "created", "expires", "origin"]);
    let now = now_ms();
    for token in tokens {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
        let is_over = DateTime::parse_from_rfc3339(&or_none(&token.expires))
            .is_ok_and(|expires| expires.timestamp_millis() <= now);
        let expires = or_none(&token.expires) + if is_over { " (over)" } else { "" };
        table.add_row([
            token.id.clone(),
            or_none(&token.name),
            token.role.name().into(),
            token.created.clone(),
            expires,
            or_none(&token.origin),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

fn revoke(args: &RevokeArgs) -> Result<()> {
    let which = &args.token_id;
    let revoked: Vec<Described> = match args.place.client()? {
        Some(client) => {
            let body = serde_json::json!({ "token": which }).to_string();
            client.admin_with("tokens/revoke", body)?
        }
        None => {
            let revoked = args.place.file()?.revoke(&Disk, which)?;
            std::thread::sleep(SETTLED);
            revoked
        }
    };
    if revoked.is_empty() {
        return Err(Error::Invalid(format!(
            "there is no token {which}; `hourglass token list` shows their ids and names"
        )));
    }
    let ids: Vec<&str> = revoked.iter().map(|token| token.id.as_str()).collect();
    console::tell(&format!("Revoked {}.", ids.join(", ")));
    Ok(())
}
