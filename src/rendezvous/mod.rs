//! `heroku run`: a client comes over TLS with the secret of a one-off dyno, and from then on raw
//! bytes go both ways (the protocol as clients speak it: heroku.md 11.3).
//!
//! The first chunk of ours is thrown away by clients: it is a line of its own. The end of a client's
//! input is the byte EOT. The status line that `--exit-code` appends must reach it in one piece.

mod line;
mod marker;
mod relay;

use std::{io, time::Duration};

use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::{
    dynos::{ByteSink, ByteStream, DynoError, Dynos, OneOff, Streams},
    secrets::TOKEN_CHARS,
};
use line::{Line, Records};
use marker::Whole;
pub use relay::{relay, turn_away};

/// A client must say its secret in this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that has taken nothing for so long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(3600);
/// EOT in a record of its own ends the input when nothing follows in this time.
const AFTER_EOT: Duration = Duration::from_millis(300);
/// What a client still sends after the end is read for this long: closing before would take the last output with it.
const LINGER: Duration = Duration::from_secs(5);
const EOT: u8 = 4;
const BUFFER: usize = 16 * 1024;

/// Whether what a connection begins with is a secret and not a request of the web: a request has a
/// blank within its first bytes, a secret has none.
pub fn is_secret(first: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    first.len() > 8 && first.iter().take(TOKEN_CHARS).all(plain)
}

/// Serves one client until its process ends or it is gone; then the process is hung up.
pub async fn serve(dynos: Dynos, stream: TlsStream<TcpStream>) {
    let Ok(line) = Line::of(stream.get_ref().0) else { return };
    let (mut from, mut to) = tokio::io::split(Records(stream));
    let mut secret = vec![0; TOKEN_CHARS];
    if !matches!(timeout(PATIENCE, from.read_exact(&mut secret)).await, Ok(Ok(_))) {
        return;
    }
    let Ok(secret) = String::from_utf8(secret) else { return };
    // A client that is gone by now is seen at the first word to it.
    let _ = match dynos.attach(&secret.into()).await {
        Ok(one_off) => {
            let of = one_off.of;
            tokio::select! {
                done = talk(one_off, &mut from, &mut to, &line) => done,
                () = dynos.right_ends(of) => Ok(()),
            }
        }
        Err(error) => refuse(error, &mut from, &mut to).await,
    };
}

async fn talk(one_off: OneOff, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), line: &Line) -> io::Result<()> {
    let OneOff { mut input, mut output, leash, streams, .. } = one_off;
    greet(to).await?;
    let ended = tokio::select! {
        ended = print(&mut output, to) => ended,
        () = listen(from, &mut input, streams, line) => false,
    };
    if ended {
        leash.exit().await;
        finish(from, to).await?;
    }
    Ok(())
}

async fn refuse(error: DynoError, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let why = match error {
        DynoError::NoSuchDyno => "This address has been used, or is too old. Run the command again.".to_owned(),
        DynoError::DidNotBoot(why) => why,
        error => error.to_string(),
    };
    tell(&why, from, to).await
}

/// One sentence instead of a process.
async fn tell(why: &str, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    greet(to).await?;
    to.write_all(format!(" !    {why}\r\n").as_bytes()).await?;
    finish(from, to).await
}

/// The line that clients throw away.
async fn greet(to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.write_all(b"rendezvous\r\n").await?;
    to.flush().await
}

/// The client knows of the end when the connection is closed.
async fn finish(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.shutdown().await?;
    let _ = timeout(LINGER, drain(from)).await;
    Ok(())
}

/// Output to the client, as fast as it takes it. False: the client is gone.
async fn print(output: &mut ByteStream, to: &mut (impl AsyncWrite + Unpin)) -> bool {
    let mut whole = Whole::default();
    loop {
        let (ready, ended) = match output.next().await {
            Some(Ok(bytes)) => (whole.push(&bytes), false),
            _ => (std::mem::take(&mut whole).rest(), true),
        };
        let write = async {
            for piece in marker::pieces(&ready) {
                to.write_all(piece).await?;
            }
            to.flush().await
        };
        if !matches!(timeout(WRITE_PATIENCE, write).await, Ok(Ok(()))) {
            return false;
        }
        if ended {
            return true;
        }
    }
}

/// Input from the client, as fast as the process takes it; returns when the client is gone.
async fn listen(from: &mut (impl AsyncRead + Unpin), input: &mut ByteSink, streams: Streams, line: &Line) {
    let mut buffer = vec![0; BUFFER];
    let mut first = true;
    loop {
        let Ok(mut count @ 1..) = from.read(&mut buffer).await else { return };
        if streams == Streams::Pipes && buffer[..count] == [EOT] {
            match timeout(AFTER_EOT, from.read(&mut buffer[1..])).await {
                // A byte like any other.
                Ok(Ok(more @ 1..)) => count += more,
                Ok(_) => return,
                Err(_) => {
                    // The end of the input; the output goes on.
                    let _ = input.shutdown().await;
                    return drain(from).await;
                }
            }
        }
        let mut bytes = &buffer[..count];
        if std::mem::take(&mut first) {
            // Most clients end the line of their secret, one does not.
            bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        }
        let write = async {
            input.write_all(bytes).await?;
            input.flush().await
        };
        tokio::select! {
            written = write => if written.is_err() {
                // The process takes no more; what it still says goes on.
                return drain(from).await;
            },
            () = line.hung_up() => return,
        }
    }
}

/// Reads on without use until the client is gone.
async fn drain(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; BUFFER];
    while matches!(from.read(&mut buffer).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::random_token;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_secret_is_told_from_requests_of_the_web() {
        let secret = random_token();
        assert_eq!(secret.expose_secret().len(), TOKEN_CHARS);
        assert!(is_secret(secret.expose_secret().as_bytes()));
        assert!(is_secret(format!("{}\r\nls -l\n", secret.expose_secret()).as_bytes()));
        for request in ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "MKWORKSPACE /a HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "", "GET"] {
            assert!(!is_secret(request.as_bytes()), "{request}");
        }
    }
}
