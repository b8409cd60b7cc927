//! Whether a dyno answers: its own address and port, never a published one, which would lie.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// What counts as up (decisions 19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The port accepts: enough for a wake, the held requests themselves are the proof.
    Accepts,
    /// Any HTTP answer to `GET /` with this host: what a release must give.
    Answers { host: String },
}

/// One connection attempt may take this long.
const CONNECT: Duration = Duration::from_secs(5);

/// Waits until the dyno gives the proof. Never gives up by itself: race it against the boot timeout.
pub(super) async fn until_up(address: SocketAddr, proof: &Proof) {
    let begun = Instant::now();
    loop {
        let up = match proof {
            Proof::Accepts => connect(address).await.is_some(),
            Proof::Answers { host } => answers(address, host).await,
        };
        if up {
            return;
        }
        sleep(pause(begun.elapsed())).await;
    }
}

/// Every 2 ms for the first 100 ms, 5 ms up to a second, then 25 ms: under 1 % of a core, at most
/// 2.5 ms late (performance.md B).
fn pause(elapsed: Duration) -> Duration {
    Duration::from_millis(match elapsed.as_millis() {
        0..100 => 2,
        100..1000 => 5,
        _ => 25,
    })
}

async fn connect(address: SocketAddr) -> Option<TcpStream> {
    timeout(CONNECT, TcpStream::connect(address)).await.ok()?.ok()
}

async fn answers(address: SocketAddr, host: &str) -> bool {
    let ask = async {
        let mut stream = connect(address).await?;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: siesta-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.ok()?;
        (head == *b"HTTP/1.").then_some(())
    };
    ask.await.is_some()
}
