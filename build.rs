//! Build script: sets the version that `hourglass --version` prints, with the commit it was built
//! from.
//!
//! A release build gets the commit from git; where git is not available, as in a container, it can
//! be given in SOURCE_COMMIT. A debug build names no commit, because otherwise each commit would
//! cause a full rebuild.

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
    if release && std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        for option in link_options() {
            println!("cargo:rustc-link-arg-bins=-Wl,{option}");
        }
    }
}

/// Returns what makes the program smaller where LLVM's linker links it, as it does by default: equal
/// functions are kept once, of which DataFusion's generic code has many, and relocations are packed
/// if the C library here can read them.
fn link_options() -> Vec<&'static str> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = output.ok().and_then(|output| {
        let told = String::from_utf8(output.stdout).ok()?;
        let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let mut options = vec!["--icf=all"];
    if version >= Some((2_u32, 36_u32)) {
        options.push("-z,pack-relative-relocs");
    }
    options
}

/// Returns the commit and its date, such as `2c369631e2f0 2026-11-24`, with a mark if the sources
/// have changed since. `None` if git is missing, or if the repository is not that of the sources.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    // Rerun when HEAD moves or a source file changes, because the version says whether the sources
    // differ from the commit. Only existing files are listed.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let files = names
        .filter_map(|name| git(&["rev-parse", "--git-path", name]))
        .filter(|path| Path::new(path).exists());
    for path in
        files.chain(["Cargo.toml", "Cargo.lock", "src", "assets", "queries"].map(String::from))
    {
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
