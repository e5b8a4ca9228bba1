//! As much WebSocket framing as a server needs that sends far more than it reads: outgoing frames are assembled in one
//! large buffer by the caller, incoming ones are small and whole.

use std::io::{self, Cursor};

use tokio::io::{AsyncRead, AsyncReadExt};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

const MAX_INCOMING: u64 = 1 << 20;

pub(crate) enum Incoming {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Close,
}

pub(crate) struct Reader<R> {
    io: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(io: R) -> Self {
        Reader { io, buffer: Vec::with_capacity(4096) }
    }

    /// The next message; `None` when the client closed the socket without a close frame.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Incoming>> {
        loop {
            if let Some(message) = self.parse()? {
                return Ok(Some(message));
            }
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn parse(&mut self) -> io::Result<Option<Incoming>> {
        loop {
            let mut cursor = Cursor::new(self.buffer.as_slice());
            let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(io::Error::other)? else {
                return Ok(None);
            };
            let begin = cursor.position() as usize;
            if !header.is_final || length > MAX_INCOMING {
                return Err(io::Error::other("fragmented or oversized frame from the client"));
            }
            let end = begin + length as usize;
            if self.buffer.len() < end {
                return Ok(None);
            }
            let mut payload = self.buffer[begin..end].to_vec();
            self.buffer.drain(..end);
            if let Some(mask) = header.mask {
                payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            }
            return match header.opcode {
                OpCode::Data(Data::Text) => Ok(Some(Incoming::Text(payload))),
                OpCode::Control(Control::Ping) => Ok(Some(Incoming::Ping(payload))),
                OpCode::Control(Control::Close) => Ok(Some(Incoming::Close)),
                OpCode::Control(Control::Pong) => continue,
                other => Err(io::Error::other(format!("unexpected frame from the client: {other}"))),
            };
        }
    }
}

/// Appends the header of an unmasked, final frame.
fn push_header(out: &mut Vec<u8>, opcode: OpCode, length: usize) {
    out.push(0x80 | u8::from(opcode));
    match length {
        0..126 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends one text frame whose payload comes in pieces.
pub(crate) fn push_text(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    push_header(out, OpCode::Data(Data::Text), pieces.iter().map(|piece| piece.len()).sum());
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

pub(crate) fn push_binary(out: &mut Vec<u8>, payload: &[u8]) {
    push_header(out, OpCode::Data(Data::Binary), payload.len());
    out.extend_from_slice(payload);
}

pub(crate) fn push_pong(out: &mut Vec<u8>, payload: &[u8]) {
    push_header(out, OpCode::Control(Control::Pong), payload.len());
    out.extend_from_slice(payload);
}

pub(crate) fn push_close(out: &mut Vec<u8>, code: u16) {
    push_header(out, OpCode::Control(Control::Close), 2);
    out.extend_from_slice(&code.to_be_bytes());
}
