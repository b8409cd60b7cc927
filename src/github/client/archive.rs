//! The source of a commit: archives, and only from hosts that are GitHub's.

use http::header;
use secrecy::ExposeSecret;

use super::{GithubClient, REDIRECTS, memory::who, wire::meaning};
use crate::github::{Access, GitHostError};

impl GithubClient {
    /// Whether an archive may come from there: the API's host, the site's, and `codeload.` before it.
    fn is_ours(&self, url: &reqwest::Url) -> bool {
        let known = |base: &str, prefix: &str| {
            reqwest::Url::parse(base).is_ok_and(|base| {
                let host = format!("{prefix}{}", base.host_str().unwrap_or_default());
                base.scheme() == url.scheme()
                    && url.host_str() == Some(&host)
                    && base.port_or_known_default() == url.port_or_known_default()
            })
        };
        url.username().is_empty()
            && url.password().is_none()
            && (known(&self.api_url, "") || known(&self.web_url, "") || known(&self.web_url, "codeload."))
    }

    /// Follows an archive's redirects by hand; the token goes to the API alone.
    pub(super) async fn archive(&self, access: &Access, path: &str) -> Result<reqwest::Response, GitHostError> {
        self.can_speak()?;
        self.memory.may_ask(&who(access))?;
        let api = format!("{}/", self.api_url);
        let mut url: reqwest::Url = format!("{}{path}", self.api_url).parse().map_err(|_| GitHostError::NotFound)?;
        for _ in 0..=REDIRECTS {
            self.egress.check(&url).map_err(|error| GitHostError::Refused(error.to_string()))?;
            let mut request = self.plain.get(url.clone()).header(header::USER_AGENT, "siesta");
            if let (true, Access::Token(token)) = (url.as_str().starts_with(&api), access) {
                request = request.bearer_auth(token.expose_secret());
            }
            // An address may hold a short-lived token: it is never part of a message.
            let answer = request.send().await.map_err(|error| GitHostError::Unreachable(error.without_url().to_string()))?;
            if !answer.status().is_redirection() {
                return if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) };
            }
            let target = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            url = target
                .and_then(|target| url.join(target).ok())
                .filter(|target| self.is_ours(target))
                .ok_or_else(|| GitHostError::Refused("the archive lies on a host that is not GitHub's".to_owned()))?;
        }
        Err(GitHostError::Refused("the archive's address leads in a circle".to_owned()))
    }
}

async fn refused(answer: reqwest::Response) -> GitHostError {
    let (status, headers) = (answer.status(), answer.headers().clone());
    meaning(status, &headers, &answer.bytes().await.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::{egress::Egress, github::client::GithubClient};

    #[tokio::test]
    async fn archives_come_from_github_s_own_hosts_only() {
        let client = GithubClient::new("https://github.com", "https://api.github.com", Egress::new(&[], None).unwrap()).unwrap();
        let ours = |url: &str| client.is_ours(&url.parse().unwrap());
        for good in ["https://codeload.github.com/a/b/x?token=1", "https://api.github.com/x", "https://github.com/x"] {
            assert!(ours(good), "{good}");
        }
        for bad in [
            "http://codeload.github.com/x",
            "https://codeload.github.com:8443/x",
            "https://codeload.github.com.evil.example/x",
            "https://evil-github.com/x",
            "https://raw.github.com/x",
            "https://user@codeload.github.com/x",
            "https://127.0.0.1/x",
            "https://github.com@127.0.0.1/x",
        ] {
            assert!(!ours(bad), "{bad}");
        }
    }
}
