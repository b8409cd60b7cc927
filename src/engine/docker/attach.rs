//! A container's standard streams over a connection of their own. Not through the client library:
//! its decoder takes a terminal's bytes for frame headers when they look like one, and would then
//! hold back up to 4 GB. Here nothing is collected: what is read is handed on at once, and what
//! nobody reads waits in the kernel, which holds the writer back.

use std::{io, path::Path, pin::pin};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::UnixStream,
};

use super::{QUICK, Subject, translate};
use crate::engine::{Attachment, ByteStream, Complaints, ContainerId, EngineError, EngineResult};

/// The most that is read in one go.
const CHUNK: usize = 32 * 1024;
/// The head of a frame: stream, three zeros, length.
const HEAD: usize = 8;

/// The number of standard error in a frame's head.
const STDERR: u8 = 2;

/// How the two outputs of a container come.
pub(super) enum Outputs {
    /// A terminal: one stream without frames.
    Raw,
    /// Both as one stream.
    Together,
    /// Standard output alone; the other one is collected here.
    Apart(Complaints),
}

/// Connects to input and output of a container that was created.
pub(super) async fn attach(socket: &Path, id: &ContainerId, outputs: Outputs) -> EngineResult<Attachment> {
    let stream = tokio::time::timeout(QUICK, upgraded(socket, id)).await.map_err(|_| EngineError::TimedOut("attach"))??;
    let (output, input) = tokio::io::split(TokioIo::new(stream));
    let output = match outputs {
        Outputs::Raw => raw(output),
        Outputs::Together => unframed(output, None),
        Outputs::Apart(complaints) => unframed(output, Some(complaints)),
    };
    Ok(Attachment { input: Box::pin(input), output })
}

async fn upgraded(socket: &Path, id: &ContainerId) -> EngineResult<Upgraded> {
    let unreachable = |error: &dyn std::error::Error| EngineError::Unreachable(error.to_string());
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", id.0))
        .header(header::HOST, "docker")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "tcp")
        .body(Empty::<Bytes>::new())
        .expect("a valid request");
    let mut connection = pin!(connection.with_upgrades());
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Ok(hyper::upgrade::on(response).await?));
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), 64 * 1024).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok::<_, hyper::Error>(Err((status, body)))
    };
    let mut answer = pin!(answer);
    let mut open = true;
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            _ = &mut connection, if open => open = false,
        }
    };
    match answer.map_err(|error| unreachable(&error))? {
        Ok(stream) => Ok(stream),
        Err((status, body)) => Err(translate::refusal(status.as_u16(), &body, Subject::Container)),
    }
}

/// A terminal's bytes, as they are.
fn raw(output: impl AsyncRead + Send + Unpin + 'static) -> ByteStream {
    stream::try_unfold(output, |mut output| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = output.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (chunk.freeze(), output)))
    })
    .boxed()
}

/// Both outputs of a container without a terminal, without the frames they come in; standard error
/// goes to `aside` where there is one.
fn unframed(output: impl AsyncRead + Send + Unpin + 'static, aside: Option<Complaints>) -> ByteStream {
    let start = (raw(output), Bytes::new(), Frames::default(), aside);
    stream::try_unfold(start, |(mut source, mut rest, mut frames, aside)| async move {
        loop {
            while let Some((stream, payload)) = frames.next(&mut rest) {
                match &aside {
                    Some(aside) if stream == STDERR => aside.add(&payload),
                    _ => return Ok(Some((payload, (source, rest, frames, aside)))),
                }
            }
            match source.next().await {
                Some(chunk) => rest = chunk?,
                None if frames.is_between() => return Ok(None),
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine's stream broke off inside a frame")),
            }
        }
    })
    .boxed()
}

/// Where in the frames we are. Never more than a head is kept.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    stream: u8,
    payload: usize,
}

impl Frames {
    fn is_between(&self) -> bool {
        self.head.is_empty() && self.payload == 0
    }

    /// The next piece of payload and whose it is; None when `rest` is used up.
    fn next(&mut self, rest: &mut Bytes) -> Option<(u8, Bytes)> {
        while !rest.is_empty() {
            if self.payload > 0 {
                let piece = rest.split_to(self.payload.min(rest.len()));
                self.payload -= piece.len();
                return Some((self.stream, piece));
            }
            let missing = (HEAD - self.head.len()).min(rest.len());
            self.head.extend_from_slice(&rest[..missing]);
            rest.advance(missing);
            if let [stream, _, _, _, a, b, c, d] = self.head[..] {
                self.stream = stream;
                self.payload = u32::from_be_bytes([a, b, c, d]) as usize;
                self.head.clear();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        [&[stream, 0, 0, 0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
    }

    #[tokio::test]
    async fn frames_come_apart_wherever_they_are_cut() {
        let bytes: Vec<u8> = [frame(1, "one "), frame(2, ""), frame(2, "two "), frame(1, "three")].concat();
        for cut in 1..bytes.len() {
            let source = in_pieces(&bytes, cut);
            let pieces: Vec<Bytes> = unframed(source, None).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), b"one two three", "cut every {cut} bytes");
        }
    }

    #[tokio::test]
    async fn what_stands_apart_is_the_end_of_standard_error() {
        let bytes: Vec<u8> = [frame(2, &"x".repeat(9_000)), frame(1, "data "), frame(2, "why"), frame(1, "more")].concat();
        for cut in [1, 7, 100, 20_000] {
            let complaints = Complaints::default();
            let pieces: Vec<Bytes> = unframed(in_pieces(&bytes, cut), Some(complaints.clone())).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), b"data more", "cut every {cut} bytes");
            assert!(complaints.text().ends_with("xwhy") && complaints.text().len() == Complaints::MOST);
        }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_inside_a_frame_is_an_error() {
        let bytes = frame(1, "one");
        for length in 1..bytes.len() {
            let pieces: Result<Vec<Bytes>, _> = unframed(in_pieces(&bytes[..length], 100), None).try_collect().await;
            assert!(pieces.is_err(), "{length} bytes");
        }
    }

    #[tokio::test]
    async fn a_terminal_s_bytes_are_never_taken_for_frames() {
        let bytes = [1, 0, 0, 0, 255, 255, 255, 255, b'x'];
        let pieces: Vec<Bytes> = raw(in_pieces(&bytes, 3)).try_collect().await.unwrap();
        assert_eq!(pieces.concat(), bytes);
    }

    /// Reads `bytes` in pieces of `size`.
    fn in_pieces(bytes: &[u8], size: usize) -> impl AsyncRead + Send + Unpin + 'static {
        let pieces: Vec<io::Result<Bytes>> = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        tokio_util::io::StreamReader::new(stream::iter(pieces))
    }
}
