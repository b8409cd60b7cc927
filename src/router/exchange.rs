//! One request from its head to the head of its answer: where it goes, whether it must wait, which
//! dyno takes it, and what the visitor sees when none does.

use std::{cell::RefCell, convert::Infallible, rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use crate::{
    domain::{ErrorCode, Timestamp},
    dynos::{Caller, Entry, Framed, Lease, Refusal, Route, Stage},
    router::{
        body::{Answer, Downward, Turn, Upward},
        head::{self, Found, HeadFault, Origin, Stamp},
        host::Place,
        pages::{Page, Wishes},
        platform::Peer,
        pool::{ConnectFault, Reply, SendFault, Upstream},
        record::{Ending, Record},
        shard::Shard,
        tunnel::Tunnel,
        watch::{Upload, Watch},
    },
};

/// Dynos tried for one request at most (heroku.md 4.1).
const ATTEMPTS: usize = 10;

/// A client's connection and the requests that come over it, one after the other.
pub struct Visit {
    pub shard: Rc<Shard>,
    pub watch: Arc<Watch>,
    pub origin: Origin,
    /// Left by a request that switched protocols, for the connection's task.
    pub tunnel: RefCell<Option<Tunnel>>,
}

/// Why an app's request is answered by us.
struct Stop {
    ending: Ending,
    page: Page,
    status: StatusCode,
}

impl Stop {
    fn code(code: ErrorCode) -> Stop {
        Stop::because(code, None)
    }

    fn because(code: ErrorCode, cause: Option<&'static str>) -> Stop {
        let status = match code {
            // What heroku.md logs as 499 never reaches a client by that name.
            ErrorCode::H27 | ErrorCode::H28 => StatusCode::REQUEST_TIMEOUT,
            code => StatusCode::from_u16(code.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        };
        Stop { ending: Ending::Failed(code, cause), page: Page::of(code), status }
    }

    fn fault(fault: HeadFault) -> Stop {
        let ending = Ending::Failed(ErrorCode::H26, Some(fault.cause()));
        Stop { ending, page: Page::BadRequest, status: fault.status() }
    }

    fn waking(stage: Stage) -> Stop {
        Stop { ending: Ending::Served, page: Page::Waking { stage }, status: StatusCode::SERVICE_UNAVAILABLE }
    }

    fn refusal(refusal: Refusal, now: Timestamp) -> Stop {
        match refusal {
            Refusal::Crashed => Stop::code(ErrorCode::H10),
            Refusal::NoWeb => Stop::code(ErrorCode::H14),
            Refusal::Blank => Stop::code(ErrorCode::H81),
            Refusal::Resting { until } => Stop { page: Page::Resting { until, now }, ..Stop::code(ErrorCode::H82) },
            Refusal::BootTimeout => Stop::code(ErrorCode::H20),
            Refusal::Backlog => Stop::code(ErrorCode::H11),
            Refusal::Crowded => Stop::code(ErrorCode::H22),
            Refusal::NoRoom => Stop { page: Page::Full, ..Stop::code(ErrorCode::H99) },
            Refusal::Platform => Stop::code(ErrorCode::H99),
        }
    }
}

/// Answers one request.
pub async fn answer(visit: Rc<Visit>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    visit.watch.begin();
    let turn = Turn(visit.watch.clone());
    let (parts, body) = request.into_parts();
    visit.watch.set_upload(if http_body::Body::is_end_stream(&body) { Upload::Done } else { Upload::Open });
    let limits = &visit.shard.limits;
    let found = head::scan(&parts.headers, limits.header_line_bytes);
    let mut fault = head::fault(&parts, &found, &visit.watch, limits.header_line_bytes);
    let place = head::host_of(&parts).map(|host| visit.shard.hosts.find(&host));
    let response = match place {
        Some(Place::App(route)) => {
            let mut exchange = Exchange::new(&visit, route, &parts, &found);
            match exchange.serve(parts, body, &found, fault).await {
                Ok(head) => return Ok(exchange.flow(head, turn)),
                Err((stop, wishes)) => exchange.stop(stop, &wishes),
            }
        }
        Some(Place::Platform) if fault.is_none() => return Ok(visit.platform(parts, body, &found, turn).await),
        Some(Place::Unknown) if fault.is_none() => visit.page(Page::NoSuchApp, StatusCode::NOT_FOUND, &Wishes::of(&parts.headers), false),
        _ => {
            let fault = fault.take().unwrap_or(HeadFault::Bad);
            visit.page(Page::BadRequest, fault.status(), &Wishes::of(&parts.headers), true)
        }
    };
    Ok(response.map(|bytes| Answer::whole(bytes, turn)))
}

impl Visit {
    /// A page of ours. The connection is closed when the request's body has not been read.
    fn page(&self, page: Page, status: StatusCode, wishes: &Wishes, close: bool) -> Response<Bytes> {
        self.watch.begin();
        self.watch.time(self.shard.limits.idle_stream);
        page.response(status, wishes, close || self.watch.upload() != Upload::Done)
    }

    /// The app's own page in the place of ours.
    fn framed(&self, framed: &Framed, page: Page, status: StatusCode, wishes: &Wishes) -> Response<Bytes> {
        self.watch.begin();
        self.watch.time(self.shard.limits.idle_stream);
        page.frame(framed, status, wishes, self.watch.upload() != Upload::Done)
    }

    async fn platform(&self, parts: Parts, body: Incoming, found: &Found, turn: Turn) -> Response<Answer> {
        let wishes = Wishes::of(&parts.headers);
        let ip = head::visitor_ip(&self.origin, found, &parts.headers);
        let peer = Peer { ip, https: head::is_https(&self.origin, found, &parts.headers), port: self.origin.port };
        let called = self.shard.platform.call(Request::from_parts(parts, body), peer, self.shard.limits.body_stall).await;
        match called {
            Some(response) => {
                self.watch.set_upload(Upload::Done);
                response.map(|body| Answer::platform(body, turn))
            }
            None => {
                let page = self.page(Page::Platform, StatusCode::SERVICE_UNAVAILABLE, &wishes, true);
                page.map(|bytes| Answer::whole(bytes, turn))
            }
        }
    }
}

/// One request to an app.
struct Exchange<'a> {
    visit: &'a Visit,
    record: Option<Box<Record>>,
}

/// The head of an answer and what its body stands on.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation a request")]
enum Head {
    Response(Response<Incoming>, Upstream),
    Switched(Response<()>),
}

type Stopped = (Stop, Wishes);

impl<'a> Exchange<'a> {
    fn new(visit: &'a Visit, route: Arc<Route>, parts: &Parts, found: &Found) -> Exchange<'a> {
        let headers = &parts.headers;
        let record = Record {
            logs: visit.shard.logs.clone(),
            traffic: visit.shard.traffic.clone(),
            route,
            method: parts.method.clone(),
            target: parts.uri.clone(),
            host: headers.get(http::header::HOST).cloned().unwrap_or_else(|| http::HeaderValue::from_static("")),
            request_id: head::request_id(headers, found),
            forwarded_for: head::forwarded_for(&visit.origin, found, headers),
            https: head::is_https(&visit.origin, found, headers),
            started: Instant::now(),
            connect: None,
            served: None,
            status: 0,
            bytes: 0,
            lease: None,
            ending: None,
        };
        Exchange { visit, record: Some(Box::new(record)) }
    }

    fn record(&mut self) -> &mut Record {
        self.record.as_mut().expect("the record is here until the head of the answer is")
    }

    /// Brings the request to a dyno and waits for the head of the answer.
    async fn serve(&mut self, mut parts: Parts, body: Incoming, found: &Found, fault: Option<HeadFault>) -> Result<Head, Stopped> {
        if let Some(fault) = fault {
            return Err((Stop::fault(fault), Wishes::of(&parts.headers)));
        }
        if self.record().route.maintenance {
            return Err((Stop::code(ErrorCode::H80), Wishes::of(&parts.headers)));
        }
        let upgrade = if found.upgrade { parts.extensions.remove::<OnUpgrade>() } else { None };
        let upstream = match self.reach(&parts, found).await {
            Ok(upstream) => upstream,
            Err(stop) => return Err((stop, Wishes::of(&parts.headers))),
        };
        // The page, should one be needed, speaks the visitor's language: the rest moves on.
        let asked = Wishes::of(&parts.headers);
        let request = self.outgoing(parts, body, found);
        self.forward(upstream, request, upgrade).await.map_err(|stop| (stop, asked))
    }

    /// A lease and a connection to its dyno; dynos that cannot be reached are left for others.
    async fn reach(&mut self, parts: &Parts, found: &Found) -> Result<Upstream, Stop> {
        let shard = &self.visit.shard;
        let mut tried: Vec<(u64, ConnectFault)> = Vec::new();
        loop {
            let lease = self.admit(parts, found).await?;
            let target = lease.target().clone();
            self.record().lease = Some(lease);
            if let Some((_, fault)) = tried.iter().find(|(key, _)| *key == target.key || tried.len() >= ATTEMPTS) {
                return Err(Stop::code(match fault {
                    ConnectFault::Refused => ErrorCode::H21,
                    ConnectFault::TimedOut => ErrorCode::H19,
                }));
            }
            if let Some(upstream) = std::future::poll_fn(|cx| std::task::Poll::Ready(shard.pool.take(target.key, cx))).await {
                self.record().connect = Some(0);
                return Ok(upstream);
            }
            let began = Instant::now();
            let connected = Upstream::connect(&target, shard.limits.connect).await;
            self.record().connect = Some(millis(began));
            match connected {
                Ok(upstream) => return Ok(upstream),
                Err(fault) => tried.push((target.key, fault)),
            }
        }
    }

    /// Through the gate, waiting in front of it as long as a request may.
    async fn admit(&mut self, parts: &Parts, found: &Found) -> Result<Lease, Stop> {
        let (shard, origin) = (&self.visit.shard, &self.visit.origin);
        let gate = &self.record().route.gate;
        let refused = |refusal| Stop::refusal(refusal, shard.clock.now());
        let who = |now| {
            let agent = parts.headers.get(http::header::USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
            let ip = head::visitor_ip(origin, found, &parts.headers);
            Some(Caller::new(now, parts.method.as_str(), parts.uri.path(), agent, ip))
        };
        let waiting = match gate.enter_as(who) {
            Entry::Admitted(lease) => return Ok(lease),
            Entry::Refused(refusal) => return Err(refused(refusal)),
            Entry::Held(waiting) => waiting,
        };
        let limits = &shard.limits;
        let browser = limits.waking_page_after < limits.wake_patience && head::is_navigation(&parts.method, &parts.headers);
        let patience = if browser { limits.waking_page_after } else { limits.wake_patience };
        match waiting.admitted(patience).await {
            Err(Refusal::BootTimeout) if browser => Err(Stop::waking(self.record().route.gate.stage())),
            admitted => admitted.map_err(refused),
        }
    }

    /// The request as the dyno gets it.
    fn outgoing(&mut self, parts: Parts, body: Incoming, found: &Found) -> Request<Upward> {
        let visit = self.visit;
        let record = self.record();
        let mut headers = parts.headers;
        head::toward_dyno(&mut headers, found, &visit.origin, record.https);
        head::stamp(
            &mut headers,
            &Stamp {
                forwarded_for: &record.forwarded_for,
                request_id: &record.request_id,
                start: visit.shard.clock.now().millis().unsigned_abs(),
                connect: record.connect.unwrap_or(0),
                route: millis(record.started),
            },
        );
        let mut request = Request::new(Upward::new(body, visit.watch.clone(), visit.shard.limits.first_byte));
        *request.method_mut() = parts.method;
        *request.uri_mut() = origin_form(parts.uri);
        *request.headers_mut() = headers;
        request
    }

    /// Sends the request. What a dyno may have read is sent again only when it was lost with a kept
    /// connection, has no body and is safe to repeat.
    async fn forward(&mut self, mut upstream: Upstream, request: Request<Upward>, upgrade: Option<OnUpgrade>) -> Result<Head, Stop> {
        let visit = self.visit;
        let limits = &visit.shard.limits;
        self.record().served = Some(Instant::now());
        visit.watch.time(if visit.watch.upload() == Upload::Done { limits.first_byte } else { limits.body_stall });
        let spare = if upstream.used { spare(&request) } else { None };
        let mut sent = upstream.send(request, &visit.watch).await;
        let again = match sent {
            Err(SendFault::Unsent(request)) => {
                sent = Err(SendFault::Expired);
                Some(*request)
            }
            Err(SendFault::Broken(ref e)) if !e.is_parse() => spare.map(|head| Request::from_parts(head, Upward::empty())),
            _ => None,
        };
        if let Some(request) = again {
            let target = self.record().lease.as_ref().expect("a request that is sent has a lease").target().clone();
            upstream = Upstream::connect(&target, limits.connect).await.map_err(|_| Stop::code(ErrorCode::H21))?;
            sent = upstream.send(request, &visit.watch).await;
        }
        let (response, parts) = match sent {
            Ok(Reply::Response(response)) => (response, None),
            Ok(Reply::Switched(response, parts)) => (response, Some(parts)),
            Err(fault) => return Err(send_stop(&fault, visit.watch.upload())),
        };
        visit.watch.answered(limits.idle_stream);
        if let Some(lease) = &mut self.record().lease {
            lease.answered();
        }
        let (mut head, body) = response.into_parts();
        head::toward_client(&mut head, &visit.shard.cookie_domains).map_err(|cause| Stop::because(ErrorCode::H25, Some(cause)))?;
        self.record().status = head.status.as_u16();
        let Some(parts) = parts else { return Ok(Head::Response(Response::from_parts(head, body), upstream)) };
        let Some(client) = upgrade else { return Err(Stop::code(ErrorCode::H17)) };
        let mut record = self.record.take().expect("the record is here until the head of the answer is");
        record.detach();
        *visit.tunnel.borrow_mut() = Some(Tunnel { client, dyno: parts.io.into_inner(), early: parts.read_buf, record });
        head.extensions.clear();
        Ok(Head::Switched(Response::from_parts(head, ())))
    }

    /// The answer; its body carries the record and the lease on.
    fn flow(mut self, head: Head, turn: Turn) -> Response<Answer> {
        match head {
            Head::Switched(response) => response.map(|()| Answer::whole(Bytes::new(), turn)),
            Head::Response(response, upstream) => {
                let record = self.record.take().expect("only a tunnel takes the record before");
                let (watch, pool) = (self.visit.watch.clone(), self.visit.shard.pool.clone());
                response.map(|body| Answer::dyno(Downward::new(body, upstream, record, watch, pool), turn))
            }
        }
    }

    /// Ends the request with a page of ours.
    fn stop(mut self, stop: Stop, wishes: &Wishes) -> Response<Bytes> {
        let record = self.record();
        record.status = stop.status.as_u16();
        record.ending = Some(stop.ending);
        let close = stop.page == Page::BadRequest;
        let own = record.route.gate.pages();
        match stop.page.framed(&own).filter(|_| wishes.html()) {
            Some(framed) => self.visit.framed(framed, stop.page, stop.status, wishes),
            None => self.visit.page(stop.page, stop.status, wishes, close),
        }
    }
}

/// The head of a request that may be sent a second time.
fn spare(request: &Request<Upward>) -> Option<Parts> {
    let safe = request.method().is_safe() && http_body::Body::is_end_stream(request.body());
    if !safe || request.headers().contains_key(http::header::UPGRADE) {
        return None;
    }
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.headers = request.headers().clone();
    Some(head)
}

/// Why a request that was sent got no answer.
fn send_stop(fault: &SendFault, upload: Upload) -> Stop {
    match fault {
        SendFault::Expired if upload == Upload::Open => Stop::code(ErrorCode::H28),
        SendFault::Expired => Stop::code(ErrorCode::H12),
        SendFault::Unsent(_) => Stop::code(ErrorCode::H13),
        SendFault::Broken(_) if upload == Upload::Bad => Stop::because(ErrorCode::H26, Some("bad chunk")),
        SendFault::Broken(e) if e.is_parse_too_large() => Stop::because(ErrorCode::H25, Some("oversized header")),
        SendFault::Broken(e) if e.is_parse() && e.to_string().contains("content-length") => {
            Stop::because(ErrorCode::H25, Some("invalid content length"))
        }
        SendFault::Broken(e) if e.is_parse() => Stop::code(ErrorCode::H17),
        SendFault::Broken(_) => Stop::code(ErrorCode::H13),
    }
}

/// An absolute target becomes the plain one: the host is in `Host`.
fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    let path = uri.into_parts().path_and_query;
    path.map_or_else(|| Uri::from_static("/"), Uri::from)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
