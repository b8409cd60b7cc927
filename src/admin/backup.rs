//! `siesta backup` and `siesta restore`. The server hands a backup over as frames (what it is, length,
//! bytes); the subcommand writes it beside its place, reads it back and only then gives it its name.

use std::{
    fs::{File, Permissions},
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    AdminClient, AdminError, Said,
    door::{Door, refuse},
};
use crate::{
    audit,
    backup::{self, Manifest, Piece, Wanted},
};

/// What a frame holds.
const BYTES: u8 = 0;
const PROGRESS: u8 = 1;
const DONE: u8 = 2;
const FAILED: u8 = 3;
const HEAD: usize = 5;

/// `siesta backup`.
#[derive(Serialize, Deserialize)]
pub struct BackupRequest {
    pub logs: bool,
    /// Under it the keys are sealed; without it they are left out.
    pub passphrase: Option<String>,
}

/// The server's side.
pub(super) async fn make(State(door): State<Door>, Json(request): Json<BackupRequest>) -> Result<Response, (StatusCode, Json<Said>)> {
    let wanted = Wanted { logs: request.logs, passphrase: request.passphrase.map(SecretString::from) };
    let pieces = door.backup.begin(wanted).map_err(refuse)?;
    let frames = stream::unfold((pieces, door), |(mut pieces, door)| async move {
        let frame = match pieces.recv().await? {
            Piece::Bytes(bytes) => frame(BYTES, &bytes),
            Piece::Progress(text) => frame(PROGRESS, text.as_bytes()),
            Piece::End(Ok(())) => {
                door.note(audit::BACKUP, "").await;
                frame(DONE, &[])
            }
            Piece::End(Err(error)) => frame(FAILED, error.to_string().as_bytes()),
        };
        Some((Ok::<_, std::convert::Infallible>(frame), (pieces, door)))
    });
    Ok(Body::from_stream(frames).into_response())
}

fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD + payload.len());
    frame.put_u8(kind);
    frame.put_u32(u32::try_from(payload.len()).expect("a piece of a backup is small"));
    frame.put_slice(payload);
    frame.freeze()
}

/// The next whole frame of what came so far.
fn next_frame(buffer: &mut BytesMut) -> Option<(u8, Bytes)> {
    let length = buffer.get(1..HEAD)?.try_into().map(u32::from_be_bytes).ok()? as usize;
    if buffer.len() < HEAD + length {
        return None;
    }
    let kind = buffer[0];
    buffer.advance(HEAD);
    Some((kind, buffer.split_to(length).freeze()))
}

impl AdminClient {
    /// `siesta backup`: writes a whole and sound backup to `file`, readable by its owner only, or nothing.
    pub async fn backup(&self, file: &Path, request: &BackupRequest) -> Result<Manifest, AdminError> {
        let stream = self.connect().await.ok_or_else(|| AdminError::NotRunning(self.data_dir.clone()))?;
        let body = Bytes::from(serde_json::to_vec(request).expect("plain structs are JSON"));
        let ask = Request::post("/backup").header("host", "admin").header("content-type", "application/json");
        let ask = ask.body(Full::new(body).map_err(|never| match never {}).boxed()).expect("a valid request");
        let response = self.send(stream, ask).await?;
        let broken = |error: hyper::Error| AdminError::Broken(error.to_string());
        if !response.status().is_success() {
            let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Err(AdminError::Refused(serde_json::from_slice::<Said>(&bytes).map_or(text, |answer| answer.said)));
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut part = tempfile::Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(folder)?;
        let (mut body, mut buffer, mut done) = (response.into_body(), BytesMut::new(), false);
        while let Some(arrived) = body.frame().await {
            buffer.extend_from_slice(arrived.map_err(broken)?.data_ref().map_or(&[][..], |data| data));
            while let Some((kind, payload)) = next_frame(&mut buffer) {
                match kind {
                    BYTES => part.write_all(&payload)?,
                    PROGRESS => eprintln!("{}", String::from_utf8_lossy(&payload)),
                    DONE => done = true,
                    _ => return Err(AdminError::Refused(String::from_utf8_lossy(&payload).into_owned())),
                }
            }
        }
        if !done {
            return Err(AdminError::Broken("the server ended before the backup was whole".to_owned()));
        }
        part.as_file().sync_all()?;
        let (_, manifest) = backup::check(part.as_file())?;
        part.persist(file).map_err(|failed| failed.error)?;
        File::open(folder)?.sync_all()?;
        Ok(manifest)
    }
}

/// `siesta restore`: what to say afterwards.
///
/// # Errors
/// When the backup cannot be brought back; nothing was written then.
pub async fn restore(file: &Path, data: &Path, key: Option<&Path>) -> Result<String, AdminError> {
    let backup = File::open(file)?;
    let restored = backup::restore(&backup, data, key, passphrase).await?;
    let made_at = crate::domain::Timestamp(restored.header.made_at);
    Ok(format!("{} of {made_at} are in {}. Start the server: it reads databases and stores in first.", restored.manifest, data.display()))
}

/// The first line of standard input.
///
/// # Errors
/// When it cannot be read.
pub fn passphrase() -> io::Result<SecretString> {
    if io::stdin().is_terminal() {
        eprintln!("Passphrase of the keys:");
    }
    let mut text = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(io::stdin().take(1024)), &mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_wherever_they_are_cut() {
        let sent = [frame(BYTES, b"one"), frame(PROGRESS, b""), frame(BYTES, &[7; 1000]), frame(DONE, b"")].concat();
        for cut in 1..sent.len() {
            let (mut buffer, mut heard) = (BytesMut::new(), Vec::new());
            for piece in sent.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some((kind, payload)) = next_frame(&mut buffer) {
                    heard.push((kind, payload.len()));
                }
            }
            assert_eq!(heard, [(BYTES, 3), (PROGRESS, 0), (BYTES, 1000), (DONE, 0)], "cut every {cut} bytes");
            assert!(buffer.is_empty());
        }
    }
}
