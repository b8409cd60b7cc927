//! One console over one socket: until its process ends, its page closes it, or the socket is lost.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{places::Owner, size};
use crate::{
    dynos::{ByteSink, ByteStream, Leash, OneOff},
    secrets,
    web::Web,
};

/// A lost browser socket has this long to come back (decisions 20).
const COME_BACK: Duration = Duration::from_secs(30);

/// Why a socket ends.
enum End {
    Exited(Option<i64>),
    /// The page said so, or the account may not be here any more.
    Closed,
    Lost,
}

/// What a page says besides bytes.
#[derive(Deserialize)]
struct Word {
    #[serde(default)]
    columns: u16,
    #[serde(default)]
    rows: u16,
    #[serde(default)]
    close: bool,
}

pub(super) async fn talk(web: Web, owner: Owner, mut one_off: OneOff, socket: WebSocket) {
    let session = secrets::random_token();
    let let_go = web.consoles.open(&session, owner);
    let hello = json!({ "session": session.expose_secret(), "name": one_off.view.name.to_string(), "ends_at": one_off.ends_at.millis() });
    let (mut down, mut up) = socket.split();
    let end = if down.send(Message::text(hello.to_string())).await.is_err() {
        End::Lost
    } else {
        let OneOff { input, output, leash, of, .. } = &mut one_off;
        tokio::select! {
            end = print(output, leash, &mut down) => end,
            end = listen(&mut up, input, leash) => end,
            () = web.dynos.right_ends(*of) => End::Closed,
            () = let_go.cancelled() => End::Lost,
        }
    };
    match end {
        End::Exited(code) => {
            web.consoles.close(&session);
            // A page that is gone need not be told.
            let _ = down.send(Message::text(json!({ "exit": code }).to_string())).await;
            let _ = down.close().await;
        }
        End::Closed => web.consoles.close(&session),
        End::Lost => {
            web.consoles.park(&session, owner, one_off);
            tokio::time::sleep(COME_BACK).await;
            web.consoles.close(&session);
        }
    }
}

/// Output to the page, as fast as the page takes it.
async fn print(output: &mut ByteStream, leash: &Leash, down: &mut SplitSink<WebSocket, Message>) -> End {
    while let Some(Ok(bytes)) = output.next().await {
        if down.send(Message::Binary(bytes)).await.is_err() {
            return End::Lost;
        }
    }
    End::Exited(leash.exit().await)
}

/// Input from the page, as fast as the process takes it.
async fn listen(up: &mut SplitStream<WebSocket>, input: &mut ByteSink, leash: &Leash) -> End {
    while let Some(Ok(message)) = up.next().await {
        match message {
            Message::Binary(bytes) => {
                let taken = input.write_all(&bytes).await.is_ok() && input.flush().await.is_ok();
                if !taken {
                    // It has ended: the other half says so.
                    return std::future::pending().await;
                }
            }
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Word { close: true, .. }) => return End::Closed,
                Ok(Word { columns, rows, .. }) => _ = leash.resize(size(columns, rows)).await,
                Err(_) => {}
            },
            _ => {}
        }
    }
    End::Lost
}
