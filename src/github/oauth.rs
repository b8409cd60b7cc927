//! The web flow's pure parts: state, PKCE, the address that asks for permission.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// What signing in needs: who it is, and a verified address.
pub const SIGN_IN_SCOPE: &str = "read:user user:email";
/// What connecting needs of an OAuth app: GitHub has no smaller word for private repositories with
/// their hooks and statuses. A GitHub App asks for no scope at all.
pub const CONNECT_SCOPE: &str = "repo read:user user:email";

/// The S256 challenge of a PKCE verifier.
pub fn challenge(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret().as_bytes()))
}

/// A question for permission.
#[derive(Debug)]
pub struct Question<'a> {
    /// The host's web address without a trailing slash.
    pub web: &'a str,
    pub client_id: &'a str,
    pub redirect: &'a str,
    /// Empty for a GitHub App.
    pub scope: &'a str,
    pub state: &'a SecretString,
    pub verifier: &'a SecretString,
}

impl Question<'_> {
    /// Where the browser is sent.
    pub fn address(&self) -> String {
        let scope = if self.scope.is_empty() { String::new() } else { format!("&scope={}", encode(self.scope)) };
        format!(
            "{}/login/oauth/authorize?client_id={}&redirect_uri={}{scope}&state={}&code_challenge={}&code_challenge_method=S256",
            self.web,
            encode(self.client_id),
            encode(self.redirect),
            encode(self.state.expose_secret()),
            challenge(self.verifier),
        )
    }
}

/// Percent-encodes everything that is not unreserved.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard_s_example() {
        // RFC 7636, appendix B.
        let verifier: SecretString = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn everything_in_the_address_is_encoded() {
        let (state, verifier) = ("s&t".into(), "v".into());
        let question = Question {
            web: "https://github.com",
            client_id: "Iv1.0&x",
            redirect: "http://localhost:8080/github/callback",
            scope: CONNECT_SCOPE,
            state: &state,
            verifier: &verifier,
        };
        let address = question.address();
        assert!(address.starts_with("https://github.com/login/oauth/authorize?client_id=Iv1.0%26x&"), "{address}");
        assert!(
            address.contains("&redirect_uri=http%3A%2F%2Flocalhost%3A8080%2Fgithub%2Fcallback&scope=repo%20read%3Auser%20user%3Aemail&")
        );
        assert!(address.contains("&state=s%26t&"));
        assert!(!Question { scope: "", ..question }.address().contains("scope"));
    }
}
