//! `hourglass config`: prints the effective settings, as a table or as a TOML file for `--config`.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};

use crate::config::{Flags, Resolved};
use crate::console;
use crate::error::Result;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hourglass config                                    every setting, its value and where it comes from
  hourglass config --listen 0.0.0.0:80                what a flag would change
  hourglass config --format toml > hourglass.toml     a file for --config, to edit")]
pub struct Args {
    /// Output format: a table for people, or TOML as a file for --config.
    #[arg(long, value_enum, default_value_t = ConfigFormat::Table)]
    format: ConfigFormat,

    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ConfigFormat {
    Table,
    Toml,
}

pub fn run(args: Args) -> Result<()> {
    let resolved = args.flags.load()?;
    console::print(&match args.format {
        ConfigFormat::Table => table(&resolved, std::io::stdout().is_terminal()),
        ConfigFormat::Toml => toml(&resolved),
    })
}

/// Formats the settings as aligned columns: on a terminal with a line under the header, elsewhere
/// undecorated and never wrapped.
fn table(resolved: &Resolved, terminal: bool) -> String {
    let mut table = Table::new();
    if terminal {
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
    } else {
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled)
    };
    table.set_header(["setting", "value", "from"]);
    table.add_rows(
        resolved
            .rows()
            .map(|(setting, value, source)| [setting.key.to_owned(), value, source.to_string()]),
    );
    if !terminal {
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// Formats the settings as a TOML file, with every value as a string, which every setting accepts.
/// JSON's escapes are valid in TOML's basic strings.
fn toml(resolved: &Resolved) -> String {
    let lines = resolved.rows().map(|(setting, value, _)| {
        format!("# {}\n{} = {}\n", setting.help.trim(), setting.key, serde_json::Value::from(value))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::resolve;

    fn with_data_dir(path: &str) -> Resolved {
        resolve(&BTreeMap::from([("data_dir", path.to_owned())]), &BTreeMap::new(), None).unwrap()
    }

    #[test]
    fn the_file_it_prints_gives_the_same_settings() {
        let resolved = with_data_dir("C:\\data \"store\"\n");
        let file = toml(&resolved);
        let again = resolve(&BTreeMap::new(), &BTreeMap::new(), Some((Path::new("h.toml"), &file)))
            .unwrap();
        assert_eq!(again.config, resolved.config, "{file}");
    }

    #[test]
    fn a_piped_table_has_one_plain_line_a_setting() {
        let text = table(&with_data_dir("/data"), false);
        let row = text.lines().find(|line| line.contains("data_dir")).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["data_dir", "/data", "--data-dir"]);
        assert_eq!(text.lines().count(), crate::config::SETTINGS.len() + 1);
    }
}
