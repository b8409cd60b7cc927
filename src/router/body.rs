//! Bodies on their way: up to the dyno, down to the client. They carry what must live as long as
//! the request does: the lease, the log record, the connection to the dyno.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    domain::ErrorCode,
    router::{
        platform::Relayed,
        pool::{Pool, Upstream},
        record::{Ending, Record},
        watch::{Upload, Watch},
    },
};

/// A request's body. Silence is watched while it flows; the wait for an answer begins when it ends.
pub struct Upward {
    /// None: no body, and nothing to watch.
    flow: Option<Flow>,
}

struct Flow {
    incoming: Incoming,
    watch: Arc<Watch>,
    first_byte: Duration,
}

impl Upward {
    pub fn new(incoming: Incoming, watch: Arc<Watch>, first_byte: Duration) -> Upward {
        Upward { flow: Some(Flow { incoming, watch, first_byte }) }
    }

    pub fn empty() -> Upward {
        Upward { flow: None }
    }
}

impl Body for Upward {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(this) = &mut self.get_mut().flow else { return Poll::Ready(None) };
        loop {
            let frame = ready!(Pin::new(&mut this.incoming).poll_frame(cx));
            match &frame {
                Some(Ok(frame)) if frame.is_data() => this.watch.touch(),
                // Trailers are dropped: they could say anything once the head was judged.
                Some(Ok(_)) => continue,
                Some(Err(_)) => this.watch.set_upload(Upload::Bad),
                None => {}
            }
            if frame.is_none() || (matches!(frame, Some(Ok(_))) && this.incoming.is_end_stream()) {
                this.watch.uploaded(this.first_byte);
            }
            return Poll::Ready(frame);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.flow.as_ref().is_none_or(|flow| flow.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.as_ref().map_or_else(|| SizeHint::with_exact(0), |flow| flow.incoming.size_hint())
    }
}

/// What the client gets. Ends the turn of its request when it is dropped.
pub struct Answer {
    kind: Kind,
    _turn: Turn,
}

enum Kind {
    Whole(Option<Bytes>),
    Dyno(Box<Downward>),
    Platform(Relayed),
}

/// One request's turn on its connection.
pub struct Turn(pub Arc<Watch>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.idle();
    }
}

impl Answer {
    pub fn whole(bytes: Bytes, turn: Turn) -> Answer {
        Answer { kind: Kind::Whole((!bytes.is_empty()).then_some(bytes)), _turn: turn }
    }

    pub fn dyno(body: Downward, turn: Turn) -> Answer {
        Answer { kind: Kind::Dyno(Box::new(body)), _turn: turn }
    }

    pub fn platform(body: Relayed, turn: Turn) -> Answer {
        Answer { kind: Kind::Platform(body), _turn: turn }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.get_mut().kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Kind::Dyno(body) => body.poll_frame(cx),
            Kind::Platform(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Dyno(body) => body.incoming.is_end_stream(),
            Kind::Platform(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Dyno(body) => body.incoming.size_hint(),
            Kind::Platform(body) => body.size_hint(),
        }
    }
}

/// A response body from a dyno. It drives the connection it comes from, and gives it back.
pub struct Downward {
    incoming: Incoming,
    upstream: Option<Upstream>,
    record: Box<Record>,
    watch: Arc<Watch>,
    pool: Rc<Pool>,
}

impl Downward {
    pub fn new(incoming: Incoming, upstream: Upstream, record: Box<Record>, watch: Arc<Watch>, pool: Rc<Pool>) -> Downward {
        Downward { incoming, upstream: Some(upstream), record, watch, pool }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.record.ending.is_some() {
            return Poll::Ready(None);
        }
        if self.watch.expired() {
            return Poll::Ready(Some(Err(self.fail(ErrorCode::H15))));
        }
        if let Some(upstream) = &mut self.upstream {
            let _ = upstream.drive(cx);
        }
        loop {
            return match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    self.record.bytes += data.len() as u64;
                    self.watch.touch();
                    Poll::Ready(Some(Ok(frame)))
                }
                Some(Err(_)) => {
                    let code = if self.watch.upload() == Upload::Bad { ErrorCode::H27 } else { ErrorCode::H18 };
                    Poll::Ready(Some(Err(self.fail(code))))
                }
                None => {
                    self.finish();
                    Poll::Ready(None)
                }
            };
        }
    }

    /// Ends a response that has begun: the client must see that it is not whole.
    fn fail(&mut self, code: ErrorCode) -> io::Error {
        self.record.ending = Some(Ending::Failed(code, None));
        self.upstream = None;
        io::Error::other(code.description())
    }

    fn finish(&mut self) {
        self.record.ending = Some(Ending::Served);
        if let Some(upstream) = self.upstream.take() {
            self.pool.put(upstream);
        }
    }
}

impl Drop for Downward {
    fn drop(&mut self) {
        if self.record.ending.is_some() {
            return;
        }
        if self.incoming.is_end_stream() {
            self.finish();
        } else if self.watch.expired() {
            self.record.ending = Some(Ending::Failed(ErrorCode::H28, None));
        }
    }
}
