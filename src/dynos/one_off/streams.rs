//! What a client holds of its one-off dyno.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::AtomicI64},
    task::{Context as Poller, Poll},
};

use futures_util::StreamExt;
use tokio::{
    io::AsyncWrite,
    sync::{mpsc, watch},
};

use super::{Outcome, known::Ending, touch};
use crate::{
    clock::Clock,
    domain::{Timestamp, one_off::Known},
    dynos::DynoView,
    engine::{Attachment, ByteSink, ByteStream, ContainerId, Engine, EngineResult, Streams, TerminalSize},
};

/// A running one-off dyno in the hands of its client. Bytes nobody reads hold the process back.
pub struct OneOff {
    pub view: DynoView,
    /// When its time to live is over.
    pub ends_at: Timestamp,
    /// Its shutdown is the end of the input.
    pub input: ByteSink,
    /// Ends with the process.
    pub output: ByteStream,
    pub leash: Leash,
    /// What `input` and `output` are at the other end.
    pub streams: Streams,
    /// Whose it is, and of which app.
    pub of: Known,
}

impl OneOff {
    pub(super) fn new(
        view: DynoView,
        ends_at: Timestamp,
        attachment: Attachment,
        (leash, streams, of): (Leash, Streams, Known),
        (traffic, clock): (Arc<AtomicI64>, Arc<dyn Clock>),
    ) -> OneOff {
        let (seen, now) = (traffic.clone(), clock.clone());
        let output = attachment.output.inspect(move |_| touch(&seen, now.now())).boxed();
        OneOff { view, ends_at, input: Box::pin(Watched { inner: attachment.input, traffic, clock }), output, leash, streams, of }
    }
}

/// What a client has of its dyno before that runs: dropped, the client has left and takes it along.
pub(super) struct Claim(Option<mpsc::UnboundedSender<Ending>>);

impl Claim {
    pub(super) fn new(orders: mpsc::UnboundedSender<Ending>) -> Claim {
        Claim(Some(orders))
    }

    /// The dyno runs.
    pub(super) fn leash(mut self, engine: Arc<dyn Engine>, container: ContainerId, outcome: watch::Receiver<Option<Outcome>>) -> Leash {
        Leash { engine, container, outcome, orders: self.0.take().expect("taken once") }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(orders) = self.0.take() {
            // One that did not start needs no order.
            let _ = orders.send(Ending::HangUp);
        }
    }
}

/// The client's hold on its dyno: dropped, the client is gone and takes the process along.
pub struct Leash {
    engine: Arc<dyn Engine>,
    container: ContainerId,
    outcome: watch::Receiver<Option<Outcome>>,
    orders: mpsc::UnboundedSender<Ending>,
}

impl Leash {
    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn resize(&self, size: TerminalSize) -> EngineResult<()> {
        self.engine.resize(self.container.clone(), size).await
    }

    /// Waits for its end: the exit code, None when it was lost.
    pub async fn exit(&self) -> Option<i64> {
        // A sender that is gone without a word says that the server stops.
        self.outcome.clone().wait_for(Option::is_some).await.ok()?.as_ref()?.code
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // One that has ended needs no order.
        let _ = self.orders.send(Ending::HangUp);
    }
}

/// Input whose bytes are noted.
struct Watched {
    inner: ByteSink,
    traffic: Arc<AtomicI64>,
    clock: Arc<dyn Clock>,
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, poller: &mut Poller<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        touch(&self.traffic, self.clock.now());
        self.inner.as_mut().poll_write(poller, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(poller)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_shutdown(poller)
    }
}
