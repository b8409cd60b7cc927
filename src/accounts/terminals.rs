//! `heroku login`: a terminal waits while its user says yes in the browser. Kept in memory.
//!
//! The terminal has a secret, the browser has a session; the name that both addresses hold is worth
//! nothing without one of them. A key is made when the terminal fetches it and at no other time, so
//! none is left behind when nobody comes for it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::SecretString;
use tokio::sync::watch;

use crate::{
    accounts::{AccountError, Accounts, Origin},
    domain::{Timestamp, UserId},
    secrets::{random_token, token_hash},
};

/// Clients give up after it.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// A key that a terminal got this way lives as long as one of `heroku login --interactive`.
const KEY_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Terminals that wait at once, in all and from one address: a class has one address.
const MOST: usize = 1_000;
const MOST_OF_ADDRESS: usize = 60;
/// What is kept of a terminal's words about itself, in characters.
const MAX_DESCRIPTION: usize = 120;

/// What the user said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Yes(UserId),
    No,
}

struct Waiting {
    /// Of the secret that the terminal alone has.
    secret_hash: Vec<u8>,
    asker: Asker,
    until: Timestamp,
    word: watch::Sender<Option<Word>>,
}

/// Those that wait, by the hash of the name in their addresses.
#[derive(Default)]
pub(super) struct Terminals(Mutex<HashMap<Vec<u8>, Waiting>>);

/// What a terminal is told at once.
pub struct TerminalLogin {
    /// The last part of both addresses.
    pub name: SecretString,
    /// With it the terminal asks for its key.
    pub secret: SecretString,
}

/// Who asks to be let in, for the user to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// What the terminal says of itself: anybody can say anything.
    pub description: String,
    /// The network address that the request came from.
    pub ip: String,
    pub since: Timestamp,
}

/// What came of a login in a terminal.
#[derive(Debug)]
pub enum TerminalKey {
    Given(SecretString),
    Refused,
    /// No such terminal waits, its secret is another, or nobody said a word in time.
    None,
}

impl Terminals {
    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// A terminal wants a key; `description` is what its user will read.
    ///
    /// # Errors
    /// When too many wait already, of this address or at all.
    pub fn begin_terminal_login(&self, description: &str, origin: &Origin) -> Result<TerminalLogin, AccountError> {
        let now = self.clock.now();
        let login = TerminalLogin { name: random_token(), secret: random_token() };
        let mut all = self.terminals.lock();
        all.retain(|_, waiting| waiting.until > now);
        if all.len() >= MOST || all.values().filter(|waiting| waiting.asker.ip == origin.ip).count() >= MOST_OF_ADDRESS {
            return Err(AccountError::RateLimited(LIFE.as_secs()));
        }
        let description = description.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION).collect();
        let asker = Asker { description, ip: origin.ip.clone(), since: now };
        let waiting = Waiting { secret_hash: token_hash(&login.secret), asker, until: now + LIFE, word: watch::Sender::new(None) };
        all.insert(token_hash(&login.name), waiting);
        Ok(login)
    }

    /// Who asks under this name; None when nobody waits for a word any more.
    pub fn terminal_login(&self, name: &SecretString) -> Option<Asker> {
        let now = self.clock.now();
        let all = self.terminals.lock();
        let waiting = all.get(&token_hash(name)).filter(|waiting| waiting.until > now);
        waiting.filter(|waiting| waiting.word.borrow().is_none()).map(|waiting| waiting.asker.clone())
    }

    /// Lets the terminal in as `yes`, or tells it no; the first word counts. False: nobody waits for one.
    pub fn settle_terminal_login(&self, name: &SecretString, yes: Option<UserId>) -> bool {
        let now = self.clock.now();
        let all = self.terminals.lock();
        let Some(waiting) = all.get(&token_hash(name)).filter(|waiting| waiting.until > now) else { return false };
        let said = yes.map_or(Word::No, Word::Yes);
        waiting.word.send_if_modified(|word| word.is_none().then(|| *word = Some(said)).is_some())
    }

    /// Waits for the user's word. A key is given once; a terminal that was cut off meanwhile may ask again.
    ///
    /// # Errors
    /// When the key cannot be written down.
    pub async fn terminal_key(&self, name: &SecretString, secret: &SecretString) -> Result<TerminalKey, AccountError> {
        let (hash, now) = (token_hash(name), self.clock.now());
        let found = {
            let all = self.terminals.lock();
            let waiting = all.get(&hash).filter(|waiting| waiting.secret_hash == token_hash(secret) && waiting.until > now);
            waiting.map(|waiting| (waiting.word.subscribe(), waiting.until.since(now)))
        };
        let Some((mut word, left)) = found else { return Ok(TerminalKey::None) };
        // It ends too when the entry is swept away.
        let said = tokio::time::timeout(left, word.wait_for(Option::is_some)).await.is_ok_and(|said| said.is_ok());
        let taken = self.terminals.lock().remove(&hash).filter(|_| said);
        match taken.and_then(|waiting| waiting.word.borrow().map(|word| (word, waiting.asker.description.clone()))) {
            Some((Word::Yes(user), description)) => {
                let (_, key) = self.create_token(user, &description, Some(self.clock.now() + KEY_LIFE)).await?;
                Ok(TerminalKey::Given(key))
            }
            Some((Word::No, _)) => Ok(TerminalKey::Refused),
            None => Ok(TerminalKey::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::{accounts::tests::House, clock::Clock as _};

    fn from(ip: &str) -> Origin {
        Origin { ip: ip.to_owned(), user_agent: String::new() }
    }

    #[tokio::test]
    async fn a_terminal_gets_one_key_once_its_user_said_yes() {
        let (house, ana) = House::with_ana().await;
        let accounts = &house.accounts;
        let login = accounts.begin_terminal_login("CLI\nlogin from\x1b[1m portátil", &from("192.0.2.7")).unwrap();
        let asker = accounts.terminal_login(&login.name).unwrap();
        assert_eq!((asker.description.as_str(), asker.ip.as_str()), ("CLIlogin from[1m portátil", "192.0.2.7"), "no control characters");
        let (key, said) = tokio::join!(accounts.terminal_key(&login.name, &login.secret), async {
            tokio::task::yield_now().await;
            accounts.settle_terminal_login(&login.name, Some(ana.id))
        });
        let TerminalKey::Given(key) = key.unwrap() else { panic!("a key") };
        assert!(said && key.expose_secret().starts_with("HRKU-"));
        assert_eq!(accounts.by_token(&key).await.unwrap().unwrap().0.id, ana.id);
        let [token] = &accounts.tokens(ana.id).await.unwrap()[..] else { panic!("one key") };
        assert_eq!(token.expires_at, Some(house.clock.now() + KEY_LIFE));
        assert!(matches!(accounts.terminal_key(&login.name, &login.secret).await, Ok(TerminalKey::None)), "once");
        assert_eq!(accounts.terminal_login(&login.name), None);
    }

    #[tokio::test]
    async fn the_first_word_counts_and_no_means_no() {
        let (house, ana) = House::with_ana().await;
        let accounts = &house.accounts;
        let login = accounts.begin_terminal_login("x", &from("192.0.2.7")).unwrap();
        assert!(accounts.settle_terminal_login(&login.name, None));
        assert!(!accounts.settle_terminal_login(&login.name, Some(ana.id)), "too late");
        assert!(matches!(accounts.terminal_key(&login.name, &login.secret).await, Ok(TerminalKey::Refused)));
        assert!(accounts.tokens(ana.id).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_yes_nobody_fetches_makes_no_key_and_a_guess_gets_none() {
        let (house, ana) = House::with_ana().await;
        let accounts = &house.accounts;
        let login = accounts.begin_terminal_login("x", &from("192.0.2.7")).unwrap();
        assert!(!accounts.settle_terminal_login(&random_token(), Some(ana.id)), "no such name");
        assert!(accounts.settle_terminal_login(&login.name, Some(ana.id)));
        assert!(matches!(accounts.terminal_key(&login.name, &random_token()).await, Ok(TerminalKey::None)), "another secret");
        house.clock.advance(LIFE);
        assert!(matches!(accounts.terminal_key(&login.name, &login.secret).await, Ok(TerminalKey::None)), "too late");
        assert!(accounts.tokens(ana.id).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_address_cannot_crowd_out_the_others_and_those_who_are_late_make_room() {
        let house = House::new().await;
        for _ in 0..MOST_OF_ADDRESS {
            house.accounts.begin_terminal_login("x", &from("192.0.2.7")).unwrap();
        }
        let refused = house.accounts.begin_terminal_login("x", &from("192.0.2.7"));
        assert!(matches!(refused, Err(AccountError::RateLimited(600))));
        assert!(house.accounts.begin_terminal_login("x", &from("192.0.2.8")).is_ok());
        house.clock.advance(LIFE);
        assert!(house.accounts.begin_terminal_login("x", &from("192.0.2.7")).is_ok());
    }
}
