//! Random streams of requests, some of them wrong, against a second reading of the same bytes: a
//! dyno sees what a strict reader of RFC 9112 finds in them, in that order, and nothing else.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::rig::{Client, Rig, ok};

const SEED: u64 = 0x51e5_7a00;
const CASES: usize = 400;
const AT_ONCE: usize = 16;
/// What ends a stream that promises more than it has; long enough for a machine that is busy.
const STALL: Duration = Duration::from_secs(1);

/// A small generator: the same seed, the same cases.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn often(&mut self, common: &'static str, odd: &[&'static str]) -> &'static str {
        if self.below(8) == 0 { self.pick(odd) } else { common }
    }
}

/// A stream of requests, each path marked with the case it belongs to.
fn case(dice: &mut Dice, number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for turn in 0..=dice.below(3) {
        let method = dice.pick(&["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]);
        let version = dice.often("HTTP/1.1", &["HTTP/1.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 "]);
        let space = dice.often(" ", &["  ", "\t"]);
        let mut text = format!(
            "{method}{space}/c{number}/r{turn} {version}\r\nHost:{}\r\n",
            dice.often(" tienda.localhost", &["tienda.localhost", "\ttienda.localhost "])
        );
        for _ in 0..dice.below(3) {
            text.push_str(dice.pick(&[
                "X-A: b\r\n",
                "Accept: */*\r\n",
                "Cookie: a=b; c=d\r\n",
                "X-Empty:\r\n",
                "Connection: keep-alive\r\n",
                "X-Odd: a:b\tc\r\n",
                "X Odd: a\r\n",
                "X-Fold: a\r\n b\r\n",
                ": none\r\n",
                "X-Nul: a\0b\r\n",
                "X-Bare: a\n",
                "Content-Length : 3\r\n",
            ]));
        }
        let body = "GET /smuggled HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n";
        match dice.below(6) {
            0 | 1 => text.push_str("\r\n"),
            2 | 3 => {
                let length = match dice.below(8) {
                    0 => body.len().saturating_sub(1 + dice.below(9)).to_string(),
                    1 => format!("+{}", body.len()),
                    2 => format!("{}, {0}", body.len()),
                    3 => format!("{0}\r\nContent-Length: {0}", body.len()),
                    4 => format!("{}\r\nContent-Length: 3", body.len()),
                    _ => body.len().to_string(),
                };
                text.push_str(&format!("Content-Length: {length}\r\n\r\n{body}"));
            }
            _ => {
                let coding = dice.often("chunked", &["Chunked", "identity", "chunked, identity", "gzip, chunked", "xchunked", ""]);
                let beside = dice.often("", &["Content-Length: 4\r\n", "Transfer-Encoding: identity\r\n"]);
                let size = dice.often("32", &["032", "0x32", "+32", "32;ext=1", "33", "31", "32 "]);
                let last = dice.often("0\r\n\r\n", &["0\r\nX-Trailer: a\r\n\r\n", "00\r\n\r\n", "0\n\n", "0;a\r\n\r\n"]);
                text.push_str(&format!("Transfer-Encoding: {coding}\r\n{beside}\r\n{size}\r\n{body}\r\n{last}"));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(format!("GET /c{number}/end HTTP/1.1\r\nHost: tienda.localhost\r\nConnection: close\r\n\r\n").as_bytes());
    bytes
}

/// What a reader that allows no doubt finds: first lines and bodies, up to the first doubt.
fn strict(bytes: &[u8]) -> Vec<Seen> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some((request, after)) = one(rest) {
        found.push(request);
        rest = after;
    }
    found
}

/// A line ends with LF, usually with a CR in front of it; a CR elsewhere is a doubt.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let line = std::str::from_utf8(bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end])).ok()?;
    (!line.contains('\r')).then_some((line, &bytes[end + 1..]))
}

/// A request: its first line and its body.
type Seen = (String, Vec<u8>);
type Found<'a> = (Seen, &'a [u8]);

fn one(bytes: &[u8]) -> Option<Found<'_>> {
    let (mut first, mut rest) = line(bytes)?;
    while first.is_empty() {
        // Empty lines between requests mean nothing (RFC 9112, 2.2).
        (first, rest) = line(rest)?;
    }
    let (mut length, mut chunked, mut codings) = (None, false, 0);
    loop {
        let (header, after) = line(rest)?;
        rest = after;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_some_and(|known| known != value.trim()) => return None,
            "content-length" => length = Some(value.trim()),
            "transfer-encoding" => (chunked, codings) = (value.trim().eq_ignore_ascii_case("chunked"), codings + 1),
            _ => {}
        }
    }
    let first = first.to_owned();
    if codings > 0 {
        let (body, after) = (codings == 1 && chunked && length.is_none()).then(|| chunks(rest)).flatten()?;
        return Some(((first, body), after));
    }
    let length = length.map_or(Some(0), |text| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten())?;
    Some(((first, rest.get(..length)?.to_vec()), &rest[length..]))
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|b| *b == b'\n')?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.trim_end_matches('\r').split(';').next()?.trim_end_matches([' ', '\t']);
        rest = &rest[end + 1..];
        let size = usize::from_str_radix(size, 16).ok().filter(|_| !size.starts_with('+'))?;
        if size == 0 {
            loop {
                let end = rest.iter().position(|b| *b == b'\n')?;
                let trailer = &rest[..end];
                rest = &rest[end + 1..];
                if trailer.trim_ascii().is_empty() {
                    return Some((body, rest));
                }
            }
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_sees_what_a_strict_reader_finds_and_nothing_else() {
    let rig = Rig::limited(|l| (l.body_stall, l.header_timeout, l.keep_alive) = (STALL, STALL, STALL)).await;
    let dyno = rig.dyno(|_| ok("one")).await;
    let mut dice = Dice(SEED);
    let cases: Vec<Vec<u8>> = (0..CASES).map(|number| case(&mut dice, number)).collect();
    let sent = cases.iter().map(|bytes| async {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        // The router may close on a wrong head before it has all.
        let _ = stream.write_all(bytes).await;
        Client(stream).rest().await.matches("HTTP/1.").count()
    });
    let answered: Vec<usize> = stream::iter(sent).buffered(AT_ONCE).collect().await;
    rig.emptied().await;
    let mut seen: HashMap<usize, Vec<Seen>> = HashMap::new();
    for request in dyno.seen.lock().unwrap().iter() {
        let first = request.head.lines().next().unwrap().to_owned();
        let number = first.split("/c").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let number = number.unwrap_or_else(|| panic!("seed {SEED:#x}: nobody meant {first:?}"));
        seen.entry(number).or_default().push((first, request.body.clone()));
    }
    let (mut whole, mut wrong) = (0, Vec::new());
    for (number, bytes) in cases.iter().enumerate() {
        let seen = seen.remove(&number).unwrap_or_default();
        let meant = strict(bytes);
        let like = |(got, wanted): (&Seen, &Seen)| target(&got.0) == target(&wanted.0) && got.1 == wanted.1;
        // A request that was seen has an answer, unless a doubt behind it ended the connection first.
        let fine = seen.len() <= meant.len() && seen.iter().zip(&meant).all(like) && seen.len() <= answered[number].max(1);
        if !fine {
            let text = String::from_utf8_lossy(bytes);
            wrong.push(format!("case {number}: {text:?}\n  saw {seen:?}\n  meant {meant:?}\n  {} answers", answered[number]));
        }
        whole += usize::from(seen.len() == meant.len() && !meant.is_empty());
    }
    assert!(wrong.is_empty(), "seed {SEED:#x}\n{}", wrong.join("\n"));
    assert!(whole > CASES / 10, "only {whole} streams went through whole: nothing was compared");
    rig.stop().await;
}

fn target(first: &str) -> Vec<&str> {
    first.split_ascii_whitespace().take(2).collect()
}
