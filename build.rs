//! Build script: the version that `hourglass --version` tells, with the commit it was built from.
//!
//! A release build asks git; where there is none, as in a container, whoever builds may name the
//! commit in SOURCE_COMMIT. A debug build names no commit: otherwise each commit would have
//! everything compiled again to say so.

#![allow(clippy::print_stdout, reason = "cargo reads it")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    let named = std::env::var("SOURCE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let built = match named.or_else(|| release.then(commit)?) {
        Some(commit) => format!("{version} ({commit})"),
        None if release => version.to_string(),
        None => format!("{version} (debug build)"),
    };
    println!("cargo:rustc-env=BUILD_VERSION={built}");
}

/// The commit and its day, `2c369631e2f0 2026-11-24`, marked where the sources differ from it.
/// Nothing where git is missing, and where the sources lie in a repository that is not theirs.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    // What a commit or a checkout changes, as far as it is there, and the sources: whether they
    // differ is told too.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let files = names
        .filter_map(|name| git(&["rev-parse", "--git-path", name]))
        .filter(|path| Path::new(path).exists());
    for path in files.chain(["Cargo.toml", "Cargo.lock", "src", "queries"].map(String::from)) {
        println!("cargo:rerun-if-changed={path}");
    }
    let told = git(&["log", "-1", "--abbrev=12", "--format=%h %cs"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if changed { format!("{told}, changed since") } else { told })
}

fn git(args: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
}
