//! Between a client and the server that knows its secret: what `siesta proxy` does with `heroku run`.
//! Records stay as they are, for clients read meaning into where a chunk ends.

use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use super::{
    BUFFER, WRITE_PATIENCE, drain, finish,
    line::{Line, Records},
    tell,
};

/// Carries bytes both ways until the process ends or the client is gone; then the server's side is closed.
pub async fn relay(client: TlsStream<TcpStream>, server: impl AsyncBufRead + AsyncWrite + Unpin) {
    let Ok(line) = Line::of(client.get_ref().0) else { return };
    let (mut from, mut to) = tokio::io::split(Records(client));
    let (mut answers, mut onward) = tokio::io::split(Records(server));
    let ended = tokio::select! {
        ended = back(&mut answers, &mut to) => ended,
        () = forth(&mut from, &mut onward, &line) => false,
    };
    if ended {
        // A client that is gone meanwhile needs no answer.
        let _ = finish(&mut from, &mut to).await;
    }
}

/// Tells a client why its process cannot be reached.
pub async fn turn_away(client: TlsStream<TcpStream>, why: &str) {
    let (mut from, mut to) = tokio::io::split(client);
    // A client that is gone meanwhile needs no answer.
    let _ = tell(why, &mut from, &mut to).await;
}

/// What the process says. False: the client takes no more.
async fn back(answers: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> bool {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = answers.read(&mut buffer).await {
        let write = async {
            to.write_all(&buffer[..count]).await?;
            to.flush().await
        };
        if !matches!(timeout(WRITE_PATIENCE, write).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

/// What the client says; returns when it is gone.
async fn forth(from: &mut (impl AsyncRead + Unpin), onward: &mut (impl AsyncWrite + Unpin), line: &Line) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let write = async {
            onward.write_all(&buffer[..count]).await?;
            onward.flush().await
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
