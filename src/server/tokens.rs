//! Tokens: the file `tokens` in the data directory, which says who may do what.
//!
//! A token is `hg_` and 256 random bits as 64 hexadecimal digits. It is printed once and never
//! stored: the file has its SHA-256 digest, by which a server recognizes it, and its keys of
//! SCRAM-SHA-256 (RFC 5802, section 3), by which a PostgreSQL client proves that it has it. SCRAM
//! names the salt before it is known which token will come, so all tokens of a store share one salt
//! and one number of iterations. A random token needs no slow digest: it cannot be guessed.
//!
//! The file is JSON, replaced whole by a rename, under a lock of its own (`tokens.lock`), so that
//! it changes beside a running server. Times are milliseconds since the epoch.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};

use crate::storage::Error;
use crate::storage::vfs::{self, Lock, Vfs};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Version of the file's format. A newer one is refused.
const FORMAT: u32 = 1;

/// Name of the file in the data directory.
const FILE: &str = "tokens";

/// Start of every token, by which people and programs that look for leaked secrets recognize one.
const PREFIX: &str = "hg_";

/// Iterations of SCRAM's key derivation (RFC 7677, section 4).
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4_096).unwrap();

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Send events.
    Write,
    /// Ask questions.
    Read,
    /// Everything.
    Admin,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Write => "write",
            Role::Read => "read",
            Role::Admin => "admin",
        }
    }
}

/// 32 bytes, as hexadecimal digits in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes32(pub [u8; 32]);

impl Bytes32 {
    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(text: &str) -> Option<Bytes32> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Bytes32(bytes))
    }

    pub fn random() -> Result<Bytes32> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::Config("the system has no random numbers".into()))?;
        Ok(Bytes32(bytes))
    }
}

impl Serialize for Bytes32 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes32, D::Error> {
        let text = String::deserialize(deserializer)?;
        Bytes32::parse(&text).ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// A token as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Short name by which it is listed and revoked; it is no secret.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub role: Role,
    pub created_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// Origin that requests must come from, such as `https://example.com`. It keeps pages of other
    /// sites from using a token that a page carries, and no program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Digest of the token.
    pub sha256: Bytes32,
    /// Keys of SCRAM-SHA-256.
    pub stored_key: Bytes32,
    pub server_key: Bytes32,
}

impl Token {
    pub fn described(&self) -> Described {
        let time = |ms| {
            DateTime::from_timestamp_millis(ms)
                .map_or_else(String::new, |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        };
        let Token { id, name, role, created_ms, expires_ms, origin, .. } = self.clone();
        let (created, expires) = (time(created_ms), expires_ms.map(time));
        Described { id, name, role, created, expires, origin }
    }

    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

/// What a new token is to be; also the body of `POST /admin/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub role: Role,
    #[serde(default)]
    pub name: Option<String>,
    /// Time after which it ends.
    #[serde(default)]
    pub expires_seconds: Option<u64>,
    #[serde(default)]
    pub origin: Option<String>,
}

/// A token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub id: String,
    pub name: Option<String>,
    pub role: Role,
    /// Times in RFC 3339.
    pub created: String,
    pub expires: Option<String>,
    pub origin: Option<String>,
}

/// A token at its creation, the only time that it is shown itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Created {
    pub token: String,
    #[serde(flatten)]
    pub described: Described,
}

/// The tokens of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    format: u32,
    pub salt: Bytes32,
    pub iterations: NonZeroU32,
    pub tokens: Vec<Token>,
}

impl Tokens {
    /// Returns the token that `secret` is. The comparison is of digests, so its time says nothing
    /// about a token.
    pub fn find(&self, secret: &str, now_ms: i64) -> Option<&Token> {
        let sha256 = sha256(secret);
        self.tokens.iter().find(|token| token.sha256 == sha256 && !token.is_expired(now_ms))
    }
}

/// Returns the digest of a token.
fn sha256(secret: &str) -> Bytes32 {
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    Bytes32(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Returns the keys `StoredKey` and `ServerKey` of RFC 5802, section 3.
fn scram_keys(secret: &str, salt: &Bytes32, iterations: NonZeroU32) -> (Bytes32, Bytes32) {
    let mut salted = [0; 32];
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, iterations, &salt.0, secret.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let bytes = |tag: &[u8]| Bytes32(tag.try_into().expect("SHA-256 has 32 bytes"));
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    (bytes(stored_key.as_ref()), bytes(server_key.as_ref()))
}

/// The file of tokens of a data directory.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    pub fn of(data_dir: &Path) -> TokenFile {
        TokenFile { path: data_dir.join(FILE) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` if no token was ever created.
    pub fn read(&self, vfs: &dyn Vfs) -> Result<Option<Tokens>> {
        let bytes = match vfs::read_all(vfs, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(Error::io(&self.path, "read"))?,
        };
        let damaged = |reason: String| Error::Damaged {
            path: self.path.clone(),
            offset: 0,
            reason,
            advice: "Restore the file from a backup, or remove it and create new tokens",
        };
        let tokens: Tokens =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match tokens.format {
            FORMAT => Ok(Some(tokens)),
            newer => Err(Error::Config(format!(
                "{}: format {newer} is newer than this hourglass reads ({FORMAT}); run the newer \
                 version",
                self.path.display()
            ))),
        }
    }

    /// Creates a token and returns it as it is given to its user, with what the file has of it.
    pub fn create(&self, vfs: &dyn Vfs, new: NewToken, now_ms: i64) -> Result<Created> {
        let _lock = self.lock(vfs)?;
        let mut tokens = match self.read(vfs)? {
            Some(tokens) => tokens,
            None => {
                let (salt, tokens) = (Bytes32::random()?, Vec::new());
                Tokens { format: FORMAT, salt, iterations: ITERATIONS, tokens }
            }
        };
        let secret = format!("{PREFIX}{}", Bytes32::random()?.hex());
        let (stored_key, server_key) = scram_keys(&secret, &tokens.salt, tokens.iterations);
        let id = loop {
            let id = Bytes32::random()?.hex()[..8].to_string();
            if tokens.tokens.iter().all(|token| token.id != id) {
                break id;
            }
        };
        let NewToken { role, name, expires_seconds, origin } = new;
        let expires_ms = expires_seconds.map(|seconds| {
            now_ms.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000))
        });
        let sha256 = sha256(&secret);
        let token = Token {
            id,
            name,
            role,
            created_ms: now_ms,
            expires_ms,
            origin,
            sha256,
            stored_key,
            server_key,
        };
        let described = token.described();
        tokens.tokens.push(token);
        self.write(vfs, &tokens)?;
        Ok(Created { token: secret, described })
    }

    /// Revokes the tokens with this id or name, and returns them.
    pub fn revoke(&self, vfs: &dyn Vfs, which: &str) -> Result<Vec<Described>> {
        let _lock = self.lock(vfs)?;
        let Some(mut tokens) = self.read(vfs)? else { return Ok(Vec::new()) };
        let is_meant =
            |token: &mut Token| token.id == which || token.name.as_deref() == Some(which);
        let revoked = tokens.tokens.extract_if(.., is_meant);
        let revoked: Vec<Described> = revoked.map(|token| token.described()).collect();
        if !revoked.is_empty() {
            self.write(vfs, &tokens)?;
        }
        Ok(revoked)
    }

    fn lock(&self, vfs: &dyn Vfs) -> Result<Box<dyn Lock>> {
        let path = self.path.with_extension("lock");
        // A change takes milliseconds.
        for _ in 0..200 {
            match vfs.lock(&path) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                locked => return locked.map_err(Error::io(&path, "lock")),
            }
        }
        Err(Error::Config(format!("{}: another process holds the lock", path.display())))
    }

    fn write(&self, vfs: &dyn Vfs, tokens: &Tokens) -> Result<()> {
        let text = serde_json::to_vec_pretty(tokens).expect("plain data");
        vfs::write_atomically(vfs, &self.path, &text).map_err(Error::io(&self.path, "write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vfs::Disk;

    fn new(role: Role, name: &str) -> NewToken {
        NewToken { role, name: Some(name.into()), expires_seconds: Some(1), origin: None }
    }

    #[test]
    fn a_token_is_found_until_it_expires_or_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::of(dir.path());
        assert_eq!(file.read(&Disk).unwrap(), None);
        let site = file.create(&Disk, new(Role::Write, "site"), 1_000).unwrap();
        let other = file.create(&Disk, new(Role::Read, "desk"), 1_000).unwrap().token;
        let Created { token: secret, described } = site;
        let tokens = file.read(&Disk).unwrap().unwrap();
        assert_eq!(tokens.find(&secret, 1_999).map(Token::described), Some(described.clone()));
        assert_eq!(tokens.find(&secret, 2_000), None);
        assert_eq!(tokens.find("hg_", 1_000), None);
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(&secret[PREFIX.len()..]), "only its digest is stored");
        assert_eq!(file.revoke(&Disk, "site").unwrap(), [described]);
        assert_eq!(file.revoke(&Disk, "site").unwrap(), []);
        let tokens = file.read(&Disk).unwrap().unwrap();
        assert!(tokens.find(&secret, 1_000).is_none() && tokens.find(&other, 1_000).is_some());
    }

    /// The example of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn keys_of_scram_are_those_of_the_standard() {
        let salt: [u8; 16] = *b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, b"pencil", &mut salted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server_key = hmac::sign(&key, b"Server Key");
        let signature =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref()), message.as_bytes());
        // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        assert_eq!(signature.as_ref()[..4], [0xea, 0xba, 0xe2, 0x4d]);
    }

    #[test]
    fn a_file_that_is_damaged_or_newer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::of(dir.path());
        file.create(&Disk, new(Role::Admin, "me"), 0).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        std::fs::write(file.path(), text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(matches!(file.read(&Disk), Err(Error::Config(_))));
        std::fs::write(file.path(), &text[1..]).unwrap();
        assert!(matches!(file.read(&Disk), Err(Error::Damaged { .. })));
    }
}
