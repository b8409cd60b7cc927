//! Bytes in both directions, connections kept and given up, waiting, tunnels.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::rig::{Dyno, Rig, config, ok, target};

const GET: &str = "GET / HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n";
const SHORT: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("x")).await;
    let mut client = rig.client().await;
    for _ in 0..20 {
        client.send(GET).await;
        assert_eq!(client.reply().await.status, 200);
    }
    assert_eq!((dyno.seen(), dyno.connections()), (20, 1));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_dyno_closed_is_replaced() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<close>".to_vec()).await;
    let mut client = rig.client().await;
    for turn in 1..=5 {
        client.send(GET).await;
        assert_eq!(client.reply().await.status, 200);
        while dyno.closed() < turn {
            tokio::task::yield_now().await;
        }
        rig.emptied().await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_key_is_never_used_again() {
    let rig = Rig::new().await;
    let old = rig.dyno(|_| ok("old")).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    assert_eq!(client.reply().await.text(), "old");
    // The same address now belongs to another life: a new key, a new connection.
    rig.gate.open(vec![target(old.address)]);
    client.send(GET).await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(old.connections(), 2);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_go_both_ways() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        client
            .send("POST / HTTP/1.1\r\nHost: tienda.localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n1\r\n!\r\n0\r\n\r\n")
            .await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "abcde"));
    }
    assert!(dyno.seen.lock().unwrap().iter().all(|r| r.body == b"wxyz!"));
    assert_eq!(dyno.connections(), 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_continue_is_answered_by_the_router() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("done")).await;
    let mut client = rig.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: tienda.localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    let mut interim = [0; 25];
    client.0.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert_eq!(client.reply().await.text(), "done");
    assert!(!dyno.last().to_lowercase().contains("expect:"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_waits_for_a_slow_reader() {
    const SIZE: usize = 100 * 1024 * 1024;
    let mut rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.gate.open(vec![target(listener.local_addr().unwrap())]);
    let (told, mut written) = tokio::sync::watch::channel(0_usize);
    rig.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        let block = vec![7_u8; 64 * 1024];
        for _ in 0..SIZE / block.len() {
            stream.write_all(&block).await.unwrap();
            told.send_modify(|n| *n += block.len());
        }
        std::future::pending::<()>().await;
    });
    let mut client = rig.client().await;
    client.send(GET).await;
    // Nobody reads: the dyno's writes must come to rest far below the whole.
    loop {
        written.borrow_and_update();
        if tokio::time::timeout(SHORT * 2, written.changed()).await.is_err() {
            break;
        }
    }
    let rested = *written.borrow();
    assert!(rested < SIZE / 2, "{rested} bytes were taken though nobody read");
    assert_eq!(client.reply().await.body.len(), SIZE);
    assert!(rig.line().await.contains(&format!("bytes={SIZE} ")));
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_held_requests_are_served_when_the_gate_opens() {
    let rig = Rig::new().await;
    let held = (0..1_000).map(|n| {
        let rig = &rig;
        async move {
            let body = format!("{n:0>1024}");
            let reply = rig.ask(&format!("POST / HTTP/1.1\r\nHost: tienda.localhost\r\nContent-Length: 1024\r\n\r\n{body}")).await;
            reply.status
        }
    });
    let opened = async {
        rig.waiting(1_000).await;
        rig.dyno(|_| ok("awake")).await
    };
    let (statuses, dyno) = tokio::join!(join_all(held), opened);
    assert!(statuses.iter().all(|s| *s == 200));
    assert_eq!(dyno.seen(), 1_000);
    let mut bodies: Vec<Vec<u8>> = dyno.seen.lock().unwrap().iter().map(|r| r.body.clone()).collect();
    bodies.sort();
    assert!(bodies.iter().enumerate().all(|(n, body)| *body == format!("{n:0>1024}").into_bytes()));
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_becomes_a_tunnel_that_holds_its_lease() {
    let mut rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.gate.open(vec![target(listener.local_addr().unwrap())]);
    rig.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nearly";
        stream.write_all(switch.as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..read]).await.unwrap();
        }
    });
    let mut client = rig.client().await;
    client.send("GET /ws HTTP/1.1\r\nHost: tienda.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("upgrade"), reply.header("connection")), (101, Some("websocket"), Some("upgrade")));
    let mut early = [0; 5];
    client.0.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
    for n in 0..50_u8 {
        client.0.write_all(&[n; 100]).await.unwrap();
        let mut echo = [0; 100];
        client.0.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, [n; 100]);
    }
    assert_eq!(rig.gate.activity().open, 1);
    drop(client);
    let line = rig.line().await;
    assert!(line.contains("at=info method=GET path=\"/ws\"") && line.contains("status=101 bytes=5005 "), "{line}");
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_ends_as_idle() {
    let mut rig = Rig::limited(|l| l.idle_stream = SHORT).await;
    let _dyno = rig.dyno(|_| b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n".to_vec()).await;
    let mut client = rig.client().await;
    client.send("POST /raw HTTP/1.1\r\nHost: tienda.localhost\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 101);
    assert_eq!(client.rest().await, "");
    assert!(rig.line().await.contains("code=H15 desc=\"Idle connection\""));
    rig.emptied().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_clients_are_closed() {
    let rig = Rig::limited(|l| (l.header_timeout, l.keep_alive) = (SHORT, SHORT)).await;
    let _dyno = rig.dyno(|_| ok("x")).await;
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: tienda.loc"] {
        let mut client = rig.client().await;
        client.send(sent).await;
        assert_eq!(client.rest().await, "", "{sent:?}");
    }
    let mut client = rig.client().await;
    client.send(GET).await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.rest().await, "", "an idle connection stays open");
    let mut client = rig.client().await;
    client.send(GET).await;
    assert_eq!(client.reply().await.status, 200);
    client.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(client.rest().await, "", "half a head stays open");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_open() {
    let rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.gate.open(vec![target(listener.local_addr().unwrap())]);
    let mut idle = rig.client().await;
    let mut busy = rig.client().await;
    busy.send(GET).await;
    let (mut dyno, _) = listener.accept().await.unwrap();
    let mut head = [0; 4096];
    let _ = dyno.read(&mut head).await.unwrap();
    let answer = async {
        // The idle connection closes first: the stop is on its way.
        assert_eq!(idle.rest().await, "");
        dyno.write_all(&ok("late")).await.unwrap();
        busy.reply().await
    };
    let ((), reply) = tokio::join!(rig.stop(), answer);
    assert_eq!((reply.status, reply.text().as_str()), (200, "late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_answers_over_the_same_connection() {
    let rig = Rig::new().await;
    let _dyno = Dyno::answering(&rig.tasks, |_| ok("x")).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        client.send("POST /login?a=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!(client.reply().await.text(), "platform POST /login?a=1 127.0.0.1 5 bytes");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_listener_says_https() {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(vec!["tienda.localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();

    let mut rig = Rig::build(config(&[], |_| {}), false, Some(Arc::new(server))).await;
    let dyno = rig.dyno(|_| ok("x")).await;
    let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let name = "tienda.localhost".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: tienda.localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nx"), "{answer}");
    assert!(dyno.last().contains("x-forwarded-proto: https"), "{}", dyno.last());
    assert!(rig.line().await.ends_with(" protocol=https"));
    rig.stop().await;
}
