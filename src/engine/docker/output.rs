//! The output of a container: frames with time stamps into lines.

use bollard::{container::LogOutput, query_parameters as query};
use bytes::BytesMut;
use futures_util::{Stream, StreamExt, stream::BoxStream};

use super::{Subject, translate};
use crate::engine::{ContainerId, EngineResult, Output};

/// A longer line comes in parts: memory stays bounded whatever an app prints.
const LINE_LIMIT: usize = 64 * 1024;

/// Follows the output from `since_micros` on until the container ends.
pub(super) fn follow(client: &bollard::Docker, id: &ContainerId, since_micros: Option<i64>) -> BoxStream<'static, EngineResult<Output>> {
    // The engine counts in seconds; the rest is left out below.
    let since = since_micros.map_or(0, |micros| i32::try_from(micros.div_euclid(1_000_000)).unwrap_or(i32::MAX).max(0));
    let options = query::LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).timestamps(true).since(since).build();
    let frames = client.logs(&id.0, Some(options));
    lines(frames)
        .filter(move |line| {
            let wanted = line.as_ref().map_or(true, |line| since_micros.is_none_or(|since| line.at_micros >= since));
            std::future::ready(wanted)
        })
        .boxed()
}

fn lines<S>(frames: S) -> impl Stream<Item = EngineResult<Output>> + Send
where
    S: Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
{
    let end = futures_util::stream::once(std::future::ready(None));
    frames
        .map(Some)
        .chain(end)
        .scan([Joiner::default(), Joiner::default()], |joiners, frame| {
            let done: Vec<EngineResult<Output>> = match frame {
                Some(Ok(frame)) => {
                    let stderr = matches!(frame, LogOutput::StdErr { .. });
                    joiners[usize::from(stderr)].take(stderr, &frame.into_bytes()).into_iter().map(Ok).collect()
                }
                Some(Err(error)) => vec![Err(translate::error(error, Subject::Container))],
                None => [false, true].into_iter().filter_map(|stderr| joiners[usize::from(stderr)].rest(stderr)).map(Ok).collect(),
            };
            std::future::ready(Some(futures_util::stream::iter(done)))
        })
        .flatten()
}

/// Puts together what the engine cuts every 16 KiB: only the last part of a line ends in a newline.
#[derive(Default)]
struct Joiner {
    at_micros: i64,
    line: BytesMut,
}

impl Joiner {
    fn take(&mut self, stderr: bool, frame: &[u8]) -> Option<Output> {
        let (at_micros, text) = stamped(frame);
        if self.line.is_empty() {
            self.at_micros = at_micros;
        }
        let whole = text.last() == Some(&b'\n');
        self.line.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        if whole || self.line.len() >= LINE_LIMIT {
            return Some(self.cut(stderr));
        }
        None
    }

    fn rest(&mut self, stderr: bool) -> Option<Output> {
        (!self.line.is_empty()).then(|| self.cut(stderr))
    }

    fn cut(&mut self, stderr: bool) -> Output {
        Output { stderr, at_micros: self.at_micros, bytes: self.line.split().freeze() }
    }
}

/// `2026-11-23T00:38:01.123456789Z text`: the stamp in microseconds, and the text.
fn stamped(frame: &[u8]) -> (i64, &[u8]) {
    let cut = frame.iter().position(|byte| *byte == b' ').unwrap_or(frame.len());
    let stamp = std::str::from_utf8(&frame[..cut]).ok().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    match stamp {
        Some(stamp) => (stamp.as_microsecond(), frame.get(cut + 1..).unwrap_or_default()),
        None => (0, frame),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn out(text: &str) -> Result<LogOutput, bollard::errors::Error> {
        Ok(LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) })
    }

    fn err(text: &str) -> Result<LogOutput, bollard::errors::Error> {
        Ok(LogOutput::StdErr { message: Bytes::copy_from_slice(text.as_bytes()) })
    }

    async fn read(frames: Vec<Result<LogOutput, bollard::errors::Error>>) -> Vec<(bool, i64, String)> {
        let lines = lines(futures_util::stream::iter(frames));
        lines
            .map(|line| line.unwrap())
            .map(|line| (line.stderr, line.at_micros, String::from_utf8_lossy(&line.bytes).into_owned()))
            .collect()
            .await
    }

    #[tokio::test]
    async fn parts_of_a_line_are_joined_for_each_stream() {
        let lines = read(vec![
            out("1970-01-01T00:00:01.000001234Z one"),
            err("1970-01-01T00:00:01.000002Z oops\n"),
            out("1970-01-01T00:00:01.000003Z , two\n"),
            out("1970-01-01T00:00:02Z \n"),
            out("1970-01-01T00:00:03Z no end"),
        ])
        .await;
        assert_eq!(
            lines,
            [
                (true, 1_000_002, "oops".to_owned()),
                (false, 1_000_001, "one, two".to_owned()),
                (false, 2_000_000, String::new()),
                (false, 3_000_000, "no end".to_owned()),
            ]
        );
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_bounded_parts() {
        let part = format!("1970-01-01T00:00:01Z {}", "x".repeat(16 * 1024));
        let lines = read((0..9).map(|_| out(&part)).collect()).await;
        assert_eq!(lines.iter().map(|(_, _, text)| text.len()).collect::<Vec<_>>(), [LINE_LIMIT, LINE_LIMIT, 16 * 1024]);
    }
}
