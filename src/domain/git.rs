//! Repositories, branches and commits, and what follows from a branch's head for an app that deploys
//! by itself. Values in, values out.

use std::{fmt, str::FromStr};

/// `owner/name` of a repository at the git host: what a path of its API may hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, sqlx::Type, serde::Serialize, serde::Deserialize)]
#[sqlx(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName(String);

impl RepoName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

impl FromStr for RepoName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(RepoName(text.to_owned())),
            _ => Err("That is not a repository. Write it like owner/name, or paste its address.".to_owned()),
        }
    }
}

/// A branch: the rules of `git check-ref-format`, and never an option.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, sqlx::Type, serde::Serialize, serde::Deserialize)]
#[sqlx(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

impl BranchName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch of a full reference; None for a tag and everything else that is no branch.
    pub fn of_ref(reference: &str) -> Option<BranchName> {
        reference.strip_prefix("refs/heads/")?.parse().ok()
    }
}

impl FromStr for BranchName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad_char = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        let refused = text.is_empty()
            || text.len() > 250
            || text.starts_with('-')
            || text.ends_with('.')
            || text == "@"
            || text.contains("..")
            || text.contains("@{")
            || text.chars().any(bad_char)
            || text.split('/').any(bad_part);
        if refused { Err("That is not the name of a branch.".to_owned()) } else { Ok(BranchName(text.to_owned())) }
    }
}

/// A commit: 40 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, sqlx::Type, serde::Serialize, serde::Deserialize)]
#[sqlx(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);

impl CommitSha {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for CommitSha {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 40 && digits { Ok(CommitSha(text.to_owned())) } else { Err("That is not a commit.".to_owned()) }
    }
}

macro_rules! text_types {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    )+};
}

text_types!(RepoName, BranchName, CommitSha);

/// The newest commit of a branch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub sha: CommitSha,
    /// The whole message.
    pub message: String,
    pub author: String,
}

impl Head {
    /// The first line of the message.
    pub fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// Whether the message asks for no deploy.
    pub fn asks_to_skip(&self) -> bool {
        const WORDS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip siesta]", "[siesta skip]"];
        let message = self.message.to_ascii_lowercase();
        WORDS.iter().any(|word| message.contains(word))
    }
}

/// What the checks of a commit say together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CiState {
    /// Nobody has said anything yet.
    Silent,
    Pending,
    Success,
    /// The name of the one that failed.
    Failure(String),
}

/// What became of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(rename_all = "snake_case")]
pub enum Verdict {
    /// Not judged yet.
    Received,
    /// A build of the branch's head was made.
    Deployed,
    /// The head was deployed, or refused, before.
    Known,
    OtherBranch,
    Tag,
    BranchDeleted,
    BadSignature,
    /// The commit's message asks for no deploy.
    Skipped,
    /// A newer push came before this one was deployed.
    Superseded,
    WaitingForCi,
    CiFailed,
    /// Automatic deploys are off.
    Off,
    Ping,
    /// An event that changes nothing.
    Ignored,
    /// The git host could not be asked; asked again by itself.
    Unreachable,
    /// The git host refuses: the connection was revoked, the repository is gone.
    Refused,
}

/// What to do about a branch's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    Deploy,
    /// Nothing, and this is why; the head counts as decided.
    Done(Verdict),
    /// Nothing yet: look again.
    Wait(Verdict),
}

/// Judges the head of a followed branch. `decided` is the last head that was deployed or passed
/// over; `ci` is None where nobody waits for checks.
pub fn judge(head: &Head, decided: Option<&CommitSha>, ci: Option<CiState>) -> Decision {
    if decided == Some(&head.sha) {
        return Decision::Done(Verdict::Known);
    }
    if head.asks_to_skip() {
        return Decision::Done(Verdict::Skipped);
    }
    match ci {
        None | Some(CiState::Success) => Decision::Deploy,
        Some(CiState::Silent | CiState::Pending) => Decision::Wait(Verdict::WaitingForCi),
        // A check that is run again may still pass.
        Some(CiState::Failure(_)) => Decision::Wait(Verdict::CiFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(digit: char, message: &str) -> Head {
        Head { sha: digit.to_string().repeat(40).parse().unwrap(), message: message.to_owned(), author: "ana".to_owned() }
    }

    #[test]
    fn names_that_could_be_a_path_or_an_option_are_refused() {
        for good in ["ana/tienda", "a/b", "Org-1/my.repo_x", "ana/.github"] {
            assert_eq!(good.parse::<RepoName>().unwrap().as_str(), good);
        }
        for bad in ["", "ana", "ana/", "/x", "ana/..", "../x", "ana/tienda/x", "ana/ti enda", "ana/ti%2fenda", "a?/b", "ana/ñ", "a#/b"] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad}");
        }
        for good in ["main", "feature/x", "v1.2", "año", "dependabot/pip/flask-3.0"] {
            assert_eq!(good.parse::<BranchName>().unwrap().as_str(), good);
        }
        let bad = [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a\nb",
            "a~1",
            "x.lock",
            ".x",
            "a//b",
            "/a",
            "a/",
            "@",
            "a@{1}",
            "a:b",
            "a\\b",
            "a.",
        ];
        for bad in bad {
            assert!(bad.parse::<BranchName>().is_err(), "{bad}");
        }
        assert!("A".repeat(40).parse::<CommitSha>().is_err());
        assert!("a".repeat(39).parse::<CommitSha>().is_err());
        assert_eq!("a1".repeat(20).parse::<CommitSha>().unwrap().short(), "a1a1a1a1");
    }

    #[test]
    fn only_branches_are_branches() {
        assert_eq!(BranchName::of_ref("refs/heads/feature/x").unwrap().as_str(), "feature/x");
        for other in ["refs/tags/v1", "refs/heads/", "main", "refs/pull/1/head"] {
            assert_eq!(BranchName::of_ref(other), None, "{other}");
        }
    }

    #[test]
    fn a_head_is_deployed_once_and_not_when_it_asks_for_it() {
        let new = head('b', "Add a page");
        let old = head('a', "x").sha;
        assert_eq!(judge(&new, None, None), Decision::Deploy);
        assert_eq!(judge(&new, Some(&old), None), Decision::Deploy);
        assert_eq!(judge(&new, Some(&new.sha), None), Decision::Done(Verdict::Known));
        for message in ["Docs [skip ci]", "[ci skip] Docs", "Docs\n\n[Skip Siesta]"] {
            assert_eq!(judge(&head('b', message), Some(&old), None), Decision::Done(Verdict::Skipped), "{message}");
        }
    }

    #[test]
    fn who_waits_for_checks_waits_until_all_of_them_passed() {
        let ci = |state| judge(&head('b', "x"), None, Some(state));
        assert_eq!(ci(CiState::Silent), Decision::Wait(Verdict::WaitingForCi));
        assert_eq!(ci(CiState::Pending), Decision::Wait(Verdict::WaitingForCi));
        assert_eq!(ci(CiState::Failure("test".to_owned())), Decision::Wait(Verdict::CiFailed));
        assert_eq!(ci(CiState::Success), Decision::Deploy);
    }
}
