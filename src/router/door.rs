//! Connections over TLS that begin with something else than a request. They are told by their first
//! bytes and served on the main runtime.

use tokio::{net::TcpStream, sync::mpsc};
use tokio_rustls::server::TlsStream;

use crate::{router::shard::PlaceInCrowd, scheduler::Tasks};

/// Guests that wait to be taken up by the main runtime.
const GUESTS: usize = 64;

/// Where such connections go. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    knows: fn(&[u8]) -> bool,
    guests: mpsc::Sender<Guest>,
}

struct Guest {
    stream: TlsStream<TcpStream>,
    /// Its place among all clients, as long as it is there.
    place: PlaceInCrowd,
}

impl Door {
    /// `knows` says of the first bytes whether they are a guest's; `serve` runs on the runtime this
    /// is called on, and is dropped when the server stops.
    pub fn new<F>(knows: fn(&[u8]) -> bool, tasks: &Tasks, serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static) -> Door
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (guests, mut queue) = mpsc::channel::<Guest>(GUESTS);
        let workers = tasks.clone();
        tasks.spawn(async move {
            while let Some(Guest { stream, place }) = queue.recv().await {
                let visit = serve(stream);
                workers.spawn(async move {
                    visit.await;
                    drop(place);
                });
            }
        });
        Door { knows, guests }
    }

    pub(super) fn is_for(&self, first: &[u8]) -> bool {
        (self.knows)(first)
    }

    pub(super) async fn let_in(&self, stream: TlsStream<TcpStream>, place: PlaceInCrowd) {
        // A server that stops lets nobody in.
        let _ = self.guests.send(Guest { stream, place }).await;
    }
}
