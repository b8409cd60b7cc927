//! Log lines as drains send them: RFC 5424 with Heroku's habits, each with its length before it
//! (RFC 6587; heroku.md 5.3). Pure.

use std::fmt::Write as _;

use crate::{
    domain::{LogLine, Timestamp, log_line::Source},
    logs::{drains::address::Protocol, overflow},
};

/// Bytes of one delivery, about.
const FRAME_BYTES: usize = 100 * 1024;
/// local5.warning.
const OVERFLOW: u8 = 172;

/// Lines on their way: the same bytes and id at every try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) id: String,
    pub(super) bytes: Vec<u8>,
    /// Messages in it, with the one that tells of an overflow.
    pub(super) messages: usize,
    /// Lines of the app in it.
    pub(super) lines: u64,
    /// The number of its last line, and when that was said.
    pub(super) last: u64,
    pub(super) last_at_micros: i64,
}

/// Makes frames for one drain.
pub(super) struct Framer {
    pub(super) protocol: Protocol,
    pub(super) token: String,
}

impl Framer {
    /// A new frame; with lines lost before it, it begins by saying so: how many, since when, and now.
    pub(super) fn begin(&self, id: String, lost: Option<(u64, i64, i64)>) -> Frame {
        let mut frame = Frame { id, bytes: Vec::new(), messages: 0, lines: 0, last: 0, last_at_micros: 0 };
        if let Some((count, since_micros, now_micros)) = lost {
            self.message(&mut frame, OVERFLOW, (now_micros, "heroku", "logplex"), &overflow(count, since_micros));
        }
        frame
    }

    /// Adds a line; false when there is no room for another.
    pub(super) fn add(&self, frame: &mut Frame, number: u64, line: &LogLine) -> bool {
        self.message(frame, priority(line), (line.at_micros, line.source.as_str(), &line.ps), &line.message);
        frame.lines += 1;
        (frame.last, frame.last_at_micros) = (number, line.at_micros);
        frame.bytes.len() < FRAME_BYTES
    }

    fn message(&self, frame: &mut Frame, priority: u8, (at_micros, source, ps): (i64, &str, &str), message: &str) {
        let at = Timestamp::to_log_format(at_micros);
        // Over https the host is a word and the field of structured data is missing: Heroku's own form.
        let (host, fields) = match self.protocol {
            Protocol::Https => ("host", "-"),
            Protocol::Syslog { .. } => (self.token.as_str(), "- -"),
        };
        let mut text = String::with_capacity(message.len() + 96);
        writeln!(text, "<{priority}>1 {at} {host} {source} {ps} {fields} {message}").expect("a string takes all");
        frame.bytes.extend_from_slice(text.len().to_string().as_bytes());
        frame.bytes.push(b' ');
        frame.bytes.extend_from_slice(text.as_bytes());
        frame.messages += 1;
    }
}

/// Facility and severity (heroku.md 5.3).
fn priority(line: &LogLine) -> u8 {
    match (line.source, line.ps.as_str()) {
        (Source::Heroku, "router") => 158,
        (Source::Heroku, "logplex") => OVERFLOW,
        (Source::Heroku, _) => 45,
        (Source::App, _) => 190,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: Source, ps: &str, message: &str) -> LogLine {
        LogLine { at_micros: 1_354_258_529_000_000, source, ps: ps.to_owned(), message: message.to_owned() }
    }

    fn framer(protocol: Protocol) -> Framer {
        Framer { protocol, token: "d.73ea7440-270a-435a-a0ea-adf50b4e5f5a".to_owned() }
    }

    fn text(frame: Frame) -> String {
        String::from_utf8(frame.bytes).unwrap()
    }

    #[test]
    fn an_https_frame_is_as_heroku_sends_it() {
        let framer = framer(Protocol::Https);
        let mut frame = framer.begin("f".repeat(32), None);
        framer.add(&mut frame, 1, &line(Source::Heroku, "router", "at=info"));
        framer.add(&mut frame, 2, &line(Source::App, "web.1", "ñ"));
        assert_eq!((frame.messages, frame.lines, frame.last), (2, 2, 2));
        assert_eq!(
            text(frame),
            "69 <158>1 2012-11-30T06:55:29.000000+00:00 host heroku router - at=info\n\
             60 <190>1 2012-11-30T06:55:29.000000+00:00 host app web.1 - ñ\n"
        );
    }

    #[test]
    fn a_syslog_frame_names_the_token_and_says_what_was_lost() {
        let framer = framer(Protocol::Syslog { tls: false });
        let mut frame = framer.begin(String::new(), Some((500, 1_354_258_529_000_000, 1_354_258_530_000_000)));
        framer.add(&mut frame, 9, &line(Source::Heroku, "web.1", "Unidling"));
        assert_eq!((frame.messages, frame.lines), (2, 1));
        let token = &framer.token;
        let overflow = format!(
            "<172>1 2012-11-30T06:55:30.000000+00:00 {token} heroku logplex - - Error L10 (output buffer overflow): \
             500 messages dropped since 2012-11-30T06:55:29+00:00.\n"
        );
        let line = format!("<45>1 2012-11-30T06:55:29.000000+00:00 {token} heroku web.1 - - Unidling\n");
        assert_eq!(text(frame), format!("{} {overflow}{} {line}", overflow.len(), line.len()));
    }

    #[test]
    fn a_frame_is_full_at_about_100_kb() {
        let framer = framer(Protocol::Https);
        let mut frame = framer.begin(String::new(), None);
        let long = line(Source::App, "web.1", &"x".repeat(10_000));
        let taken = (1..).take_while(|number| framer.add(&mut frame, *number, &long)).count();
        assert_eq!(taken, 10);
    }
}
