//! Taking a delivery: verify, one row, done. What follows from it is decided later.

use crate::{
    domain::{AppId, git::Verdict},
    fail_point,
    github::webhook::{self, Said, What},
    repositories::{Delivery, Link, Repositories, RepositoryError},
    secrets::token_hash,
    store::deliveries::NewDelivery,
};

/// Rows on the page of deliveries.
const SHOWN: i64 = 20;
const MAX_GUID: usize = 64;

/// One delivery as it came.
#[derive(Debug)]
pub struct Given<'a> {
    /// The token in the hook's address; None: the GitHub App's one hook.
    pub token: Option<&'a str>,
    pub guid: &'a str,
    pub event: &'a str,
    /// `X-Hub-Signature-256`.
    pub signature: Option<&'a str>,
    pub body: &'a [u8],
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Written down for so many apps; zero: it was known, or nobody needs it.
    Accepted(u64),
    NoSuchHook,
    BadSignature,
    /// It is not what the host sends.
    Malformed(String),
}

impl Repositories {
    /// Takes a delivery. Nothing is asked of the host here, so the answer is fast whatever happens.
    pub async fn take(&self, given: Given<'_>) -> Result<Taken, RepositoryError> {
        let links = match given.token {
            Some(token) => {
                let Some(link) = self.parts.reader.link_by_hook(&token_hash(&token.into())).await? else { return Ok(Taken::NoSuchHook) };
                let signed = self.hook_secret(&link).is_some_and(|secret| webhook::is_signed(&secret, given.signature, given.body));
                if !signed {
                    self.parts.writer.count_forged(link.app_id, &plain(given.event), self.parts.clock.now()).await?;
                    return Ok(Taken::BadSignature);
                }
                vec![link]
            }
            None => {
                let Some(known) = self.parts.connections.registration().await? else { return Ok(Taken::NoSuchHook) };
                if !webhook::is_signed(&known.webhook_secret, given.signature, given.body) {
                    return Ok(Taken::BadSignature);
                }
                Vec::new()
            }
        };
        let guid = given.guid;
        if guid.is_empty() || guid.len() > MAX_GUID || !guid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Ok(Taken::Malformed("X-GitHub-Delivery is missing or is no delivery's id.".to_owned()));
        }
        let said = match webhook::parse(given.event, given.body) {
            Ok(said) => said,
            Err(why) => return Ok(Taken::Malformed(why)),
        };
        match (given.token, &said.what) {
            (Some(_), _) => self.note(&links, &said, &given).await,
            (None, What::Installation(login)) => {
                let links = self.parts.reader.links_of_owner(login).await?;
                self.note(&links, &said, &given).await
            }
            (None, What::Revoked(account)) => {
                self.parts.connections.note_revoked_at_host(*account).await?;
                Ok(Taken::Accepted(0))
            }
            (None, _) => self.note(&self.parts.reader.links_of(said.repository).await?, &said, &given).await,
        }
    }

    async fn note(&self, links: &[Link], said: &Said, given: &Given<'_>) -> Result<Taken, RepositoryError> {
        if matches!(said.what, What::Checks | What::Repository | What::Installation(_)) {
            for link in links.iter().filter(|link| link.wait_for_ci || said.what != What::Checks) {
                self.parts.writer.note_asked(link.app_id, None, &link.trouble).await?;
            }
            self.wake.activate();
            return Ok(Taken::Accepted(0));
        }
        let row = |link: &Link| NewDelivery {
            app_id: link.app_id,
            guid: given.guid.to_owned(),
            event: plain(given.event),
            branch: branch_of(said),
            sha: said.sha.chars().filter(char::is_ascii_hexdigit).take(40).collect(),
            who: plain(&said.who),
            verdict: first_verdict(link, &said.what),
        };
        let rows: Vec<NewDelivery> = links.iter().map(row).collect();
        let new = self.parts.writer.insert_deliveries(&rows, self.parts.clock.now()).await?;
        fail_point::reached("delivery.taken");
        if rows.iter().any(|row| row.verdict == Verdict::Received) {
            self.wake.activate();
        }
        Ok(Taken::Accepted(new))
    }

    /// The last deliveries of an app, newest first.
    pub async fn deliveries(&self, app: AppId) -> Result<Vec<Delivery>, RepositoryError> {
        Ok(self.parts.reader.deliveries(app, SHOWN).await?)
    }

    /// Redeliver: judges a genuine delivery once more, by the branch's head as it is now.
    pub async fn redeliver(&self, app: AppId, guid: &str) -> Result<(), RepositoryError> {
        if !self.parts.writer.reopen_delivery(app, guid).await? {
            return Err(RepositoryError::NoSuchDelivery);
        }
        self.parts.writer.forget_decision(app).await?;
        self.wake.activate();
        Ok(())
    }
}

fn branch_of(said: &Said) -> String {
    match &said.what {
        What::Push(branch) | What::BranchDeleted(branch) => branch.to_string(),
        _ => String::new(),
    }
}

/// What can be said without asking anybody.
fn first_verdict(link: &Link, what: &What) -> Verdict {
    match what {
        What::Ping => Verdict::Ping,
        What::Tag => Verdict::Tag,
        What::Push(branch) | What::BranchDeleted(branch) => match &link.branch {
            None => Verdict::Off,
            Some(followed) if followed != branch => Verdict::OtherBranch,
            Some(_) => Verdict::Received,
        },
        What::Checks | What::Repository | What::Installation(_) | What::Revoked(_) | What::Other => Verdict::Ignored,
    }
}

/// A word of the host as it may be shown.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
