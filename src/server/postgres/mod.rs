//! PostgreSQL door: the protocol 3.0 and 3.2 (PostgreSQL manual, chapter 55).
//!
//! Any user and any database are taken; a token as the password says who comes. Where those without
//! a token may ask, no password is asked for.
//!
//! | module | content |
//! | --- | --- |
//! | `wire`, `message` | messages in both directions; those of a client, decoded |
//! | `startup`, `scram` | TLS, login |
//! | `door` | a connection from its beginning to its end |
//! | `session`, `serve` | what a session holds; the loop over its messages |
//! | `simple`, `extended` | the two ways to send statements |
//! | `prepared`, `rows` | prepared statements; rows on their way, and what stops them |
//! | `run` | what a command changes in the session |
//! | `transaction` | snapshot and rows of a transaction |
//! | `budget` | memory that all sessions share |
//! | `ingest` | rows of INSERT and COPY FROM as events |
//! | `copy` | COPY in both directions |
//! | `cancel` | requests to cancel a statement |
//! | `error` | errors as clients read them |
//! | `value` | values in the formats of the protocol, and back |
//! | `untrusted` | what reads the bytes of strangers, for a fuzzer |
//!
//! A transaction reads one snapshot, that of its first statement, and stores what it inserts with
//! its end, by one frame of the log and one sync. It does not see its own rows before.

mod budget;
mod cancel;
mod copy;
mod door;
mod error;
mod extended;
mod ingest;
mod message;
mod prepared;
mod rows;
mod run;
mod scram;
mod serve;
mod session;
mod simple;
mod startup;
mod transaction;
mod untrusted;
mod value;
mod wire;

pub use self::door::PostgresDoor;
pub use self::untrusted::read_untrusted;
