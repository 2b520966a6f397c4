//! Access: who may do what, the same for every door.
//!
//! Whoever comes with a token may do what its role allows; whoever comes without one, what
//! [`Anonymous`] allows. While no token was ever created that is everything, and afterwards only
//! sending events, unless the setting `anonymous` says otherwise. It stays so when the last token
//! is revoked: a mistake with the tokens must not open the store.
//!
//! The file of tokens may be changed by another process. It is looked at again before an access
//! that comes [`LOOK`] after the last look, so that a change holds from the next request on once
//! the command that made it has returned, which waits for longer ([`SETTLED`]).

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::tokens::{
    Bytes32, Created, Described, ITERATIONS, NewToken, Role, Token, TokenFile, Tokens,
};
use crate::storage::vfs::Vfs;
use crate::storage::{Error, Recurring};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Time for which the file is not looked at again.
const LOOK: Duration = Duration::from_millis(10);

/// Time after which every server has seen a change of the file.
pub const SETTLED: Duration = Duration::from_millis(50);

/// Time after which a wrong token is answered, so that guessing is slow.
pub const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(200);

/// What those without a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    All,
    /// Send events.
    Write,
    None,
}

/// What a request needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Any role: what those who write must know as well as those who ask.
    Any,
    Write,
    Read,
    Admin,
}

impl Anonymous {
    pub fn allows(self, need: Need) -> bool {
        match self {
            Anonymous::All => true,
            Anonymous::Write => matches!(need, Need::Write | Need::Any),
            Anonymous::None => false,
        }
    }
}

impl Role {
    pub fn allows(self, need: Need) -> bool {
        match self {
            Role::Write => matches!(need, Need::Write | Need::Any),
            Role::Read => matches!(need, Need::Read | Need::Any),
            Role::Admin => true,
        }
    }

    fn check(self, need: Need) -> Result<(), Denied> {
        if self.allows(need) { Ok(()) } else { Err(Denied::Role(self)) }
    }
}

impl Need {
    /// Returns the role of a token for it, and what it is, for a message.
    pub fn named(self) -> (&'static str, &'static str) {
        match self {
            Need::Write => ("write", "sending events"),
            Need::Any | Need::Read => ("read", "asking"),
            Need::Admin => ("admin", "administration"),
        }
    }
}

/// Start of a token's digest, which tells tokens apart.
pub type TokenId = u64;

/// Keys by which a login of SCRAM is verified.
#[derive(Clone, Copy, Debug)]
pub struct ScramKeys {
    pub token: TokenId,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
}

/// What a login of SCRAM begins with, and the keys of the tokens.
#[derive(Clone, Debug)]
pub struct ScramTokens {
    pub salt: Bytes32,
    pub iterations: NonZeroU32,
    pub keys: Vec<ScramKeys>,
}

/// Reason why an access is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token was given.
    Missing,
    /// The token is unknown, revoked or expired.
    Unknown,
    /// The token's role does not allow it.
    Role(Role),
    /// The token is for another origin.
    Origin,
}

/// The access to a store, shared by all doors of a server.
#[derive(Debug)]
pub struct Access {
    file: TokenFile,
    vfs: Arc<dyn Vfs>,
    /// The setting; `None` depends on whether there are tokens.
    anonymous: Option<Anonymous>,
    current: ArcSwap<Current>,
    /// Time of the next look at the file, in nanoseconds after `started`.
    next_look: AtomicU64,
    started: Instant,
    trouble: Recurring,
    /// Salt of logins while there are no tokens.
    salt: Bytes32,
}

#[derive(Debug)]
struct Current {
    tokens: Option<Tokens>,
    anonymous: Anonymous,
    version: Option<FileVersion>,
}

/// What tells one state of the file from another: it is replaced by a rename, never changed.
type FileVersion = (u64, i64, i64, u64);

impl Access {
    /// Reads the tokens of a store.
    ///
    /// # Errors
    /// If the file of tokens cannot be read.
    pub fn open(
        data_dir: &Path,
        vfs: Arc<dyn Vfs>,
        anonymous: Option<Anonymous>,
    ) -> Result<Access> {
        let file = TokenFile::of(data_dir);
        let version = version(file.path());
        let tokens = file.read(&*vfs)?;
        let current = ArcSwap::from_pointee(Current::new(tokens, anonymous, version));
        let (next_look, started) = (AtomicU64::new(0), Instant::now());
        let trouble = Recurring::default();
        let salt = Bytes32::random()?;
        Ok(Access { file, vfs, anonymous, current, next_look, started, trouble, salt })
    }

    /// Returns what those without a token may do.
    pub fn anonymous(&self) -> Anonymous {
        self.look();
        self.current.load().anonymous
    }

    /// Reports whether a token was ever created.
    pub fn has_tokens(&self) -> bool {
        self.current.load().tokens.is_some()
    }

    /// Decides about an access, and returns which token was given, if there are tokens. `secret` is
    /// the token, `origin` that of the page from which a request comes.
    pub fn check(
        &self,
        need: Need,
        secret: Option<&str>,
        origin: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<TokenId>, Denied> {
        self.look();
        let current = self.current.load();
        let allowed = current.anonymous.allows(need);
        // A store without tokens has nothing to compare: what a proxy in front of it sends along is
        // not for it.
        let (Some(tokens), Some(secret)) = (&current.tokens, secret) else {
            return if allowed { Ok(None) } else { Err(Denied::Missing) };
        };
        let token = tokens.find(secret, now_ms).ok_or(Denied::Unknown)?;
        let id = token_id(token);
        if allowed {
            return Ok(Some(id));
        }
        token.role.check(need)?;
        match &token.origin {
            Some(named) if origin != Some(named) => Err(Denied::Origin),
            _ => Ok(Some(id)),
        }
    }

    /// Decides like [`Access::check`] about an access by who has logged in with a token, or without.
    pub fn check_login(
        &self,
        need: Need,
        login: Option<TokenId>,
        now_ms: i64,
    ) -> Result<(), Denied> {
        self.look();
        let current = self.current.load();
        let Some(login) = login else {
            return if current.anonymous.allows(need) { Ok(()) } else { Err(Denied::Missing) };
        };
        let mut tokens = current.tokens.iter().flat_map(|tokens| &tokens.tokens);
        let token = tokens.find(|token| token_id(token) == login && !token.is_expired(now_ms));
        let token = token.ok_or(Denied::Unknown)?;
        if current.anonymous.allows(need) {
            return Ok(());
        }
        token.role.check(need)?;
        // A program names no origin.
        if token.origin.is_some() { Err(Denied::Origin) } else { Ok(()) }
    }

    /// Returns what a login of SCRAM is verified by. Without tokens there are no keys, and a salt
    /// that stays the same.
    pub fn scram(&self, now_ms: i64) -> ScramTokens {
        self.look();
        let current = self.current.load();
        let Some(tokens) = &current.tokens else {
            return ScramTokens { salt: self.salt, iterations: ITERATIONS, keys: Vec::new() };
        };
        let live = tokens.tokens.iter().filter(|token| !token.is_expired(now_ms));
        let keys = live.map(|token| ScramKeys {
            token: token_id(token),
            stored_key: token.stored_key.0,
            server_key: token.server_key.0,
        });
        ScramTokens { salt: tokens.salt, iterations: tokens.iterations, keys: keys.collect() }
    }

    /// Decides like [`Access::check`] about an access that only a token allows.
    pub fn check_token(&self, need: Need, secret: Option<&str>, now_ms: i64) -> Result<(), Denied> {
        let current = self.current.load();
        let (tokens, secret) = current.tokens.as_ref().zip(secret).ok_or(Denied::Missing)?;
        tokens.find(secret, now_ms).ok_or(Denied::Unknown)?.role.check(need)
    }

    /// Returns the tokens; none if none was ever created.
    pub fn list(&self) -> Vec<Described> {
        self.look();
        let current = self.current.load();
        let tokens = current.tokens.iter().flat_map(|tokens| &tokens.tokens);
        tokens.map(Token::described).collect()
    }

    /// Creates a token; see [`TokenFile::create`].
    pub fn create(&self, new: NewToken, now_ms: i64) -> Result<Created> {
        let created = self.file.create(&*self.vfs, new, now_ms)?;
        self.read(version(self.file.path()));
        Ok(created)
    }

    /// Revokes tokens; see [`TokenFile::revoke`].
    pub fn revoke(&self, which: &str) -> Result<Vec<Described>> {
        let revoked = self.file.revoke(&*self.vfs, which)?;
        self.read(version(self.file.path()));
        Ok(revoked)
    }

    /// Looks whether the file has changed, if it is time for it.
    fn look(&self) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let due = self.next_look.load(Ordering::Relaxed);
        let next = now.saturating_add(LOOK.as_nanos() as u64);
        // One of those who come at the same time looks.
        let exchanged = now >= due
            && self
                .next_look
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !exchanged {
            return;
        }
        let version = version(self.file.path());
        if version != self.current.load().version {
            self.read(version);
        }
    }

    fn read(&self, version: Option<FileVersion>) {
        match self.file.read(&*self.vfs) {
            Ok(Some(tokens)) => {
                let current = Current::new(Some(tokens), self.anonymous, version);
                self.current.store(Arc::new(current));
            }
            // A file that has gone, or cannot be read, opens nothing.
            Ok(None) if self.current.load().tokens.is_none() => {}
            outcome => {
                let error = outcome.err().map_or("it is gone".into(), |error| error.to_string());
                if self.trouble.is_due(now_us()) {
                    let file = self.file.path().display().to_string();
                    tracing::error!(
                        file,
                        error,
                        "the tokens stay as they were (logged at most once a minute)"
                    );
                }
            }
        }
    }
}

impl Current {
    fn new(
        tokens: Option<Tokens>,
        anonymous: Option<Anonymous>,
        version: Option<FileVersion>,
    ) -> Current {
        let default = if tokens.is_some() { Anonymous::Write } else { Anonymous::All };
        Current { tokens, anonymous: anonymous.unwrap_or(default), version }
    }
}

fn token_id(token: &Token) -> TokenId {
    u64::from_be_bytes(*token.sha256.0.first_chunk().expect("it has 32 bytes"))
}

fn version(path: &Path) -> Option<FileVersion> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.mtime_nsec(), meta.ctime_nsec(), meta.len()))
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vfs::Disk;

    fn token(role: Role) -> NewToken {
        NewToken { role, name: None, expires_seconds: None, origin: None }
    }

    #[test]
    fn without_tokens_all_is_allowed_and_with_one_only_events() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path(), Arc::new(Disk), None).unwrap();
        let check = |need, secret| access.check(need, secret, None, 0).map(drop);
        assert_eq!(check(Need::Admin, None), Ok(()));
        assert_eq!(check(Need::Read, Some("of a proxy")), Ok(()));
        let Created { token: secret, described } = access.create(token(Role::Read), 0).unwrap();
        assert_eq!(check(Need::Write, None), Ok(()));
        assert_eq!(check(Need::Read, None), Err(Denied::Missing));
        assert_eq!(check(Need::Write, Some("wrong")), Err(Denied::Unknown));
        assert_eq!(check(Need::Read, Some(&secret)), Ok(()));
        assert_eq!(check(Need::Admin, Some(&secret)), Err(Denied::Role(Role::Read)));
        access.revoke(&described.id).unwrap();
        assert_eq!(check(Need::Read, Some(&secret)), Err(Denied::Unknown));
        assert_eq!(check(Need::Read, None), Err(Denied::Missing), "it does not open again");
    }

    #[test]
    fn a_token_of_an_origin_is_of_use_there_only() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path(), Arc::new(Disk), Some(Anonymous::None)).unwrap();
        let origin = Some("https://example.com".to_string());
        let new = NewToken { origin, ..token(Role::Write) };
        let secret = access.create(new, 0).unwrap().token;
        let check = |origin| access.check(Need::Write, Some(&secret), origin, 0).map(drop);
        assert_eq!(check(Some("https://example.com")), Ok(()));
        assert_eq!(check(Some("https://example.org")), Err(Denied::Origin));
        assert_eq!(check(None), Err(Denied::Origin));
        assert_eq!(access.check(Need::Write, None, None, 0).map(drop), Err(Denied::Missing));
    }

    #[test]
    fn a_change_by_another_process_holds_and_a_lost_file_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path(), Arc::new(Disk), None).unwrap();
        let file = TokenFile::of(dir.path());
        let secret = file.create(&Disk, token(Role::Admin), 0).unwrap().token;
        std::thread::sleep(SETTLED);
        assert_eq!(access.check(Need::Admin, None, None, 0).map(drop), Err(Denied::Missing));
        assert_eq!(access.check(Need::Admin, Some(&secret), None, 0).map(drop), Ok(()));
        fs::remove_file(file.path()).unwrap();
        std::thread::sleep(SETTLED);
        assert_eq!(access.check(Need::Admin, None, None, 0).map(drop), Err(Denied::Missing));
        assert_eq!(access.check(Need::Admin, Some(&secret), None, 0).map(drop), Ok(()));
    }
}
