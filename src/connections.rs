//! Owns people's connections to the git host: how this server is registered there, the web flow, the
//! tokens (sealed, refreshed, revoked).

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    clock::Clock,
    config::Config,
    domain::UserId,
    github::{
        Access, GitHost, GitHostError, Grant, HostAccount, OauthClient,
        oauth::{CONNECT_SCOPE, Question, SIGN_IN_SCOPE},
    },
    secrets::{KeyRing, SecretError, random_token, token_hash},
    store::{
        Reader, StoreError, Writer,
        github_accounts::AccountRow,
        github_registration::{RegistrationRow, StateRow},
    },
};

/// The page of the host is answered in this time.
const STATE_LIFE: Duration = Duration::from_secs(600);
/// A token is refreshed this long before it ends.
const EARLY: Duration = Duration::from_secs(300);
/// Where the registration's secrets are sealed for.
const PLACE: &str = "github_registration|1";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("This server is not registered at GitHub yet. Its administrator does that under Account, GitHub.")]
    NotSetUp,
    #[error("GitHub is registered in the server's settings (SIESTA_GITHUB_CLIENT_ID). Change it there.")]
    SetByEnvironment,
    /// Missing, foreign, used before or too late: the same.
    #[error("That answer from GitHub does not belong to this browser, or it came too late. Begin again.")]
    BadState,
    #[error("That GitHub account is connected to another account of this server.")]
    Taken,
    #[error("You are not connected to GitHub. Connect first.")]
    NotConnected,
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Host(#[from] GitHostError),
    #[error("A secret could not be opened: {0}")]
    Sealed(#[from] SecretError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What kind of program we are at the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Simple to register; its tokens reach every repository of a person.
    Oauth,
    /// Reaches the chosen repositories; its tokens last eight hours.
    App,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Oauth => "oauth",
            Kind::App => "app",
        }
    }

    fn of(word: &str) -> Kind {
        if word == "app" { Kind::App } else { Kind::Oauth }
    }
}

/// How this server is registered.
#[derive(Clone, Debug)]
pub struct Registration {
    pub kind: Kind,
    pub client: OauthClient,
    /// A GitHub App's name in addresses.
    pub app_slug: String,
    /// The secret of a GitHub App's one hook.
    pub webhook_secret: SecretString,
    /// It is set in the environment and cannot be changed on a page.
    pub fixed: bool,
}

/// What an administrator types in.
#[derive(Debug)]
pub struct Draft {
    pub kind: Kind,
    pub client_id: String,
    /// Empty: the one that is there stays.
    pub client_secret: SecretString,
    pub app_slug: String,
}

#[derive(Serialize, Deserialize)]
struct RegistrationSecrets {
    client_secret: String,
    webhook_secret: String,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    access: String,
    refresh: Option<String>,
}

/// Somebody's connection, without its tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    pub host_id: i64,
    pub login: String,
    /// Repositories may be read through it; a sign-in alone does not allow that.
    pub may_deploy: bool,
    /// The host does not accept it any more.
    pub revoked: bool,
}

/// A web flow that came back.
#[derive(Debug)]
pub struct Finished {
    /// Who began it; None: somebody signs in or up.
    pub user: Option<UserId>,
    pub next: String,
    pub account: HostAccount,
    grant: Grant,
}

/// Everything connections stand on.
#[derive(Clone)]
pub struct ConnectionsParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    pub writer: Writer,
    pub keys: Arc<KeyRing>,
    pub github: Arc<dyn GitHost>,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    parts: ConnectionsParts,
    /// One refresh at a time: a refresh token works once.
    refreshing: Arc<AsyncMutex<()>>,
}

impl Connections {
    pub fn new(parts: ConnectionsParts) -> Connections {
        Connections { parts, refreshing: Arc::default() }
    }

    /// Where the host sends the browser back to.
    pub fn callback_url(&self) -> String {
        format!("{}/github/callback", self.parts.config.dashboard_url())
    }

    /// The address of a GitHub App's one hook.
    pub fn webhook_url(&self) -> String {
        format!("{}/github/webhook", self.parts.config.dashboard_url())
    }

    /// How this server is registered: as the environment says, or as an administrator typed it in.
    pub async fn registration(&self) -> Result<Option<Registration>, ConnectionError> {
        let options = &self.parts.config.options;
        if let (Some(id), Some(secret)) = (&options.github_client_id, &options.github_client_secret) {
            return Ok(Some(Registration {
                kind: if options.github_app.is_some() { Kind::App } else { Kind::Oauth },
                client: OauthClient { id: id.clone(), secret: secret.clone() },
                app_slug: options.github_app.clone().unwrap_or_default(),
                webhook_secret: options.github_webhook_secret.clone().unwrap_or_default(),
                fixed: true,
            }));
        }
        let Some(row) = self.parts.reader.github_registration().await? else { return Ok(None) };
        let secrets: RegistrationSecrets = self.opened(PLACE, &row.sealed)?;
        Ok(Some(Registration {
            kind: Kind::of(&row.kind),
            client: OauthClient { id: row.client_id, secret: secrets.client_secret.into() },
            app_slug: row.app_slug,
            webhook_secret: secrets.webhook_secret.into(),
            fixed: false,
        }))
    }

    /// Whether this server is registered as a GitHub App.
    pub async fn is_app(&self) -> Result<bool, ConnectionError> {
        Ok(self.registration().await?.is_some_and(|known| known.kind == Kind::App))
    }

    /// Where somebody chooses the repositories our GitHub App may reach; None: it is none.
    pub async fn installation_url(&self) -> Result<Option<String>, ConnectionError> {
        let Some(known) = self.registration().await?.filter(|known| known.kind == Kind::App) else { return Ok(None) };
        let web = self.parts.github.web_url();
        let apps = if web == "https://github.com" { "apps" } else { "github-apps" };
        Ok(Some(format!("{web}/{apps}/{}/installations/new", known.app_slug)))
    }

    async fn registered(&self) -> Result<Registration, ConnectionError> {
        self.registration().await?.ok_or(ConnectionError::NotSetUp)
    }

    /// Keeps what an administrator typed in. The webhook's secret is ours and stays what it was.
    pub async fn register(&self, draft: Draft) -> Result<(), ConnectionError> {
        let before = self.registration().await?;
        if before.as_ref().is_some_and(|known| known.fixed) {
            return Err(ConnectionError::SetByEnvironment);
        }
        let client_id = checked("client id", &draft.client_id)?;
        let app_slug = match draft.kind {
            Kind::Oauth => String::new(),
            Kind::App => checked("name in the app's address", &draft.app_slug)?,
        };
        let typed = draft.client_secret.expose_secret().trim();
        let client_secret = match &before {
            _ if !typed.is_empty() => typed.to_owned(),
            Some(known) if known.client.id == client_id => known.client.secret.expose_secret().to_owned(),
            _ => {
                return Err(ConnectionError::Invalid(
                    "The client secret is missing. GitHub shows it once, when you generate it.".to_owned(),
                ));
            }
        };
        let webhook_secret = before.map_or_else(random_token, |known| known.webhook_secret).expose_secret().to_owned();
        let sealed = self.sealed(PLACE, &RegistrationSecrets { client_secret, webhook_secret });
        let row = RegistrationRow { kind: draft.kind.word().to_owned(), client_id, app_slug, sealed };
        Ok(self.parts.writer.set_github_registration(&row, self.parts.clock.now()).await?)
    }

    /// Takes the registration away: nobody can connect, connections that are there stay.
    pub async fn unregister(&self) -> Result<(), ConnectionError> {
        Ok(self.parts.writer.delete_github_registration().await?)
    }

    /// Asks the host whether id, secret and callback address are known to it, with a code that
    /// cannot be good. Err(Host(Oauth(word))) tells which of them is wrong.
    pub async fn test(&self) -> Result<(), ConnectionError> {
        let known = self.registered().await?;
        match self.parts.github.exchange_code(known.client, random_token(), random_token(), self.callback_url()).await {
            Ok(_) => Ok(()),
            Err(GitHostError::Oauth(word)) if word == "bad_verification_code" => Ok(()),
            Err(GitHostError::NotFound) => Err(GitHostError::Oauth("incorrect_client_credentials".to_owned()).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins the web flow for somebody, or to sign in (None); `browser` is what the answer must come
    /// back with. Returns where the browser is sent.
    pub async fn begin(&self, user: Option<UserId>, browser: &SecretString, next: &str) -> Result<String, ConnectionError> {
        let known = self.registered().await?;
        let (state, verifier) = (random_token(), random_token());
        let state_hash = token_hash(&state);
        let now = self.parts.clock.now();
        let row = StateRow {
            browser_hash: token_hash(browser),
            user_id: user,
            sealed: self.parts.keys.seal(&state_place(&state_hash), &verifier),
            next: next.to_owned(),
            expires_at: now + STATE_LIFE,
        };
        self.parts.writer.insert_github_state(&state_hash, &row, now).await?;
        let scope = match (known.kind, user) {
            (Kind::App, _) => "",
            (Kind::Oauth, Some(_)) => CONNECT_SCOPE,
            (Kind::Oauth, None) => SIGN_IN_SCOPE,
        };
        let (web, redirect) = (self.parts.github.web_url(), self.callback_url());
        let question = Question { web: &web, client_id: &known.client.id, redirect: &redirect, scope, state: &state, verifier: &verifier };
        Ok(question.address())
    }

    /// Takes a web flow's answer: the state is good once, in time, and for the browser and the person
    /// it was made for.
    pub async fn finish(
        &self,
        (state, code): (&SecretString, &SecretString),
        browser: &SecretString,
        user: Option<UserId>,
    ) -> Result<Finished, ConnectionError> {
        let state_hash = token_hash(state);
        let row = self.parts.writer.take_github_state(&state_hash).await?.ok_or(ConnectionError::BadState)?;
        let foreign = row.browser_hash != token_hash(browser) || (row.user_id.is_some() && row.user_id != user);
        if foreign || self.parts.clock.now() >= row.expires_at {
            return Err(ConnectionError::BadState);
        }
        let verifier = self.parts.keys.open(&state_place(&state_hash), &row.sealed)?;
        let known = self.registered().await?;
        let grant = self.parts.github.exchange_code(known.client, code.clone(), verifier, self.callback_url()).await?;
        let account = self.parts.github.account(Access::Token(grant.access.clone())).await?;
        Ok(Finished { user: row.user_id, next: row.next, account, grant })
    }

    /// Forgets a web flow that was refused at the host. Where to go back to.
    pub async fn abandon(&self, state: &SecretString) -> Result<Option<String>, ConnectionError> {
        Ok(self.parts.writer.take_github_state(&token_hash(state)).await?.map(|row| row.next))
    }

    /// Keeps what a web flow gave as somebody's connection. A sign-in does not weaken a connection
    /// that may do more.
    pub async fn keep(&self, user: UserId, finished: &Finished) -> Result<(), ConnectionError> {
        let known = self.parts.reader.github_account(user).await?;
        let weaker = |row: &AccountRow| {
            row.host_id == finished.account.id && row.revoked_at.is_none() && reaches(&row.scopes) && !reaches(&finished.grant.scopes)
        };
        if finished.user.is_none() && known.as_ref().is_some_and(weaker) {
            return Ok(());
        }
        self.store(user, &finished.account, &finished.grant).await
    }

    async fn store(&self, user: UserId, account: &HostAccount, grant: &Grant) -> Result<(), ConnectionError> {
        let now = self.parts.clock.now();
        let tokens = Tokens {
            access: grant.access.expose_secret().to_owned(),
            refresh: grant.refresh.as_ref().map(|token| token.expose_secret().to_owned()),
        };
        let row = AccountRow {
            user_id: user,
            host_id: account.id,
            login: account.login.clone(),
            scopes: grant.scopes.clone(),
            sealed: self.sealed(&account_place(user), &tokens),
            expires_at: grant.expires_in.map(|seconds| now + Duration::from_secs(seconds)),
            revoked_at: None,
        };
        self.parts.writer.set_github_account(&row, now).await.map_err(|error| match error.unique_violation().as_deref() {
            Some("github_accounts.host_id") => ConnectionError::Taken,
            _ => error.into(),
        })
    }

    /// Who of this server has that account of the host.
    pub async fn owner_of(&self, account: &HostAccount) -> Result<Option<UserId>, ConnectionError> {
        Ok(self.parts.reader.github_account_by_host(account.id).await?.map(|row| row.user_id))
    }

    pub async fn of(&self, user: UserId) -> Result<Option<Connection>, ConnectionError> {
        let Some(row) = self.parts.reader.github_account(user).await? else { return Ok(None) };
        let may_deploy = self.is_app().await? || reaches(&row.scopes);
        Ok(Some(Connection { host_id: row.host_id, login: row.login, may_deploy, revoked: row.revoked_at.is_some() }))
    }

    /// The access of a person; of nobody it is what the public may see. Refreshes a token that is
    /// about to end.
    pub async fn access_of(&self, user: Option<UserId>) -> Result<Access, ConnectionError> {
        let Some(user) = user else { return Ok(Access::Anonymous) };
        let row = self.usable(user).await?;
        if !self.ends_soon(&row) {
            return Ok(Access::Token(self.tokens(&row)?.access.into()));
        }
        let _refreshing = self.refreshing.lock().await;
        let row = self.usable(user).await?;
        let tokens = self.tokens(&row)?;
        let Some(refresh) = tokens.refresh.filter(|_| self.ends_soon(&row)) else { return Ok(Access::Token(tokens.access.into())) };
        let known = self.registered().await?;
        match self.parts.github.refresh(known.client, refresh.into()).await {
            Ok(grant) => {
                let account = HostAccount { id: row.host_id, login: row.login, email: None };
                self.store(user, &account, &grant).await?;
                Ok(Access::Token(grant.access))
            }
            Err(error @ (GitHostError::Oauth(_) | GitHostError::Unauthorized)) => {
                tracing::info!(%user, %error, "a connection to GitHub ended");
                self.note_revoked(user).await?;
                Err(GitHostError::Unauthorized.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn usable(&self, user: UserId) -> Result<AccountRow, ConnectionError> {
        let row = self.parts.reader.github_account(user).await?.ok_or(ConnectionError::NotConnected)?;
        if row.revoked_at.is_some() { Err(GitHostError::Unauthorized.into()) } else { Ok(row) }
    }

    fn ends_soon(&self, row: &AccountRow) -> bool {
        row.expires_at.is_some_and(|at| self.parts.clock.now() + EARLY >= at)
    }

    /// The host did not accept a token of theirs: from now on it is not tried.
    pub async fn note_revoked(&self, user: UserId) -> Result<(), ConnectionError> {
        Ok(self.parts.writer.revoke_github_account(user, self.parts.clock.now()).await?)
    }

    /// The host told that the owner of this account took back what they had allowed.
    pub async fn note_revoked_at_host(&self, host_id: i64) -> Result<(), ConnectionError> {
        match self.parts.reader.github_account_by_host(host_id).await? {
            Some(row) => self.note_revoked(row.user_id).await,
            None => Ok(()),
        }
    }

    /// Revokes the authorization at the host and forgets it here, the latter in any case.
    pub async fn disconnect(&self, user: UserId) -> Result<(), ConnectionError> {
        let Some(row) = self.parts.reader.github_account(user).await? else { return Ok(()) };
        self.parts.writer.delete_github_account(user).await?;
        let (Some(known), Ok(tokens)) = (self.registration().await?, self.tokens(&row)) else { return Ok(()) };
        Ok(self.parts.github.revoke(known.client, tokens.access.into()).await?)
    }

    fn tokens(&self, row: &AccountRow) -> Result<Tokens, ConnectionError> {
        self.opened(&account_place(row.user_id), &row.sealed)
    }

    fn sealed(&self, place: &str, secrets: &impl Serialize) -> Vec<u8> {
        let text = serde_json::to_string(secrets).expect("plain text serialises");
        self.parts.keys.seal(place, &text.into())
    }

    fn opened<T: for<'a> Deserialize<'a>>(&self, place: &str, sealed: &[u8]) -> Result<T, ConnectionError> {
        let text = self.parts.keys.open(place, sealed)?;
        serde_json::from_str(text.expose_secret()).map_err(|_| SecretError::Forged.into())
    }
}

/// Whether an OAuth app's scopes reach repositories.
fn reaches(scopes: &str) -> bool {
    scopes.split([',', ' ']).any(|scope| scope == "repo")
}

fn state_place(state_hash: &[u8]) -> String {
    format!("github_states|{}", hex::encode(state_hash))
}

fn account_place(user: UserId) -> String {
    format!("github_accounts|{user}")
}

/// What an administrator pasted, if it can be part of an address.
fn checked(what: &str, text: &str) -> Result<String, ConnectionError> {
    let text = text.trim();
    let plain = !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain { Ok(text.to_owned()) } else { Err(ConnectionError::Invalid(format!("The {what} is missing or is not what GitHub shows."))) }
}
