//! The real client of GitHub, against the stand-in that is held to GitHub's own description.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use siesta::{
    domain::{CommitSha, RepoName},
    egress::Egress,
    github::{OauthClient, client::GithubClient},
};

use crate::{
    github::contract::{Arrange, keeps_the_contract},
    support::served::program,
};

/// The stand-in in a process of its own; ends with its drop.
struct StandIn {
    child: Child,
    url: String,
    client: reqwest::Client,
    _data: tempfile::TempDir,
}

impl StandIn {
    fn start() -> StandIn {
        let data = tempfile::tempdir().expect("a folder");
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("script/github-demo/server.mjs");
        let node = std::env::var("SIESTA_NODE").unwrap_or_else(|_| "node".to_owned());
        let mut child = program(node)
            .arg(server)
            .args(["--port", "0", "--control", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node; script/test installs it");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = lines.find_map(|line| line.ok()?.strip_prefix("GitHub stand-in: ").map(str::to_owned)).expect("its address");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        StandIn { child, url, client, _data: data }
    }

    async fn arrange(&self, what: &str, given: Value) -> Value {
        let answer = self.client.post(format!("{}/_control/{what}", self.url)).json(&given).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")["done"].take()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Arrange for StandIn {
    async fn person(&self, login: &str) {
        self.arrange("person", json!({ "login": login })).await;
    }

    async fn repository(&self, name: &str, private: bool) -> RepoName {
        self.arrange("repository", json!({ "name": name, "isPrivate": private })).await;
        name.parse().unwrap()
    }

    async fn push(&self, name: &RepoName, branch: &str, message: &str, files: &[(&str, &str)]) -> CommitSha {
        let files: serde_json::Map<String, Value> = files.iter().map(|(path, text)| ((*path).to_owned(), json!(text))).collect();
        let sha = self.arrange("commit", json!({ "name": name, "branch": branch, "message": message, "files": files })).await;
        sha.as_str().expect("a commit").parse().unwrap()
    }

    async fn rename(&self, name: &RepoName, to: &str) -> RepoName {
        self.arrange("rename", json!({ "name": name, "to": to })).await;
        to.parse().unwrap()
    }

    async fn pass_ci(&self, name: &RepoName, sha: &CommitSha) {
        self.arrange("status", json!({ "name": name, "sha": sha, "state": "pending", "context": "siesta/tienda" })).await;
        self.arrange("status", json!({ "name": name, "sha": sha, "state": "success", "context": "ci" })).await;
        self.arrange("check", json!({ "name": name, "sha": sha, "check": "tests", "status": "completed", "conclusion": "neutral" })).await;
    }

    async fn code(&self, login: &str, challenge: &str, redirect: &str) -> String {
        let code = self.arrange("code", json!({ "login": login, "challenge": challenge, "redirect": redirect })).await;
        code.as_str().expect("a code").to_owned()
    }
}

#[tokio::test]
async fn the_real_client_keeps_the_contract_and_fits_github_s_description() {
    let stand_in = StandIn::start();
    let allowed = [stand_in.url.trim_start_matches("http://").to_owned()];
    let egress = Egress::new(&allowed, None).unwrap();
    let host = GithubClient::new(&stand_in.url, &format!("{}/api/v3", stand_in.url), egress).unwrap();
    let client = OauthClient { id: "Ov23demo0000000000000".to_owned(), secret: "demo-client-secret".into() };
    keeps_the_contract(&host, &stand_in, client).await;
    let seen = stand_in.arrange("seen", json!({})).await;
    assert_eq!(seen["faults"], json!([]), "every request and answer fits the description");
}
