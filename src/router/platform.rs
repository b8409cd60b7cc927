//! The dashboard and the API behind the router's listeners. They run on the main runtime: their
//! database and timers have nothing to do on a router thread, so requests and bodies go over channels.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tower::{Service, ServiceExt};

use crate::scheduler::Tasks;

/// Who is at the other end, in the extensions of a platform request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The visitor's address; behind a trusted proxy the one it names.
    pub ip: IpAddr,
    pub https: bool,
    /// The public port.
    pub port: u16,
}

/// The door to dashboard and API. Cheap to clone.
#[derive(Clone)]
pub struct Platform {
    calls: mpsc::Sender<Call>,
}

struct Call {
    request: Request<Body>,
    reply: oneshot::Sender<Response<Relayed>>,
}

/// Calls that wait to be taken up by the main runtime.
const CALLS: usize = 1_024;
/// Frames of a body on their way to a router thread.
const FRAMES: usize = 4;

impl Platform {
    /// Serves requests with `service` on the runtime this is called on.
    pub fn new<S>(service: S, tasks: &Tasks) -> Platform
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let (calls, mut queue) = mpsc::channel::<Call>(CALLS);
        let workers = tasks.clone();
        tasks.spawn(async move {
            while let Some(call) = queue.recv().await {
                workers.spawn(answer(service.clone(), call));
            }
        });
        Platform { calls }
    }

    /// None when the server is stopping or the handler panicked.
    pub(super) async fn call(&self, request: Request<Incoming>, peer: Peer, stall: Duration) -> Option<Response<Relayed>> {
        let (reply, answer) = oneshot::channel();
        let (mut parts, incoming) = request.into_parts();
        parts.extensions.insert(peer);
        let body = if incoming.is_end_stream() { Body::empty() } else { Body::new(Stalling { incoming, stall, timer: None }) };
        self.calls.send(Call { request: Request::from_parts(parts, body), reply }).await.ok()?;
        answer.await.ok()
    }
}

/// Runs one request and then carries its body over, frame by frame, as the client takes them. A client
/// that leaves ends a question; what changes something goes on, so that nothing is left half done.
async fn answer<S>(service: S, mut call: Call)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let only_asks = call.request.method().is_safe();
    let response = tokio::select! {
        response = service.oneshot(call.request) => match response {
            Ok(response) => response,
            Err(never) => match never {},
        },
        () = call.reply.closed(), if only_asks => return,
    };
    let (parts, mut body) = response.into_parts();
    let hint = body.size_hint();
    let (frames, receiver) = mpsc::channel(FRAMES);
    let relayed = Relayed { frames: receiver, hint, ended: body.is_end_stream() };
    if call.reply.send(Response::from_parts(parts, relayed)).is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            frame = body.frame() => frame,
            () = frames.closed() => return,
        };
        let ended = !matches!(next, Some(Ok(_)));
        let piece = next.map(|frame| frame.map_err(io::Error::other));
        if frames.send(piece).await.is_err() || ended {
            return;
        }
    }
}

/// A body that comes from the main runtime.
pub struct Relayed {
    /// None is the end; a channel that closes before it was cut off.
    frames: mpsc::Receiver<Option<Result<Frame<Bytes>, io::Error>>>,
    hint: SizeHint,
    ended: bool,
}

impl Relayed {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.frames.poll_recv(cx).map(|piece| piece.unwrap_or_else(|| Some(Err(io::ErrorKind::UnexpectedEof.into()))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ended
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A request body that fails when its client falls silent in the middle.
struct Stalling {
    incoming: Incoming,
    stall: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl http_body::Body for Stalling {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame.map(|f| f.map_err(io::Error::other)));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.stall)));
        timer.as_mut().poll(cx).map(|()| Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the request body stopped coming"))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;
    use tokio::sync::Notify;

    use super::*;

    /// Says how a handler ended.
    struct Ending(mpsc::UnboundedSender<bool>, bool);

    impl Drop for Ending {
        fn drop(&mut self) {
            self.0.send(self.1).expect("the test listens");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_a_question_and_no_change() {
        for (method, goes_on) in [(Method::GET, false), (Method::POST, true), (Method::PATCH, true), (Method::DELETE, true)] {
            let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (ends, mut ended) = mpsc::unbounded_channel();
            let service = {
                let (begun, go) = (begun.clone(), go.clone());
                tower::service_fn(move |_| {
                    let (begun, go, ending) = (begun.clone(), go.clone(), Ending(ends.clone(), false));
                    async move {
                        let mut ending = ending;
                        begun.notify_one();
                        go.notified().await;
                        ending.1 = true;
                        Ok::<_, Infallible>(Response::new(Body::empty()))
                    }
                })
            };
            let tasks = Tasks::new();
            let platform = Platform::new(service, &tasks);
            let (reply, answer) = oneshot::channel();
            let request = Request::builder().method(method.clone()).body(Body::empty()).expect("a request");
            assert!(platform.calls.send(Call { request, reply }).await.is_ok());
            begun.notified().await;
            drop(answer);
            if goes_on {
                go.notify_one();
            }
            assert_eq!(ended.recv().await, Some(goes_on), "{method}");
        }
    }
}
