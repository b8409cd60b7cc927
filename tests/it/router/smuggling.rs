//! Requests that two parsers could read differently: a dyno sees at most one for each that a
//! client meant to send, and never a byte of another's (security.md T19).

use std::time::Duration;

use super::rig::{Rig, ok};

/// What hides in bodies and between heads.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n";

/// Heads that disagree with themselves about where the body ends, each followed by `HIDDEN`.
fn framings() -> Vec<String> {
    let te = |value: &str| format!("Transfer-Encoding:{value}\r\n");
    let cl = |value: &str| format!("Content-Length:{value}\r\n");
    let mut heads = vec![
        cl(" 4") + &te(" chunked"),
        te(" chunked") + &cl(" 4"),
        cl(" 0") + &te(" chunked"),
        te(" chunked") + &cl(" 0"),
        "content-LENGTH: 4\r\ntransfer-ENCODING: chunked\r\n".to_owned(),
        format!("{}X-A: b\r\n{}", te(" chunked"), cl(" 4")),
        cl(" 4") + &cl(" 5"),
        cl(" 4, 5"),
        cl(" 4, 4"),
    ];
    for value in [
        " xchunked",
        " chunked, identity",
        " identity",
        " gzip, chunked",
        " chunked, chunked",
        " chunked;x",
        " \"chunked\"",
        " chunked,",
        " ,chunked",
        " x",
        "",
        " cow",
        " chunke",
        " chunked\u{b}",
        "\u{b}chunked",
        " CHUNKED, identity",
        " identity, chunked",
        " chunked\0",
    ] {
        heads.push(te(value));
    }
    for value in [" +4", " -4", " 0x4", " 4.0", " 4 4", " 4a", "", " 99999999999999999999999", " ０", " 4,", " 1e1", " '4'"] {
        heads.push(cl(value));
    }
    for line in [
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding\r\n : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "Transfer\u{0}-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length : 4\r\n",
        " Content-Length: 4\r\n",
        "Content-Length\t: 4\r\n",
        "Content-Length: 4\r\n 4\r\n",
        "X\r\n",
        ": x\r\n",
        "X y: z\r\n",
        "X: a\rContent-Length: 4\r\n",
        "X: a\0b\r\n",
        "Connection: content-length\r\nContent-Length: 4\r\n",
        "Connection: host\r\n",
        "Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
        "Host: otra.localhost\r\n",
        "host: tienda.localhost\r\n",
    ] {
        heads.push(line.to_owned());
    }
    heads
}

/// Whole requests that are wrong in their first line or their chunks.
const WHOLE: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: tienda.localhost\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: tienda.localhost\r\n\r\n",
    "GET /\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: tienda.localhost\r\n\r\n",
    "GET http://otra.localhost/ HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n",
    "GET tienda.localhost HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1 ;x\u{1}\r\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another() {
    let rig = Rig::limited(|l| (l.body_stall, l.header_timeout, l.keep_alive) = (SHORT, SHORT, SHORT)).await;
    let dyno = rig.dyno(|_| ok("one")).await;
    let framed = framings();
    assert!(framed.len() + WHOLE.len() >= 60);
    let head = |line: &str| format!("POST /meant HTTP/1.1\r\nHost: tienda.localhost\r\n{line}\r\n");
    let cases = framed.iter().map(|line| head(line) + "0\r\n\r\n" + HIDDEN);
    let cases = cases.chain(framed.iter().map(|line| head(line) + HIDDEN)).chain(WHOLE.iter().map(|case| (*case).to_owned()));
    for case in cases {
        let before = dyno.seen();
        let mut client = rig.client().await;
        client.send(&case).await;
        let answers = client.rest().await;
        rig.emptied().await;
        let seen: Vec<String> = dyno.seen.lock().unwrap()[before..].iter().map(|r| r.head.lines().next().unwrap().to_owned()).collect();
        let answered = answers.matches("HTTP/1.1 ").count();
        assert!(!seen.iter().any(|line| line.contains("smuggled")) || plain(&case), "{case:?}: {seen:?}, {answers:?}");
        assert!(seen.len() <= answered.max(1), "{case:?}: {seen:?}, {answers:?}");
    }
    rig.stop().await;
}

const SHORT: Duration = Duration::from_millis(150);

/// Some lines are no framing at all to any parser: then what follows an empty body is a request
/// of its own, in the open.
fn plain(case: &str) -> bool {
    let framing = case.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    !framing.contains("transfer") && !framing.contains("length")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_is_refused_and_closes() {
    let mut rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("one")).await;
    let mut client = rig.client().await;
    client.send("POST / HTTP/1.1\r\nHost: tienda.localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(rig.line().await.contains("code=H26 desc=\"Request Error\" cause=\"bad header\""));
    assert_eq!(dyno.seen(), 0);
    // The words in a body are no head.
    let body = "23\r\nx\r\nContent-Length: 4\r\n\r\n56789012345\r\n0\r\n\r\n";
    let reply = rig.ask(&format!("POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
    assert_eq!(reply.status, 200);
    rig.stop().await;
}
