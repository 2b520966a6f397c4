//! `hourglass healthcheck`: asks a server whether it is ready, for container runtimes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use ureq::tls::TlsConfig;

use crate::config::Flags;
use crate::console;
use crate::error::Result;

/// Timeout of the request; shorter than the one that container runtimes give a probe.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hourglass healthcheck                                asks the address in the settings
  hourglass healthcheck --url http://10.0.0.5:8080     asks another
  until hourglass healthcheck; do sleep 1; done        waits for a server")]
pub struct Args {
    /// Address of the server to ask, such as http://10.0.0.5:8080; by default the configured listen
    /// address.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    #[command(flatten)]
    flags: Flags,
}

/// Runs the check. The exit code is only ever 0 or 1, as container runtimes require.
pub fn run(args: Args) -> Result<ExitCode> {
    let is_own = args.url.is_none();
    let url = match args.url {
        Some(url) => format!("{}/readyz", url.trim_end_matches('/')),
        None => {
            let config = args.flags.load()?.config;
            let scheme = if config.certificate()?.is_some() { "https" } else { "http" };
            format!("{scheme}://{}/readyz", reachable(config.listen))
        }
    };
    match ask(&url, is_own) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(reason) => {
            console::tell(&format!("hourglass: {url}: {reason}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Sends one request; returns any response but 2xx as an error with its text. The certificate of
/// this machine's own server is for other names than its address, and is not checked.
fn ask(url: &str, is_own: bool) -> Result<(), String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .tls_config(TlsConfig::builder().disable_verification(is_own).build())
        .http_status_as_error(false)
        .build();
    let mut response =
        ureq::Agent::new_with_config(config).get(url).call().map_err(|error| error.to_string())?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => {
            Err(format!("{status}: {}", response.body_mut().read_to_string().unwrap_or_default()))
        }
    }
}

/// Returns the address at which a server that listens on `listen` is reachable: loopback for the
/// unspecified address, which is not a destination.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:8080"), "[::1]:8080");
        assert_eq!(asked("10.0.0.5:80"), "10.0.0.5:80");
    }
}
