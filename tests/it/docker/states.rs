//! One purpose-made app (`tests/apps/states`) on real Docker: one-offs, the release phase, crashes,
//! memory, and releases under load that no request notices.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::served::Served;

const LONG: Duration = Duration::from_secs(120);

/// All lines of the app's log so far.
async fn log(served: &Served, token: &str) -> String {
    let session = served.api("POST", "/apps/estados/log-sessions", token).json(&json!({ "lines": 1500 })).send().await.expect("an answer");
    let session: Value = session.json().await.expect("JSON");
    let address = session["logplex_url"].as_str().expect("an address");
    served.client.get(address).send().await.expect("an answer").text().await.expect("text")
}

async fn says(served: &Served, token: &str, text: &str) {
    served.until(LONG, async || log(served, token).await, |log| log.contains(text)).await;
}

async fn run(served: &Served, token: &str, command: &str) -> String {
    let dyno = served.api("POST", "/apps/estados/dynos", token).json(&json!({ "command": command })).send().await.expect("an answer");
    assert_eq!(dyno.status(), 201);
    dyno.json::<Value>().await.expect("JSON")["name"].as_str().expect("a name").to_owned()
}

async fn set(served: &Served, token: &str, vars: Value) {
    let answer = served.api("PATCH", "/apps/estados/config-vars", token).json(&vars).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

/// Waits until the newest release is settled; its status.
async fn settled(served: &Served, token: &str) -> String {
    let newest = async || {
        let releases = served.get("/apps/estados/releases", token).await;
        let newest = releases.as_array().and_then(|all| all.iter().max_by_key(|release| release["version"].as_i64()).cloned());
        newest.and_then(|newest| newest["status"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    served.until(LONG, newest, |status| status != "pending").await
}

#[tokio::test]
async fn every_kind_of_end_has_its_line_and_no_request_notices_a_release() {
    let served = Served::start(&[]);
    let token = served.claim();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/states");
    let output = served.cli(&["deploy", "--app", "estados", folder], "").unwrap_or_else(|error| panic!("{error}\n{}", served.server_log()));
    assert!(output.contains("releasing as release."), "{output}");
    let page = served.app("estados", "/").send().await.expect("an answer").text().await.expect("text");
    assert_eq!(page, "0 profile saw web.1\n");

    let name = run(&served, &token, "python -c 'print(6*7)'").await;
    says(&served, &token, &format!("app[{name}]: 42")).await;
    says(&served, &token, &format!("heroku[{name}]: State changed from up to complete")).await;
    let name = run(&served, &token, "crash").await;
    says(&served, &token, &format!("heroku[{name}]: Process exited with status 7")).await;
    let name = run(&served, &token, "hog").await;
    says(&served, &token, &format!("heroku[{name}]: Error R15 (Memory quota vastly exceeded)")).await;

    set(&served, &token, json!({ "RELEASE_EXIT": "5" })).await;
    assert_eq!(settled(&served, &token).await, "failed");
    let page = served.app("estados", "/").send().await.expect("an answer").text().await.expect("text");
    assert_eq!(page, "0 profile saw web.1\n", "the old release serves");

    let (rounds, wanted) = if std::env::var_os("SIESTA_TEST_SOAK").is_some() { (10, 20_000) } else { (4, 2_000) };
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = async || {
        while !over.load(Ordering::SeqCst) || asked.load(Ordering::SeqCst) < wanted {
            let answer = served.app("estados", "/").send().await.expect("every request is answered");
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap_or_default());
            asked.fetch_add(1, Ordering::SeqCst);
        }
    };
    let release = async {
        for round in 1..=rounds {
            set(&served, &token, json!({ "ROUND": round.to_string() })).await;
            assert_eq!(settled(&served, &token).await, "succeeded", "{}", served.server_log());
        }
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(release, ask(), ask(), ask(), ask());
    let page = served.app("estados", "/").send().await.expect("an answer").text().await.expect("text");
    assert_eq!(page, format!("{rounds} profile saw web.1\n"));
}
