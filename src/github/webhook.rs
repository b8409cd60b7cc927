//! Deliveries of the host: the signature over the raw body, then the few facts we act on. Pure.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::domain::BranchName;

/// The largest delivery that is read; GitHub sends none that is larger.
pub const MAX_BYTES: usize = 25 * 1024 * 1024;

/// Whether `header` (`X-Hub-Signature-256`) is the body's signature under this secret, compared in
/// constant time. An empty secret verifies nothing; SHA-1 is never looked at.
pub fn is_signed(secret: &SecretString, header: Option<&str>, body: &[u8]) -> bool {
    let Some(signature) = header.and_then(|text| text.strip_prefix("sha256=")).and_then(|digits| hex::decode(digits).ok()) else {
        return false;
    };
    sign(secret, body).is_some_and(|mac| mac.verify_slice(&signature).is_ok())
}

fn sign(secret: &SecretString, body: &[u8]) -> Option<Hmac<Sha256>> {
    let key = secret.expose_secret().as_bytes();
    if key.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(body);
    Some(mac)
}

/// The signature header of a body; None for an empty secret.
pub fn signature(secret: &SecretString, body: &[u8]) -> Option<String> {
    sign(secret, body).map(|mac| format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// What a delivery says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// The repository's id; 0 where the event is about none.
    pub repository: i64,
    pub what: What,
    /// The name of who pushed.
    pub who: String,
    /// The commit it is about; empty where there is none.
    pub sha: String,
}

/// The events we act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    Push(BranchName),
    BranchDeleted(BranchName),
    Tag,
    /// A status or a check of a commit changed.
    Checks,
    Ping,
    /// The repository was renamed, transferred, archived or deleted.
    Repository,
    /// Our GitHub App was installed, suspended or removed, or other repositories were chosen: the
    /// account whose they are.
    Installation(String),
    /// Somebody took back what they allowed our GitHub App: the id of their account.
    Revoked(i64),
    Other,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    repository: Option<Numbered>,
    #[serde(default, rename = "ref")]
    reference: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    after: String,
    #[serde(default)]
    sha: String,
    #[serde(default)]
    pusher: Option<Named>,
    #[serde(default)]
    check_suite: Option<Checked>,
    #[serde(default)]
    check_run: Option<Checked>,
    #[serde(default)]
    installation: Option<Installed>,
    #[serde(default)]
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Numbered {
    id: i64,
}

#[derive(Deserialize)]
struct Sender {
    #[serde(default)]
    id: i64,
}

#[derive(Deserialize)]
struct Installed {
    #[serde(default)]
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Checked {
    #[serde(default)]
    head_sha: String,
}

/// Reads a delivery of this event. Err: it is not JSON of that kind.
pub fn parse(event: &str, body: &[u8]) -> Result<Said, String> {
    // Serde would read a list as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("The delivery is not what GitHub sends: it is not a JSON object.".to_owned());
    }
    let payload: Payload = serde_json::from_slice(body).map_err(|error| format!("The delivery is not what GitHub sends: {error}"))?;
    let checked = [&payload.check_suite, &payload.check_run].into_iter().flatten().map(|check| check.head_sha.clone()).next();
    let what = match event {
        "push" => match (BranchName::of_ref(&payload.reference), payload.deleted) {
            (Some(branch), true) => What::BranchDeleted(branch),
            (Some(branch), false) => What::Push(branch),
            (None, _) => What::Tag,
        },
        "status" | "check_suite" | "check_run" => What::Checks,
        "repository" => What::Repository,
        "installation" | "installation_repositories" => {
            payload.installation.and_then(|of| of.account).map_or(What::Other, |account| What::Installation(account.login))
        }
        "github_app_authorization" => payload.sender.map_or(What::Other, |sender| What::Revoked(sender.id)),
        "ping" => What::Ping,
        _ => What::Other,
    };
    Ok(Said {
        repository: payload.repository.map_or(0, |repository| repository.id),
        what,
        who: payload.pusher.map(|pusher| pusher.name).unwrap_or_default().chars().take(100).collect(),
        sha: [payload.after, payload.sha, checked.unwrap_or_default()].into_iter().find(|sha| !sha.is_empty()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"Hello, World!";

    fn secret() -> SecretString {
        "It's a Secret to Everybody".into()
    }

    #[test]
    fn the_signature_is_that_of_github_s_own_example() {
        let known = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(signature(&secret(), BODY).as_deref(), Some(known));
        assert!(is_signed(&secret(), Some(known), BODY));
    }

    #[test]
    fn nothing_else_is_a_signature() {
        let good = signature(&secret(), BODY).unwrap();
        let sha1 = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
        let other = signature(&"another".into(), BODY).unwrap();
        for wrong in [None, Some(""), Some("sha256="), Some(sha1), Some(&other[..]), Some(&good[..good.len() - 2]), Some(&good[7..])] {
            assert!(!is_signed(&secret(), wrong, BODY), "{wrong:?}");
        }
        assert!(!is_signed(&secret(), Some(&good), b"Hello, World?"));
        let of_nothing = format!("sha256={}", "0".repeat(64));
        assert!(!is_signed(&"".into(), Some(&of_nothing), BODY), "an empty secret verifies nothing");
        assert_eq!(signature(&"".into(), BODY), None);
    }

    #[test]
    fn pushes_tags_and_deleted_branches_are_told_apart() {
        let body = |reference: &str, deleted: bool| {
            serde_json::json!({ "ref": reference, "deleted": deleted, "after": "a".repeat(40), "pusher": { "name": "ana" },
                "repository": { "id": 7, "full_name": "ana/tienda" } })
            .to_string()
        };
        let what = |reference: &str, deleted| parse("push", body(reference, deleted).as_bytes()).unwrap();
        let branch: BranchName = "main".parse().unwrap();
        let push = what("refs/heads/main", false);
        assert_eq!((push.what, push.repository, push.who.as_str()), (What::Push(branch.clone()), 7, "ana"));
        assert_eq!(what("refs/heads/main", true).what, What::BranchDeleted(branch));
        assert_eq!(what("refs/tags/v1", false).what, What::Tag);
        assert_eq!(parse("ping", br#"{"zen":"x"}"#).unwrap().what, What::Ping);
        assert_eq!(parse("star", body("", false).as_bytes()).unwrap().what, What::Other);
        let suite = parse("check_suite", br#"{"check_suite":{"head_sha":"abc"},"repository":{"id":7}}"#).unwrap();
        assert_eq!((suite.what, suite.sha.as_str()), (What::Checks, "abc"));
        let removed = parse("installation", br#"{"action":"deleted","installation":{"id":1,"account":{"login":"ana"}}}"#).unwrap();
        assert_eq!((removed.what, removed.repository), (What::Installation("ana".to_owned()), 0));
        let revoked = parse("github_app_authorization", br#"{"action":"revoked","sender":{"id":9,"login":"ana"}}"#).unwrap();
        assert_eq!(revoked.what, What::Revoked(9));
        for broken in [&b"x"[..], b"{", b"[]", br#"{"ref":1}"#] {
            assert!(parse("push", broken).is_err());
        }
    }
}
