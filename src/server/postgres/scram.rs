//! SCRAM-SHA-256, the server's side (RFC 5802 and RFC 7677; PostgreSQL manual, section 55.3.1).
//!
//! The password is a token. The name of the user says nothing about which one, so the final message
//! is tried against each: a token that is unknown takes the same path.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac};

use crate::server::access::{ScramKeys, TokenId};

/// Name of the mechanism.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// A login between its first and its final message.
#[derive(Debug)]
pub struct Scram {
    /// Header of channel binding that the final message must repeat.
    binding: String,
    client_first: String,
    server_first: String,
    nonce: String,
}

/// What a login ends with.
#[derive(Debug)]
pub struct Verified {
    pub token: TokenId,
    /// The server's final message.
    pub message: String,
}

impl Scram {
    /// Reads the client's first message; `nonce` is the server's part of the nonce, printable and
    /// without a comma. `None` if the message is malformed or asks for channel binding.
    pub fn begin(message: &str, nonce: &str, salt: &[u8], iterations: NonZeroU32) -> Option<Scram> {
        let mut parts = message.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let mut attributes = bare.split(',');
        attributes.next()?.strip_prefix("n=")?;
        let theirs = attributes.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
        let nonce = format!("{theirs}{nonce}");
        let salt = BASE64_STANDARD.encode(salt);
        Some(Scram {
            binding: BASE64_STANDARD.encode(format!("{flag},{authzid},")),
            client_first: bare.to_string(),
            server_first: format!("r={nonce},s={salt},i={iterations}"),
            nonce,
        })
    }

    /// Returns the server's first message.
    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Tries the client's final message against the keys of all tokens.
    pub fn finish(&self, message: &str, keys: &[ScramKeys]) -> Option<Verified> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if binding != self.binding || nonce != self.nonce {
            return None;
        }
        let proof: [u8; 32] = BASE64_STANDARD.decode(proof).ok()?.try_into().ok()?;
        let signed = format!("{},{},{without_proof}", self.client_first, self.server_first);
        // Each is tried, so that the time says nothing about which one it was.
        let mut verified = None;
        for keys in keys {
            let signature = sign(&keys.stored_key, &signed);
            let client_key: Vec<u8> =
                proof.iter().zip(&signature).map(|(proof, signature)| proof ^ signature).collect();
            let stored = digest::digest(&digest::SHA256, &client_key);
            if is_equal(stored.as_ref(), &keys.stored_key) {
                verified = Some(keys);
            }
        }
        let keys = verified?;
        let signature = BASE64_STANDARD.encode(sign(&keys.server_key, &signed));
        Some(Verified { token: keys.token, message: format!("v={signature}") })
    }
}

fn sign(key: &[u8; 32], message: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, message.as_bytes());
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Compares in a time that does not depend on where they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use ring::pbkdf2;

    use super::*;

    const ITERATIONS: NonZeroU32 = NonZeroU32::new(4_096).unwrap();

    fn keys(token: TokenId, password: &str, salt: &[u8]) -> ScramKeys {
        let mut salted = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, ITERATIONS, salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, "Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let stored_key = stored.as_ref().try_into().unwrap();
        ScramKeys { token, stored_key, server_key: sign(&salted, "Server Key") }
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard_logs_in() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let scram = Scram::begin(
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            &salt,
            ITERATIONS,
        )
        .unwrap();
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(scram.server_first(), first);
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let all = [keys(1, "pen", &salt), keys(2, "pencil", &salt)];
        let verified = scram.finish(last, &all).unwrap();
        assert_eq!(verified.token, 2);
        assert_eq!(verified.message, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(scram.finish(last, &all[..1]).is_none());
        assert!(scram.finish(&last.replace("c=biws", "c=eSws"), &all).is_none());
        assert!(scram.finish(&last.replace("k0,p", "k1,p"), &all).is_none());
    }

    #[test]
    fn what_is_malformed_or_binds_a_channel_is_refused() {
        let begin = |message| Scram::begin(message, "x", b"salt", ITERATIONS);
        for message in ["", "n", "n,,", "n,,n=", "n,,n=,r=", "p=tls-unique,,n=,r=a", "n,,r=a,n="] {
            assert!(begin(message).is_none(), "{message}");
        }
        let scram = begin("y,,n=,r=a").unwrap();
        for message in ["", "p=", ",p=", "c=eSws,r=ax", "c=eSws,r=ax,p=AA==", "c=eSws,r=ax,p=~"] {
            assert!(scram.finish(message, &[]).is_none(), "{message}");
        }
    }
}
