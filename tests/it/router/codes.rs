//! Every H code: what the visitor gets and what the app's log says.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::StatusCode;
use siesta::{
    domain::Timestamp,
    dynos::{Framed, Pages, Refusal, Stage},
};

use super::rig::{Dyno, Rig, config, ok, target};

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread")]
async fn a_served_request_writes_one_line_field_by_field() {
    let mut rig = Rig::new().await;
    let _dyno = rig.dyno(|_| ok("hola")).await;
    let reply = rig.get("/carrito?x=%22").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "hola"));
    insta::assert_snapshot!(rig.line().await, @r#"heroku[router]: at=info method=GET path="/carrito?x=%22" host=tienda.localhost request_id=<id> fwd="127.0.0.1" dyno=web.1 connect=<n>ms service=<n>ms status=200 bytes=4 protocol=http"#);
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_the_gate_has_its_code_and_page() {
    let mut rig = Rig::limited(|l| l.wake_patience = SHORT).await;
    let until = Timestamp::from_secs(4_102_455_600);
    for (refusal, code, words, again) in [
        (Refusal::Crashed, "H10 desc=\"App crashed\"", "Application error", false),
        (Refusal::Backlog, "H11 desc=\"Backlog too deep\"", "Too busy", true),
        (Refusal::NoWeb, "H14 desc=\"No web processes running\"", "no web process", false),
        (Refusal::Blank, "H81 desc=\"Blank app\"", "no code has been deployed", false),
        (Refusal::Resting { until }, "H82 desc=\"Free dyno quota exhausted\"", "It can wake again at 03:00 UTC", true),
        (Refusal::Platform, "H99 desc=\"Platform error\"", "could not start this app", true),
    ] {
        rig.gate.refuse(refusal);
        let reply = rig.get("/").await;
        assert_eq!(reply.status, 503, "{refusal:?}");
        assert!(reply.text().contains(words), "{refusal:?}: {}", reply.text());
        assert_eq!(reply.header("retry-after").is_some(), again, "{refusal:?}");
        let line = rig.line().await;
        assert!(line.contains(code) && line.ends_with("dyno= connect= service= status=503 bytes= protocol=http"), "{line}");
    }
    rig.gate.hold();
    assert_eq!(rig.get("/").await.status, 503);
    insta::assert_snapshot!(rig.line().await, @r#"heroku[router]: at=error code=H20 desc="App boot timeout" method=GET path="/" host=tienda.localhost request_id=<id> fwd="127.0.0.1" dyno= connect= service= status=503 bytes= protocol=http"#);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_wakes_nobody() {
    let mut rig = Rig::build(config(&[], |_| {}), true, None).await;
    let reply = rig.get("/").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("300")));
    assert!(rig.line().await.contains("at=info code=H80 desc=\"Maintenance mode\""));
    assert_eq!(rig.gate.activity().open, 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_misbehaves_has_its_code() {
    let mut rig = Rig::limited(|l| (l.first_byte, l.idle_stream) = (SHORT, SHORT)).await;
    let long_cookie = format!("HTTP/1.1 200 OK\r\nSet-Cookie: a={}\r\nContent-Length: 0\r\n\r\n", "x".repeat(9_000));
    for (answer, status, code) in [
        (String::new(), 503, "code=H13 desc=\"Connection closed without response\""),
        ("nonsense\r\n\r\n".to_owned(), 503, "code=H17 desc=\"Poorly formatted HTTP response\""),
        ("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n".to_owned(), 502, "code=H25 desc=\"HTTP restriction: invalid content length\""),
        (long_cookie, 502, "code=H25 desc=\"HTTP restriction: oversized cookie\""),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(), 503, "code=H17"),
    ] {
        let sent = answer.clone();
        let _dyno = rig.dyno(move |_| sent.clone().into_bytes()).await;
        let reply = rig.get("/").await;
        assert_eq!(reply.status, status, "{answer:?}");
        let line = rig.line().await;
        assert!(line.contains("at=error") && line.contains(code) && line.contains("dyno=web.1"), "{answer:?}: {line}");
        rig.emptied().await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_dyno_is_h12_and_one_that_stops_in_the_middle_h15_or_h18() {
    let mut rig = Rig::limited(|l| (l.first_byte, l.idle_stream) = (SHORT, SHORT)).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.gate.open(vec![target(silent.local_addr().unwrap())]);
    let reply = rig.get("/").await;
    assert_eq!(reply.status, 503);
    assert!(rig.line().await.contains("code=H12 desc=\"Request timeout\""));

    let _dyno = rig.dyno(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n").await;
    assert!(client.rest().await.ends_with("half"));
    assert!(rig.line().await.contains("at=error code=H15 desc=\"Idle connection\""));

    let _dyno = rig.dyno(|_| b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n<close>".to_vec()).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n").await;
    let rest = client.rest().await;
    assert!(!rest.ends_with("0\r\n\r\n"), "a cut answer looks whole: {rest:?}");
    let line = rig.line().await;
    assert!(line.contains("sock=backend at=error code=H18 desc=\"Server Request Interrupted\""), "{line}");
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_refuses_connections_is_h21_unless_another_takes_the_request() {
    let mut rig = Rig::new().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rig.gate.open(vec![target(free)]);
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.contains("code=H21 desc=\"Backend connection refused\""));
    let dyno = Dyno::answering(&rig.tasks, |_| ok("up")).await;
    rig.gate.open(vec![target(free), dyno.target()]);
    for _ in 0..4 {
        assert_eq!(rig.get("/").await.status, 200);
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_h27_and_gives_its_lease_back() {
    let mut rig = Rig::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.gate.open(vec![target(silent.local_addr().unwrap())]);
    let mut client = rig.client().await;
    client.send("GET /lento HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n").await;
    let (mut dyno, _) = silent.accept().await.unwrap();
    tokio::io::AsyncReadExt::read_u8(&mut dyno).await.unwrap();
    drop(client);
    insta::assert_snapshot!(rig.line().await, @r#"heroku[router]: sock=client at=warning code=H27 desc="Client Request Interrupted" method=GET path="/lento" host=tienda.localhost request_id=<id> fwd="127.0.0.1" dyno=web.1 connect=<n>ms service=<n>ms status=499 bytes=0 protocol=http"#);
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_is_h28_and_a_broken_chunk_h26() {
    let mut rig = Rig::limited(|l| l.body_stall = SHORT).await;
    let _dyno = rig.dyno(|_| ok("whole")).await;
    let reply = rig.ask("POST / HTTP/1.1\r\nHost: tienda.localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
    assert!(rig.line().await.contains("at=warning code=H28 desc=\"Client Connection Idle\""));
    let reply = rig.ask("POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n0\r\n\r\n").await;
    assert_eq!(reply.status, 400);
    let line = rig.line().await;
    assert!(line.contains("code=H26 desc=\"Request Error\" cause=\"bad chunk\"") && line.contains("status=400"), "{line}");
    let reply = rig.ask("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nExpect: 200-maybe\r\n\r\n").await;
    assert_eq!(reply.status, StatusCode::EXPECTATION_FAILED);
    let line = rig.line().await;
    assert!(line.contains("cause=\"unsupported expect header value\"") && line.contains("status=417"), "{line}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_waits_gets_a_page_that_asks_again() {
    let mut rig = Rig::limited(|l| l.waking_page_after = SHORT).await;
    rig.gate.reached(Stage::Container);
    let navigation = "Accept: text/html,*/*\r\nSec-Fetch-Mode: navigate\r\nAccept-Language: es-ES,en;q=0.5\r\n";
    let reply = rig.ask(&format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\n{navigation}\r\n")).await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.header("refresh")), (503, Some("2"), Some("2")));
    assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'sha256-"));
    let page = reply.text();
    assert!(page.contains("lang=\"es\"") && !page.contains("<script"), "{page}");
    let (done, now) = (r#"<li class="done">Código y bibliotecas</li>"#, r#"<li class="now" aria-current="step">Contenedor</li>"#);
    assert!(page.contains(done) && page.contains(now) && page.contains(r#"<li class="next">La app arranca</li>"#), "{page}");
    assert!(rig.line().await.contains("at=info method=GET"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_shows_pages_of_its_own_in_a_frame() {
    let mut rig = Rig::new().await;
    let framed = |host: &str| Framed { address: format!("https://{host}/page?a=1&b=2"), origin: format!("https://{host}") };
    rig.gate.show(Pages { error: Some(framed("fallo.example")), maintenance: Some(framed("obras.example")) });
    rig.gate.refuse(Refusal::Crashed);
    let browser = "GET / HTTP/1.1\r\nHost: tienda.localhost\r\nAccept: text/html\r\n\r\n";
    let reply = rig.ask(browser).await;
    let page = reply.text();
    assert_eq!(reply.status, 503);
    assert!(page.contains(r#"<iframe src="https://fallo.example/page?a=1&#38;b=2""#), "{page}");
    assert!(reply.header("content-security-policy").unwrap().contains("; frame-src https://fallo.example;"), "{}", reply.head);
    assert!(rig.line().await.contains("code=H10"));
    assert!(rig.get("/").await.text().contains("Application error"), "a program gets words, not a frame");
    // What is no fault of the app keeps our words.
    rig.gate.refuse(Refusal::Blank);
    assert!(!rig.ask(browser).await.text().contains("<iframe"));
    rig.stop().await;

    let rig = Rig::build(config(&[], |_| {}), true, None).await;
    rig.gate.show(Pages { error: None, maintenance: Some(framed("obras.example")) });
    assert!(rig.ask(browser).await.text().contains("obras.example"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_lost_with_a_kept_connection_is_sent_once_more_if_that_is_safe() {
    let mut rig = Rig::new().await;
    let count = AtomicUsize::new(0);
    // Answers the first request of all, then closes on the second of each connection.
    let dyno = rig.dyno(move |_| if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { ok("x") } else { Vec::new() }).await;
    // One client, so that one thread and its kept connections serve it.
    let mut client = rig.client().await;
    for (path, seen, connections) in [("/", 1, 1), ("/again", 3, 2)] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n")).await;
        assert_eq!(client.reply().await.status, 200);
        assert_eq!((dyno.seen(), dyno.connections()), (seen, connections));
        rig.emptied().await;
    }
    client.send("POST /once HTTP/1.1\r\nHost: tienda.localhost\r\nContent-Length: 2\r\n\r\nab").await;
    assert_eq!((client.reply().await.status, dyno.seen()), (503, 4));
    rig.line().await;
    assert!(rig.line().await.contains("at=info method=GET path=\"/again\""));
    assert!(rig.line().await.contains("code=H13 desc=\"Connection closed without response\" method=POST path=\"/once\""));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_does_not_take_connections_is_h19() {
    let mut rig = Rig::limited(|l| l.connect = SHORT).await;
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    // Nobody accepts: when the kernel's queue is full, it no longer answers.
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT * 4, tokio::net::TcpStream::connect(address)).await {
        queued.push(stream);
    }
    rig.gate.open(vec![target(address)]);
    assert_eq!(rig.get("/").await.status, 503);
    let line = rig.line().await;
    assert!(line.contains("code=H19 desc=\"Backend connection timeout\"") && line.contains("connect=<n>ms"), "{line}");
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_only_so_many_requests_open_and_waiting() {
    let mut rig = Rig::limited(|l| (l.max_open, l.max_waiting) = (1, 1)).await;
    let mut first = rig.client().await;
    first.send("GET /first HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n").await;
    rig.waiting(1).await;
    assert_eq!(rig.get("/second").await.status, 503);
    assert!(rig.line().await.contains("code=H11 desc=\"Backlog too deep\" method=GET path=\"/second\""));
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.gate.open(vec![target(silent.local_addr().unwrap())]);
    let _held = silent.accept().await.unwrap();
    let reply = rig.get("/third").await;
    assert!(reply.status == 503 && reply.text().starts_with("Too busy"), "{reply:?}");
    assert!(rig.line().await.contains("at=error code=H22 desc=\"Connection limit reached\" method=GET path=\"/third\""));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_whose_client_leaves_gives_up_its_place() {
    let mut rig = Rig::new().await;
    let mut client = rig.client().await;
    client.send("GET /espera HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n").await;
    rig.waiting(1).await;
    drop(client);
    let line = rig.line().await;
    assert!(line.contains("sock=client at=warning code=H27") && line.contains("path=\"/espera\""), "{line}");
    rig.emptied().await;
    assert_eq!(rig.gate.waiting(), 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_reaches_the_gate_keeps_an_app_awake_and_is_named() {
    let mut rig = Rig::new().await;
    let _dyno = rig.dyno(|_| ok("x")).await;
    let agent = "User-Agent: Vigia/1.0\r\n";
    assert_eq!(rig.ask(&format!("GET /mal HTTP/1.1\r\nHost: tienda.localhost\r\nExpect: x\r\n{agent}\r\n")).await.status, 417);
    assert_eq!(rig.gate.callers(), []);
    assert_eq!(rig.ask(&format!("GET /carrito?clave=1 HTTP/1.1\r\nHost: tienda.localhost\r\n{agent}\r\n")).await.status, 200);
    let named: Vec<String> = rig.gate.callers().iter().map(ToString::to_string).collect();
    assert_eq!(named, ["GET /carrito from 127.0.0.x (Vigia/1.0)"]);
    rig.line().await;
    rig.stop().await;
}
