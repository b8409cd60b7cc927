//! Choosing a repository: whose, and which.

use serde::Deserialize;

use super::{GithubClient, Login, oauth::encode, wire::Call};
use crate::github::{Access, GitHostError, Listing, Owner, OwnerKind, PAGE, Repository, Search};

/// Pages of an installation's repositories that are looked through for a name: 100 on each.
const MAX_PAGES: u32 = 20;

#[derive(Deserialize)]
pub(super) struct RepositoryBody {
    id: i64,
    full_name: String,
    private: bool,
    #[serde(default)]
    default_branch: Option<String>,
    permissions: Option<Permissions>,
    #[serde(default)]
    archived: bool,
    html_url: String,
}

#[derive(Deserialize)]
struct Permissions {
    #[serde(default)]
    admin: bool,
}

impl RepositoryBody {
    /// None for a name or branch that we would not put into a path.
    pub fn understood(self) -> Option<Repository> {
        Some(Repository {
            id: self.id,
            name: self.full_name.parse().ok()?,
            private: self.private,
            default_branch: self.default_branch.as_deref().unwrap_or("main").parse().ok()?,
            admin: self.permissions.is_some_and(|may| may.admin),
            archived: self.archived,
            url: self.html_url,
        })
    }
}

fn understood(bodies: Vec<RepositoryBody>) -> Vec<Repository> {
    bodies.into_iter().filter_map(RepositoryBody::understood).collect()
}

impl GithubClient {
    /// The person and their organisations.
    pub(super) async fn own(&self, access: &Access) -> Result<Vec<Owner>, GitHostError> {
        let own: Login = self.read(access, "/user".to_owned()).await?;
        let organisations: Vec<Login> = self.read(access, "/user/orgs?per_page=100".to_owned()).await?;
        let organisations = organisations.into_iter().map(|one| Owner { login: one.login, kind: OwnerKind::Organisation });
        Ok([Owner { login: own.login, kind: OwnerKind::Own }].into_iter().chain(organisations).collect())
    }

    /// Where our GitHub App is installed and the person may see it.
    pub(super) async fn installations(&self, access: &Access) -> Result<Vec<Owner>, GitHostError> {
        #[derive(Deserialize)]
        struct Installations {
            installations: Vec<Installation>,
        }
        #[derive(Deserialize)]
        struct Installation {
            id: i64,
            account: Login,
        }
        let all: Installations = self.read(access, "/user/installations?per_page=100".to_owned()).await?;
        let owner = |one: Installation| Owner { login: one.account.login, kind: OwnerKind::Installation(one.id) };
        Ok(all.installations.into_iter().map(owner).collect())
    }

    /// The repositories that were chosen for an installation. They cannot be searched there, so that
    /// is done here.
    pub(super) async fn installed(&self, access: &Access, id: i64, words: &str, page: u32) -> Result<Listing<Repository>, GitHostError> {
        #[derive(Deserialize)]
        struct Installed {
            repositories: Vec<RepositoryBody>,
        }
        let ask = async |size: u32, page: u32| {
            let path = format!("/user/installations/{id}/repositories?per_page={size}&page={page}");
            let answer = self.call(access, Call::get(path)).await?;
            Ok::<_, GitHostError>((understood(answer.decode::<Installed>()?.repositories), answer.has_more()))
        };
        if words.is_empty() {
            let (items, more) = ask(PAGE, page).await?;
            return Ok(Listing { items, more });
        }
        let words = words.to_ascii_lowercase();
        let mut hits = Vec::new();
        for page in 1..=MAX_PAGES {
            let (items, more) = ask(100, page).await?;
            hits.extend(items.into_iter().filter(|one| one.name.as_str().to_ascii_lowercase().contains(&words)));
            if !more {
                break;
            }
        }
        let from = (page.max(1) - 1) as usize * PAGE as usize;
        let more = hits.len() > from + PAGE as usize;
        Ok(Listing { items: hits.into_iter().skip(from).take(PAGE as usize).collect(), more })
    }

    /// The repositories of a person or an organisation.
    pub(super) async fn owned(&self, access: &Access, search: &Search) -> Result<Listing<Repository>, GitHostError> {
        #[derive(Deserialize)]
        struct Found {
            items: Vec<RepositoryBody>,
        }
        let Search { owner, text, page } = search;
        let words = text.trim();
        if words.is_empty() {
            let whose = match owner.kind {
                OwnerKind::Own => "/user/repos?affiliation=owner&sort=pushed".to_owned(),
                _ => format!("/orgs/{}/repos?sort=pushed", encode(&owner.login)),
            };
            let answer = self.call(access, Call::get(format!("{whose}&per_page={PAGE}&page={page}"))).await?;
            return Ok(Listing { items: understood(answer.decode()?), more: answer.has_more() });
        }
        let query = encode(&format!("{words} in:name user:{} fork:true", owner.login));
        let answer = self.call(access, Call::get(format!("/search/repositories?q={query}&per_page={PAGE}&page={page}"))).await?;
        Ok(Listing { items: understood(answer.decode::<Found>()?.items), more: answer.has_more() })
    }
}
