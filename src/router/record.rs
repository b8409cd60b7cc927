//! The router's log line of one request to an app: written exactly once, when the record ends.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Uri};

use crate::{
    domain::ErrorCode,
    dynos::{Lease, Route},
    logs::Logs,
    metrics::Traffic,
};

/// What happened to one request. Dropped without an ending it says that the client left (H27).
pub struct Record {
    pub logs: Option<Logs>,
    pub traffic: Option<Traffic>,
    pub route: Arc<Route>,
    pub method: Method,
    pub target: Uri,
    pub host: HeaderValue,
    pub request_id: HeaderValue,
    pub forwarded_for: HeaderValue,
    pub https: bool,
    pub started: Instant,
    /// Milliseconds to open the connection to the dyno.
    pub connect: Option<u64>,
    /// Since when the dyno has the request.
    pub served: Option<Instant>,
    pub status: u16,
    pub bytes: u64,
    pub lease: Option<Lease>,
    pub ending: Option<Ending>,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Served,
    /// The cause, where the code has several.
    Failed(ErrorCode, Option<&'static str>),
}

impl Record {
    /// Lets go of the buffer that the request came in, for a record that lives long.
    pub fn detach(&mut self) {
        for value in [&mut self.host, &mut self.request_id] {
            if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
                *value = own;
            }
        }
        if let Ok(own) = self.target.to_string().parse() {
            self.target = own;
        }
    }

    fn ending(&self) -> Ending {
        self.ending.unwrap_or(Ending::Failed(ErrorCode::H27, None))
    }

    /// The status the visitor got, or would have got.
    fn told(&self) -> u16 {
        match self.ending() {
            Ending::Served => self.status,
            Ending::Failed(ErrorCode::H26, _) if self.status != 0 => self.status,
            Ending::Failed(code, _) => code.status(),
        }
    }

    /// How long the dyno took, where one had the request; an upgrade lasts as long as people talk.
    fn took(&self) -> Option<Duration> {
        self.served.filter(|_| self.status != 101).map(|served| served.elapsed())
    }

    /// The line, field by field as heroku.md 4.6 has it.
    fn line(&self) -> String {
        let path = self.target.path_and_query().map_or("/", |p| p.as_str());
        let mut line = String::with_capacity(256 + path.len());
        let ending = self.ending();
        match ending {
            Ending::Served => line.push_str("at=info"),
            Ending::Failed(code, cause) => {
                line.push_str(match code {
                    ErrorCode::H18 => "sock=backend ",
                    ErrorCode::H27 => "sock=client ",
                    _ => "",
                });
                let description = code.description();
                let _ = write!(line, "at={} code={} desc=\"{description}", code.level(), code.as_str());
                match cause {
                    Some(cause) if code == ErrorCode::H25 => drop(write!(line, ": {cause}\"")),
                    Some(cause) => drop(write!(line, "\" cause=\"{cause}\"")),
                    None => line.push('"'),
                }
            }
        }
        line.push_str(" method=");
        line.push_str(self.method.as_str());
        line.push_str(" path=\"");
        push_quoted(&mut line, path);
        line.push_str("\" host=");
        push_plain(&mut line, &self.host);
        line.push_str(" request_id=");
        push_plain(&mut line, &self.request_id);
        line.push_str(" fwd=\"");
        push_plain(&mut line, &self.forwarded_for);
        line.push_str("\" dyno=");
        if let Some(lease) = &self.lease {
            let dyno = &lease.target().dyno;
            let _ = write!(line, "{dyno}");
        }
        line.push_str(" connect=");
        if let Some(connect) = self.connect {
            let _ = write!(line, "{connect}ms");
        }
        line.push_str(" service=");
        if let Some(served) = self.served.or(matches!(ending, Ending::Failed(..)).then_some(self.started)).filter(|_| self.lease.is_some())
        {
            let _ = write!(line, "{}ms", served.elapsed().as_millis());
        }
        let _ = write!(line, " status={} bytes=", self.told());
        if self.lease.is_some() {
            let _ = write!(line, "{}", self.bytes);
        }
        line.push_str(if self.https { " protocol=https" } else { " protocol=http" });
        line
    }
}

/// A quote would end the field early; a URL has another way to write it.
fn push_quoted(line: &mut String, text: &str) {
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            line.push_str("%22");
        }
        line.push_str(part);
    }
}

fn push_plain(line: &mut String, value: &HeaderValue) {
    match value.to_str() {
        Ok(text) => push_quoted(line, text),
        Err(_) => line.push_str(&String::from_utf8_lossy(value.as_bytes()).replace('"', "%22")),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(logs) = &self.logs {
            logs.platform(self.route.app, "router", self.line());
        }
        if let Some(traffic) = &self.traffic {
            traffic.record(self.route.app, self.told(), self.took());
        }
    }
}
