//! Reads `text/event-stream`, in pieces of any size.

use sam_core::{Error, ErrorKind, Result};

/// Longest line, in bytes.
pub const SSE_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of data of one event, over all its lines.
const DATA_BYTES_MAX: usize = 4 * SSE_LINE_BYTES_MAX;

/// One event as sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The last `id:` of the stream, this event's or an earlier one's.
    pub id: String,
    /// The `event:` line; empty when there was none.
    pub event: String,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
}

/// Takes the stream in pieces and gives whole events.
///
/// Lines end in CR, LF or CRLF, also where a piece ends between the two. Comments, `retry:` and
/// unknown fields are skipped; an event without data is none.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    id: String,
    event: String,
    data: Option<String>,
}

impl SseParser {
    /// Takes the next piece and returns the events it completed.
    ///
    /// # Errors
    /// `Corrupt` when a line is longer than [`SSE_LINE_BYTES_MAX`], an event has more than
    /// 4 MiB of data, or a line is not UTF-8. The stream cannot be read on.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<SseEvent>> {
        let mut events = Vec::new();
        let mut rest = piece;
        if self.after_cr
            && let Some((first, others)) = rest.split_first()
        {
            self.after_cr = false;
            if *first == b'\n' {
                rest = others;
            }
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, tail) = rest.split_at(end);
            self.extend_line(line)?;
            rest = match tail {
                [b'\r', b'\n', others @ ..] | [_, others @ ..] => others,
                [] => tail,
            };
            self.after_cr = matches!(tail, [b'\r']);
            let line = std::mem::take(&mut self.line);
            events.extend(self.end_of_line(&line)?);
        }
        self.extend_line(rest)?;
        Ok(events)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<()> {
        if self.line.len() + bytes.len() > SSE_LINE_BYTES_MAX {
            return Err(corrupt("a line of the event stream is longer than 1 MiB"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_of_line(&mut self, line: &[u8]) -> Result<Option<SseEvent>> {
        let line =
            if self.begun { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.begun = true;
        let line =
            std::str::from_utf8(line).map_err(|_| corrupt("the event stream is not UTF-8"))?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(self.data.take().map(|data| SseEvent { id: self.id.clone(), event, data }));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) if data.len() + value.len() >= DATA_BYTES_MAX => {
                    return Err(corrupt("an event of the stream has more than 4 MiB of data"));
                }
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            _ => {}
        }
        Ok(None)
    }
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_operation("read_events")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, event: &str, data: &str) -> SseEvent {
        SseEvent { id: id.to_owned(), event: event.to_owned(), data: data.to_owned() }
    }

    const STREAM: &[u8] = b"\xef\xbb\xbf: hello\n\nretry: 5\nid: a-1\nevent: change\ndata: {\r\n\
        data:  \"x\": 1}\r\n\r\ndata: second\r\rid\nevent: checkpoint\n\nunknown: x\ndata\n\n\
        id: a-2\ndata: unfinished";

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let expected = vec![
            event("a-1", "change", "{\n \"x\": 1}"),
            event("a-1", "", "second"),
            event("", "", ""),
        ];
        assert_eq!(SseParser::default().push(STREAM).unwrap(), expected);
        for size in 1..STREAM.len() {
            let mut parser = SseParser::default();
            let read: Vec<_> =
                STREAM.chunks(size).flat_map(|piece| parser.push(piece).unwrap()).collect();
            assert_eq!(read, expected, "pieces of {size}");
        }
    }

    #[test]
    fn endless_lines_and_endless_events_are_refused() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; SSE_LINE_BYTES_MAX];
        assert!(parser.push(&piece).unwrap().is_empty());
        assert_eq!(parser.push(b"x").unwrap_err().kind(), ErrorKind::Corrupt);

        let mut parser = SseParser::default();
        let mut line = b"data:".to_vec();
        line.resize(SSE_LINE_BYTES_MAX, b'x');
        line.push(b'\n');
        let refused = (0..6).find_map(|_| parser.push(&line).err()).unwrap();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(
            SseParser::default().push(b"data: \xff\n").unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
}
