//! Letters: through a real mail server's protocol, once each; what a dead or refusing server costs.

use std::time::Duration;

use siesta::domain::Timestamp;
use tokio::net::TcpListener;

use crate::support::{
    house::House,
    postbox::{Mood, Postbox},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Letters that wait, whenever they are due.
async fn waiting(house: &House) -> Option<(String, u32)> {
    let next = house.owners.reader.due_letter(Timestamp::NEVER).await.unwrap();
    next.map(|letter| (letter.subject, letter.attempts))
}

fn refs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_letter_comes_once_with_sender_recipient_subject_and_text() {
    let postbox = Postbox::open().await;
    let house = House::start(&refs(&postbox.flags())).await;
    let mail = &house.owners.mail;
    mail.post("ana@example.org", "[tienda] 7000 of 10000 rows: ¡ojo!", "Casi llena.\n.\nAdiós\n").await;
    mail.deliver().await;
    mail.deliver().await;
    let letters = postbox.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].from.contains("<siesta@example.org>") && letters[0].to.contains("<ana@example.org>"), "{letters:?}");
    assert_eq!(letters[0].header("Message-ID"), "<1.1430000000000@localhost>");
    assert_eq!(letters[0].header("Date"), "Sat, 25 Apr 2015 22:13:20 +0000");
    assert!(letters[0].header("Subject").starts_with("[tienda] 7000 of 10000 rows:"), "{letters:?}");
    assert!(letters[0].text.contains("Casi llena."), "{letters:?}");
    assert_eq!(waiting(&house).await, None);
    house.stop().await;
}

#[tokio::test]
async fn what_a_busy_server_does_not_take_is_tried_again_and_one_that_refuses_is_not_asked_twice() {
    let postbox = Postbox::open().await;
    let house = House::start(&refs(&postbox.flags())).await;
    let mail = &house.owners.mail;
    postbox.is(Mood::Busy);
    mail.post("ana@example.org", "one", "text").await;
    mail.deliver().await;
    assert_eq!(waiting(&house).await, Some(("one".to_owned(), 1)));
    postbox.is(Mood::Takes);
    mail.deliver().await;
    assert_eq!(postbox.subjects(), Vec::<String>::new(), "not before its time");
    house.clock.advance(HOUR);
    mail.deliver().await;
    assert_eq!(postbox.subjects(), ["one"]);
    postbox.is(Mood::Refuses);
    mail.post("nobody@example.org", "two", "text").await;
    mail.deliver().await;
    assert_eq!((waiting(&house).await, postbox.subjects().len()), (None, 1));
    house.stop().await;
}

#[tokio::test]
async fn a_dead_mail_server_is_tried_six_times_and_then_the_letter_is_given_up() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let address = format!("smtp://127.0.0.1:{port}?tls=none");
    let house = House::start(&["--smtp", &address, "--mail-from", "siesta@example.org"]).await;
    let mail = &house.owners.mail;
    mail.post("ana@example.org", "one", "text").await;
    for tries in 1..=5 {
        mail.deliver().await;
        assert_eq!(waiting(&house).await, Some(("one".to_owned(), tries)));
        house.clock.advance(4 * HOUR);
    }
    mail.deliver().await;
    assert_eq!(waiting(&house).await, None, "a line in the log, and no more");
    house.stop().await;
}

#[tokio::test]
async fn a_server_without_the_tls_that_was_asked_for_gets_no_letter_and_without_a_server_none_is_kept() {
    let postbox = Postbox::open().await;
    let house = House::start(&["--smtp", &format!("smtp://127.0.0.1:{}", postbox.port), "--mail-from", "siesta@example.org"]).await;
    house.owners.mail.post("ana@example.org", "one", "text").await;
    house.owners.mail.deliver().await;
    assert_eq!(postbox.letters().len(), 0, "STARTTLS, or no mail");
    house.stop().await;

    let house = House::start(&[]).await;
    house.owners.mail.post("ana@example.org", "one", "text").await;
    assert_eq!(waiting(&house).await, None);
    house.stop().await;
}
