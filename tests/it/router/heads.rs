//! Hosts, headers and request ids.

use super::rig::{Rig, config, ok};

/// The value of a header as the dyno saw it.
fn seen<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fits = |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
    head.lines().skip(1).filter(fits).map(|line| line.split_once(':').unwrap().1.trim()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dyno_sees_herokus_headers_and_nothing_forged() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("")).await;
    rig.ask(concat!(
        "GET /a?b=c HTTP/1.1\r\nHost: Tienda.localhost:8080\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Port: 1\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n",
        "Via: 1.0 fred\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Own: kept\r\n\r\n"
    ))
    .await;
    let head = dyno.last();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert_eq!(seen(&head, "host"), ["Tienda.localhost:8080"]);
    assert_eq!(seen(&head, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen(&head, "x-forwarded-proto"), ["http"]);
    assert_eq!(seen(&head, "x-forwarded-port"), [rig.address.port().to_string()]);
    assert_eq!(seen(&head, "via"), ["1.0 fred, 1.1 siesta"]);
    assert_eq!(seen(&head, "x-own"), ["kept"]);
    for gone in ["x-forwarded-host", "forwarded", "x-real-ip", "x_forwarded_for", "x-secret", "keep-alive", "te", "connection"] {
        assert!(seen(&head, gone).is_empty(), "{gone}: {head}");
    }
    for number in ["x-request-start", "connect-time", "total-route-time"] {
        assert!(seen(&head, number)[0].bytes().all(|b| b.is_ascii_digit()), "{number}");
    }
    assert_eq!(seen(&head, "x-request-id")[0].len(), 36);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed() {
    let rig = Rig::with(config(&["--trusted-proxy", "127.0.0.0/8"], |_| {})).await;
    let dyno = rig.dyno(|_| ok("")).await;
    rig.ask(
        "GET / HTTP/1.1\r\nHost: tienda.localhost\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\r\n",
    )
    .await;
    let head = dyno.last();
    assert_eq!(seen(&head, "x-forwarded-for"), ["9.9.9.9, 127.0.0.1"]);
    assert_eq!(seen(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(seen(&head, "x-forwarded-port"), ["443"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_kept_only_when_it_is_one() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("")).await;
    let long = "a".repeat(200);
    for (given, kept) in [
        ("abcdefghij0123456789", true),
        ("AB+/=-abcdefghijklmnop", true),
        (long.as_str(), true),
        ("abcdefghij012345678", false),
        (&"a".repeat(201), false),
        ("abcdefghij 0123456789", false),
        ("abcdefghij_0123456789", false),
    ] {
        rig.ask(&format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nX-Request-ID: {given}\r\n\r\n")).await;
        assert_eq!(seen(&dyno.last(), "x-request-id") == [given], kept, "{given}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_lead_to_the_right_app_or_nowhere() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("tienda")).await;
    for (host, status, words) in [
        ("tienda.localhost", 200, "tienda"),
        ("tienda.localhost.", 200, "tienda"),
        ("TIENDA.LOCALHOST:80", 200, "tienda"),
        ("otra.localhost", 503, "no code has been deployed"),
        ("nadie.localhost", 404, "no app configured"),
        ("a.tienda.localhost", 404, "no app configured"),
        ("tienda.localhost.evil", 404, "no app configured"),
        ("example.org", 404, "no app configured"),
        ("localhost:8080", 200, "platform GET"),
        ("api.localhost", 200, "platform GET"),
        ("git.localhost", 200, "platform GET"),
        ("127.0.0.1", 200, "platform GET"),
        ("[::1]:8080", 200, "platform GET"),
        ("tienda.localhost/x", 400, "could not understand"),
        ("tienda.localhost@evil", 400, "could not understand"),
        ("tienda.localhost, otra.localhost", 400, "could not understand"),
        ("", 400, "could not understand"),
    ] {
        let reply = rig.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(reply.status, status, "{host}");
        assert!(reply.text().contains(words), "{host}: {}", reply.text());
    }
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nHost: otra.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nHost: tienda.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET http://tienda.localhost/x HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", 200),
        ("GET http://otra.localhost/x HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", 400),
        ("GET http://u@tienda.localhost/x HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", 400),
        ("CONNECT tienda.localhost:80 HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", 200),
        ("PURGE / HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", 200),
    ] {
        assert_eq!(rig.ask(request).await.status, status, "{request}");
    }
    assert!(dyno.seen.lock().unwrap().iter().all(|r| !r.head.starts_with("GET http")), "an absolute target went through");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_limits() {
    let rig = Rig::new().await;
    let dyno = rig.dyno(|_| ok("")).await;
    // `Host` is one of the thousand.
    let headers = |count: usize| (1..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    for (request, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: tienda.localhost\r\n\r\n", "a".repeat(9_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nX-A: {}\r\n\r\n", "a".repeat(9_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\n{}\r\n", headers(1_001)), 431),
        (format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\n{}\r\n", headers(1_000)), 200),
        (format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nX-A: {}\r\n\r\n", "a".repeat(200_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: tienda.localhost\r\nX-A: {}\r\n\r\n", "a".repeat(8_000)), 200),
    ] {
        assert_eq!(rig.ask(&request).await.status, status, "{}", &request[..60]);
    }
    assert_eq!(dyno.seen(), 2);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_not_set_cookies_for_the_shared_domain() {
    let rig = Rig::new().await;
    let _dyno = rig
        .dyno(|_| {
            let cookies = "Set-Cookie: a=1\r\nSet-Cookie: b=2; Domain=localhost; Path=/\r\nSet-Cookie: c=3; domain=.LOCALHOST\r\n\
                           Set-Cookie: d=4; Domain=tienda.localhost\r\n";
            format!("HTTP/1.1 200 OK\r\n{cookies}Connection: close\r\nContent-Length: 0\r\n\r\n").into_bytes()
        })
        .await;
    let reply = rig.get("/").await;
    assert_eq!(seen(&reply.head, "set-cookie"), ["a=1", "d=4; Domain=tienda.localhost"]);
    assert_eq!(seen(&reply.head, "via"), ["1.1 siesta"]);
    assert!(seen(&reply.head, "connection").is_empty());
    rig.stop().await;
}
