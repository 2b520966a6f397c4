//! Size checks of an Arrow IPC stream, made before the reader allocates memory for it.
//!
//! A stream is a sequence of messages, each `0xFFFFFFFF | i32 length | flatbuffer | body` (the
//! marker is missing in streams older than Arrow 0.15); a length of 0 ends it. A compressed buffer
//! in a body begins with its uncompressed size, an i64 (-1: not compressed). See
//! <https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format>.
//!
//! IMPORTANT: the reader allocates a length before it reads the data. A failed allocation aborts
//! the process, which no caller can catch, so a length that exceeds the stream must not reach the
//! reader. Messages are not validated otherwise; the reader does that.

use arrow::ipc::{MessageHeader, RecordBatch, root_as_message};

use super::format::DecodeError;

const CONTINUATION: i32 = -1;

/// Rejects a stream whose messages are longer than the stream, or whose buffers declare more than
/// `limit` bytes in total.
pub fn check_sizes(mut stream: &[u8], limit: usize) -> Result<(), DecodeError> {
    let mut announced: u64 = 0;
    while let Some((message, body, rest)) = split_message(stream)? {
        announced = announced.saturating_add(announced_by(message, body));
        if announced > limit as u64 {
            return Err(DecodeError::TooLarge { limit });
        }
        stream = rest;
    }
    Ok(())
}

/// A message's flatbuffer, its body, and the rest of the stream.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits off the next message; `None` at the end of the stream.
fn split_message(stream: &[u8]) -> Result<Option<Parts<'_>>, DecodeError> {
    if stream.is_empty() {
        return Ok(None);
    }
    let cut = || DecodeError::malformed("an Arrow stream", "it is truncated");
    let (mut length, mut stream) = split_i32(stream).ok_or_else(cut)?;
    if length == CONTINUATION {
        (length, stream) = split_i32(stream).ok_or_else(cut)?;
    }
    if length == 0 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| cut())?;
    let (message, stream) = stream.split_at_checked(length).ok_or_else(cut)?;
    let parsed = root_as_message(message)
        .map_err(|error| DecodeError::malformed("an Arrow stream", error))?;
    let body_length = usize::try_from(parsed.bodyLength()).map_err(|_| cut())?;
    let (body, rest) = stream.split_at_checked(body_length).ok_or_else(cut)?;
    Ok(Some((message, body, rest)))
}

fn split_i32(stream: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = stream.split_first_chunk::<4>()?;
    Some((i32::from_le_bytes(*number), rest))
}

fn announced_by(message: &[u8], body: &[u8]) -> u64 {
    let Ok(message) = root_as_message(message) else { return 0 };
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|batch| batch.data())
        }
        _ => None,
    };
    batch.map_or(0, |batch| uncompressed_bytes(&batch, body))
}

fn uncompressed_bytes(batch: &RecordBatch<'_>, body: &[u8]) -> u64 {
    if batch.compression().is_none() {
        return body.len() as u64;
    }
    let filled = batch.buffers().into_iter().flatten().filter(|buffer| buffer.length() > 0);
    let sizes = filled.map(|buffer| {
        let start = usize::try_from(buffer.offset()).unwrap_or(usize::MAX);
        let size = body.get(start..).and_then(|buffer| buffer.first_chunk::<8>());
        size.map_or(0, |size| {
            u64::try_from(i64::from_le_bytes(*size)).unwrap_or(buffer.length() as u64)
        })
    });
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

    use super::*;
    use crate::decode::{InputFormat, decode};
    use crate::encode::record_batch;
    use crate::event::{EventBatch, EventKind, EventSchema};

    fn stream_of(user_bytes: usize, compression: Option<CompressionType>) -> (EventBatch, Vec<u8>) {
        let mut events = EventBatch::new();
        for _ in 0..1000 {
            events.push(1, &"u".repeat(user_bytes), EventKind::CLICK);
        }
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let batch = record_batch(&EventSchema::default(), &events);
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        (events, writer.into_inner().unwrap())
    }

    #[test]
    fn a_compressed_stream_is_measured_before_it_unfolds() {
        let (events, stream) = stream_of(1000, Some(CompressionType::ZSTD));
        assert!(stream.len() < 50_000, "a megabyte of one letter");
        assert!(check_sizes(&stream, 1 << 20).is_ok());
        let error = check_sizes(&stream, 900_000).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { limit: 900_000 }));
        assert_eq!(decode(InputFormat::ArrowStream, &stream).unwrap(), events);
    }

    /// Regression: 2 GiB were allocated for a body of 20 bytes, and the process aborted if that
    /// much memory was not available. Lengths are now compared with the stream before the reader
    /// sees them.
    #[test]
    fn a_length_that_the_stream_does_not_hold_is_refused_before_the_reader_sees_it() {
        let (_, stream) = stream_of(20, None);
        for at in [4, stream.len() - 8] {
            let mut lying = stream.clone();
            lying.splice(at..at + 4, i32::MAX.to_le_bytes());
            assert!(
                matches!(check_sizes(&lying, usize::MAX), Err(DecodeError::Malformed(_))),
                "at byte {at}"
            );
        }
        for cut in 1..stream.len() - 8 {
            let cut_at_a_message = stream[cut..].starts_with(&[0xff; 4]);
            assert!(
                cut_at_a_message || check_sizes(&stream[..cut], usize::MAX).is_err(),
                "cut at byte {cut}"
            );
        }
    }

    #[test]
    fn damaged_streams_are_refused_and_never_panic() {
        for compression in [None, Some(CompressionType::LZ4_FRAME)] {
            let (_, stream) = stream_of(20, compression);
            for cut in (0..stream.len()).step_by(97) {
                let _ = decode(InputFormat::ArrowStream, &stream[..cut]);
                let mut flipped = stream.clone();
                flipped[cut] ^= 0x55;
                let _ = decode(InputFormat::ArrowStream, &flipped);
            }
        }
    }
}
