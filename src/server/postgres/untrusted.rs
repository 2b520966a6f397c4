//! Everything that reads bytes of a stranger before a statement is planned, in one function: a
//! fuzzer drives it (`fuzz/targets.rs`).

use std::num::NonZeroU32;

use bytes::Bytes;

use super::message::{Bind, Message, Reader};
use super::scram::Scram;
use super::value::copy_in::CopyReader;
use super::value::format::Format;
use super::value::parameter::parameter;
use super::value::types::Base;
use crate::query::command::{Command, Copy, CopyFormat, CopyOptions, parse_commands};

/// Reads a message of the kind of the first byte, and what is in it: statements, values of
/// parameters of every type, rows of a COPY in every format, and a login. Returns whether it is a
/// message.
pub fn read_untrusted(bytes: &[u8]) -> bool {
    let Some((kind, body)) = bytes.split_first() else { return false };
    let body = Bytes::copy_from_slice(body);
    log_in(&body);
    let message = Message::decode(*kind, body);
    match &message {
        Ok(Message::Query(text) | Message::Parse { text, .. }) => statements(text),
        Ok(Message::Bind(Bind { values, formats, .. })) => {
            let _ = Format::of_codes(formats, values.len());
            values.iter().for_each(|value| parameters(value.as_deref()));
        }
        Ok(Message::CopyData(data)) => copies(data),
        _ => {}
    }
    message.is_ok()
}

fn log_in(body: &Bytes) {
    let mut reader = Reader::new(body.clone());
    while reader.text().is_ok_and(|text| !text.is_empty()) {}
    let Ok(text) = std::str::from_utf8(body) else { return };
    let (first, last) = text.split_once('\n').unwrap_or((text, text));
    if let Some(scram) = Scram::begin(first, "nonce", b"salt", NonZeroU32::MIN) {
        assert!(scram.finish(last, &[]).is_none(), "nobody comes in without a key");
    }
}

fn statements(text: &str) {
    for command in parse_commands(text).into_iter().flatten() {
        if let Command::Copy(Copy::In(copy)) = command {
            let _ = CopyReader::new(copy.options, vec!["a".into()], 1_000);
        }
    }
}

fn parameters(value: Option<&[u8]>) {
    for base in Base::ALL {
        for format in [Format::Text, Format::Binary] {
            let _ = parameter(base.oid(), format, value);
            let _ = parameter(base.array_oid(), format, value);
        }
    }
}

fn copies(data: &[u8]) {
    for format in [CopyFormat::Text, CopyFormat::Csv, CopyFormat::Binary] {
        let columns = vec!["a".into(), "b".into()];
        let Ok(mut reader) = CopyReader::new(CopyOptions::new(format), columns, 1_000) else {
            continue;
        };
        let whole = data.chunks(7).try_for_each(|piece| reader.feed(piece, |_| Ok(())));
        let _: Result<(), super::error::PgError> = whole.and_then(|()| reader.finish(|_| Ok(())));
    }
}
