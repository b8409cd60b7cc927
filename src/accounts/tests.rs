//! Accounts over a real database and a clock that is moved by hand.

use std::{collections::HashSet, time::Duration};

use secrecy::ExposeSecret as _;
use totp_rs::{Builder, Secret};
use uuid::Uuid;

use super::*;
use crate::{
    clock::ManualClock,
    domain::{AppId, SessionId, Timestamp, TokenId},
    store,
};

const EMAIL: &str = "ana@example.org";
const PASSWORD: &str = "duerme la siesta";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) struct House {
    pub(super) accounts: Accounts,
    pub(super) clock: ManualClock,
    reader: Reader,
    writer: Writer,
    _folder: tempfile::TempDir,
}

impl House {
    pub(super) async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = store::open(&folder.path().join("siesta.db")).await.unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(1_700_000_000));
        let keys = Arc::new(KeyRing::open_or_create(&folder.path().join("key")).unwrap());
        let accounts = Accounts::new(reader.clone(), writer.clone(), Arc::new(clock.clone()), keys);
        House { accounts, clock, reader, writer, _folder: folder }
    }

    /// A house with one account, made from the command line.
    pub(super) async fn with_ana() -> (House, User) {
        let house = House::new().await;
        let ana = house.accounts.create_user(EMAIL, &PASSWORD.into(), false).await.unwrap();
        (house, ana)
    }

    async fn claim(&self, token: &SecretString, email: &str) -> Result<(User, SecretString), AccountError> {
        self.accounts.claim(token, email, &PASSWORD.into(), SignUp::Invite, &origin()).await
    }

    async fn sign_up(&self, email: &str, invite: Option<&SecretString>) -> Result<(User, SecretString), AccountError> {
        self.accounts.sign_up(email, &PASSWORD.into(), invite, &origin()).await
    }

    async fn log_in(&self, email: &str, password: &str) -> Result<(User, SecretString), AccountError> {
        match self.accounts.log_in(email, &password.into(), &origin()).await? {
            LogIn::Session(user, session) => Ok((user, session)),
            LogIn::Code { .. } => panic!("this account has no second factor"),
        }
    }

    /// The six digits that the telephone shows now.
    fn code(&self, secret: &SecretString) -> SecretString {
        let secret = Secret::try_from_base32(secret.expose_secret()).unwrap();
        let generator = Builder::new().with_secret(secret).with_account_name("ana").build().unwrap();
        generator.generate(u64::try_from(self.clock.now().0 / 1000).unwrap()).to_string().into()
    }

    /// Turns the second factor on: its secret and the recovery codes.
    async fn enrol(&self, user: &User) -> (SecretString, Vec<SecretString>) {
        self.accounts.begin_second_factor(user).await.unwrap();
        let secret = self.accounts.pending_second_factor(user).await.unwrap().unwrap().secret;
        let codes = self.accounts.confirm_second_factor(user, &self.code(&secret)).await.unwrap();
        (secret, codes)
    }

    /// The password is right; a code is wanted.
    async fn ticket(&self) -> SecretString {
        match self.accounts.log_in(EMAIL, &PASSWORD.into(), &origin()).await.unwrap() {
            LogIn::Code { ticket } => ticket,
            LogIn::Session(..) => panic!("a code is wanted"),
        }
    }

    async fn who(&self, session: &SecretString) -> Option<String> {
        self.accounts.by_session(session).await.unwrap().map(|user| user.email.to_string())
    }

    async fn app_of(&self, owner: UserId, name: &str) -> AppId {
        let id = AppId::new();
        let now = self.clock.now();
        let mut tx = self.writer.begin().await.unwrap();
        sqlx::query!(
            "insert into apps (id, name, owner_id, number, stack, created_at, updated_at) values (?, ?, ?, 1, 'siesta/run:test', ?, ?)",
            id,
            name,
            owner,
            now,
            now
        )
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn owner_of(&self, app: AppId) -> UserId {
        self.reader.app(app).await.unwrap().unwrap().owner_id
    }
}

fn origin() -> Origin {
    Origin { ip: "127.0.0.1".to_owned(), user_agent: "Mozilla/5.0\r\nX: y".to_owned() }
}

fn elsewhere() -> Origin {
    Origin { ip: "192.0.2.7".to_owned(), ..origin() }
}

/// Refused, with this error.
macro_rules! refused {
    ($result:expr, $error:pat) => {
        match $result {
            Err($error) => {}
            other => panic!("expected {}, got {:?}", stringify!($error), other.map(|_| "success")),
        }
    };
}

#[tokio::test]
async fn the_claim_makes_an_administrator_who_is_logged_in_and_owns_the_example() {
    let house = House::new().await;
    let system = house.accounts.system_user().await.unwrap();
    assert_eq!(house.accounts.system_user().await.unwrap(), system, "there is one only");
    let example = house.app_of(system.id, "tiendavideojuegos").await;
    assert!(!house.accounts.is_claimed().await.unwrap());
    assert_eq!(house.accounts.sign_up_mode().await.unwrap(), SignUp::Closed);
    let token = house.accounts.new_claim_token().await.unwrap().unwrap();

    let (ana, session) = house.claim(&token, " Ana@Example.org ").await.unwrap();

    assert!(ana.admin && !ana.system);
    assert_eq!(house.who(&session).await.as_deref(), Some("Ana@Example.org"));
    assert_eq!(house.owner_of(example).await, ana.id);
    assert_eq!(house.accounts.sign_up_mode().await.unwrap(), SignUp::Invite);
    assert!(house.accounts.is_claimed().await.unwrap());
    assert!(house.accounts.new_claim_token().await.unwrap().is_none());
    refused!(house.claim(&token, "eva@example.org").await, AccountError::AlreadyClaimed);
}

#[tokio::test]
async fn only_the_latest_claim_token_counts_and_a_bad_form_does_not_use_it_up() {
    let house = House::new().await;
    refused!(house.claim(&"guess".into(), EMAIL).await, AccountError::BadClaim);
    let old = house.accounts.new_claim_token().await.unwrap().unwrap();
    let new = house.accounts.new_claim_token().await.unwrap().unwrap();
    refused!(house.claim(&old, EMAIL).await, AccountError::BadClaim);
    refused!(house.claim(&new, "no address").await, AccountError::BadEmail(_));
    let weak = house.accounts.claim(&new, EMAIL, &"12345678".into(), SignUp::Open, &origin()).await;
    refused!(weak, AccountError::Password(PasswordError::TooCommon));
    house.claim(&new, EMAIL).await.unwrap();
}

#[tokio::test]
async fn of_fifty_claims_at_once_exactly_one_succeeds() {
    let house = House::new().await;
    let token = house.accounts.new_claim_token().await.unwrap().unwrap();
    let emails: Vec<String> = (0..50).map(|n| format!("user{n}@example.org")).collect();
    let results = futures_util::future::join_all(emails.iter().map(|email| house.claim(&token, email))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.into_iter().filter(Result::is_err) {
        refused!(result, AccountError::AlreadyClaimed);
    }
    assert_eq!(house.accounts.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_administrator_from_the_command_line_counts_as_the_claim() {
    let house = House::new().await;
    let system = house.accounts.system_user().await.unwrap();
    let example = house.app_of(system.id, "tiendavideojuegos").await;
    let token = house.accounts.new_claim_token().await.unwrap().unwrap();
    house.accounts.create_user("eva@example.org", &PASSWORD.into(), false).await.unwrap();
    assert!(!house.accounts.is_claimed().await.unwrap(), "an ordinary account does not claim");
    let ana = house.accounts.create_user(EMAIL, &PASSWORD.into(), true).await.unwrap();
    assert!(house.accounts.is_claimed().await.unwrap());
    assert_eq!(house.owner_of(example).await, ana.id);
    refused!(house.claim(&token, "late@example.org").await, AccountError::AlreadyClaimed);
    house.accounts.create_user("bea@example.org", &PASSWORD.into(), true).await.unwrap();
    assert_eq!(house.owner_of(example).await, ana.id, "a second administrator takes nothing from the first");
}

#[tokio::test]
async fn addresses_are_the_same_without_case() {
    let (house, ana) = House::with_ana().await;
    refused!(house.accounts.create_user("ANA@example.ORG", &PASSWORD.into(), false).await, AccountError::EmailTaken);
    assert_eq!(house.accounts.by_email(" aNa@eXample.org").await.unwrap(), Some(ana.clone()));
    assert_eq!(house.log_in("ANA@EXAMPLE.ORG", PASSWORD).await.unwrap().0.id, ana.id);
    assert_eq!(house.accounts.by_email("nobody@example.org").await.unwrap(), None);
    assert_eq!(house.accounts.by_email("not an address").await.unwrap(), None);
}

#[tokio::test]
async fn every_wrong_login_says_the_same() {
    let (house, _) = House::with_ana().await;
    let system = house.accounts.system_user().await.unwrap();
    for (email, password) in [(EMAIL, "wrong"), ("eva@example.org", PASSWORD), ("", ""), ("no address", "x"), (system.email.as_str(), "")] {
        refused!(house.log_in(email, password).await, AccountError::WrongCredentials);
    }
}

#[tokio::test]
async fn after_ten_wrong_tries_even_the_right_password_waits() {
    let (house, _) = House::with_ana().await;
    for _ in 0..10 {
        refused!(house.log_in(EMAIL, "wrong").await, AccountError::WrongCredentials);
    }
    house.clock.advance(5 * MINUTE);
    refused!(house.log_in("ANA@example.org", PASSWORD).await, AccountError::RateLimited(600));
    house.accounts.log_in(EMAIL, &PASSWORD.into(), &elsewhere()).await.unwrap();
    house.clock.advance(10 * MINUTE);
    house.log_in(EMAIL, PASSWORD).await.unwrap();
    for _ in 0..10 {
        refused!(house.log_in(EMAIL, "wrong").await, AccountError::WrongCredentials);
    }
}

#[tokio::test]
async fn a_session_ends_after_twelve_idle_hours_or_seven_days() {
    let (house, ana) = House::with_ana().await;
    let (_, idle) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let (_, busy) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    house.clock.advance(12 * HOUR - Duration::from_millis(1));
    assert!(house.who(&busy).await.is_some());
    house.clock.advance(Duration::from_millis(1));
    assert!(house.who(&idle).await.is_none());
    assert_eq!(house.accounts.sessions(ana.id).await.unwrap().len(), 1);
    for _ in 0..(7 * 24 - 12) / 6 - 1 {
        house.clock.advance(6 * HOUR);
        assert!(house.who(&busy).await.is_some());
    }
    house.clock.advance(6 * HOUR);
    assert!(house.who(&busy).await.is_none(), "seven days are over");
    assert_eq!(house.reader.sessions(ana.id).await.unwrap().len(), 2);
    house.accounts.sweep().await.unwrap();
    assert!(house.reader.sessions(ana.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_is_written_as_seen_at_most_once_a_minute() {
    let (house, ana) = House::with_ana().await;
    let (_, session) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let begun = house.clock.now();
    let mut seen = Vec::new();
    for _ in 0..4 {
        house.clock.advance(MINUTE / 2);
        assert!(house.who(&session).await.is_some());
        seen.push(house.reader.sessions(ana.id).await.unwrap()[0].last_seen_at.since(begun));
    }
    assert_eq!(seen, [Duration::ZERO, MINUTE, MINUTE, 2 * MINUTE]);
}

#[tokio::test]
async fn a_login_never_takes_up_a_token_from_outside() {
    let (house, _) = House::with_ana().await;
    let planted: SecretString = "A".repeat(43).into();
    assert!(house.who(&planted).await.is_none());
    let tokens: HashSet<String> = [house.log_in(EMAIL, PASSWORD).await.unwrap().1, house.log_in(EMAIL, PASSWORD).await.unwrap().1]
        .iter()
        .map(|token| token.expose_secret().to_owned())
        .collect();
    assert_eq!(tokens.len(), 2);
    assert!(!tokens.contains(planted.expose_secret()) && house.who(&planted).await.is_none());
}

#[tokio::test]
async fn sessions_are_listed_and_end_one_by_one() {
    let (house, ana) = House::with_ana().await;
    let eva = house.accounts.create_user("eva@example.org", &PASSWORD.into(), false).await.unwrap();
    let (_, one) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let (_, other) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let listed = house.accounts.sessions(ana.id).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0].ip.as_str(), listed[0].user_agent.as_str()), ("127.0.0.1", "Mozilla/5.0X: y"));
    let id = house.accounts.session_id(&one).await.unwrap().unwrap();
    house.accounts.revoke_session(eva.id, id).await.unwrap();
    assert!(house.who(&one).await.is_some(), "nobody ends another's session");
    house.accounts.revoke_session(ana.id, id).await.unwrap();
    house.accounts.revoke_session(ana.id, SessionId::new()).await.unwrap();
    assert!(house.who(&one).await.is_none());
    assert!(house.who(&other).await.is_some());
    house.accounts.log_out(&other).await.unwrap();
    assert!(house.who(&other).await.is_none());
}

#[tokio::test]
async fn sign_up_follows_its_mode() {
    let house = House::new().await;
    refused!(house.sign_up(EMAIL, None).await, AccountError::SignUpClosed);
    let invite = house.accounts.invite_link(None).await.unwrap();
    refused!(house.sign_up(EMAIL, Some(&invite)).await, AccountError::SignUpClosed);
    house.accounts.set_sign_up_mode(SignUp::Open).await.unwrap();
    let (ana, session) = house.sign_up(EMAIL, None).await.unwrap();
    assert!(!ana.admin && house.who(&session).await.is_some());
    refused!(house.sign_up("ANA@example.org", None).await, AccountError::EmailTaken);
    refused!(house.sign_up("no address", None).await, AccountError::BadEmail(_));
    let short = house.accounts.sign_up("eva@example.org", &"short".into(), None, &origin()).await;
    refused!(short, AccountError::Password(PasswordError::TooShort));
    let long = house.accounts.sign_up("eva@example.org", &"x".repeat(129).into(), None, &origin()).await;
    refused!(long, AccountError::Password(PasswordError::TooLong));
    house.accounts.set_sign_up_mode(SignUp::Invite).await.unwrap();
    refused!(house.sign_up("eva@example.org", None).await, AccountError::InviteNeeded);
    house.sign_up("eva@example.org", Some(&invite)).await.unwrap();
}

#[tokio::test]
async fn an_invitation_works_once_for_seven_days_and_for_the_address_it_names() {
    let house = House::new().await;
    house.accounts.set_sign_up_mode(SignUp::Invite).await.unwrap();
    refused!(house.accounts.invite_link(Some("no address")).await, AccountError::BadEmail(_));
    let named = house.accounts.invite_link(Some("eva@example.org")).await.unwrap();
    refused!(house.sign_up(EMAIL, Some(&named)).await, AccountError::BadLink);
    house.sign_up("Eva@example.org", Some(&named)).await.unwrap();
    refused!(house.sign_up("bea@example.org", Some(&named)).await, AccountError::BadLink);
    refused!(house.sign_up("bea@example.org", Some(&"guess".into())).await, AccountError::BadLink);

    let kept = house.accounts.invite_link(None).await.unwrap();
    refused!(house.sign_up("eva@example.org", Some(&kept)).await, AccountError::EmailTaken);
    let late = house.accounts.invite_link(None).await.unwrap();
    house.clock.advance(7 * DAY - Duration::from_millis(1));
    house.sign_up(EMAIL, Some(&kept)).await.expect("a failed sign-up does not use an invitation up");
    house.clock.advance(Duration::from_millis(1));
    refused!(house.sign_up("bea@example.org", Some(&late)).await, AccountError::BadLink);

    let (_, session) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let reset = house.accounts.reset_link(EMAIL).await.unwrap();
    refused!(house.sign_up("bea@example.org", Some(&reset)).await, AccountError::BadLink);
    let invite = house.accounts.invite_link(None).await.unwrap();
    refused!(house.accounts.reset_password(&invite, &"otra siesta larga".into()).await, AccountError::BadLink);
    assert!(house.who(&session).await.is_some());
}

#[tokio::test]
async fn one_invitation_used_by_many_at_once_makes_one_account() {
    let house = House::new().await;
    house.accounts.set_sign_up_mode(SignUp::Invite).await.unwrap();
    let invite = house.accounts.invite_link(None).await.unwrap();
    let emails: Vec<String> = (0..8).map(|n| format!("user{n}@example.org")).collect();
    let results = futures_util::future::join_all(emails.iter().map(|email| house.sign_up(email, Some(&invite)))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(house.accounts.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn sign_ups_from_one_address_are_limited() {
    let house = House::new().await;
    house.accounts.set_sign_up_mode(SignUp::Open).await.unwrap();
    for n in 0..10 {
        house.sign_up(&format!("user{n}@example.org"), None).await.unwrap();
    }
    refused!(house.sign_up(EMAIL, None).await, AccountError::RateLimited(900));
    house.accounts.sign_up(EMAIL, &PASSWORD.into(), None, &elsewhere()).await.unwrap();
}

#[tokio::test]
async fn a_reset_link_works_once_for_an_hour_and_ends_every_session() {
    let (house, ana) = House::with_ana().await;
    let system = house.accounts.system_user().await.unwrap();
    refused!(house.accounts.reset_link("nobody@example.org").await, AccountError::NoSuchUser);
    refused!(house.accounts.reset_link(system.email.as_str()).await, AccountError::NoSuchUser);
    let (_, session) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let link = house.accounts.reset_link(EMAIL).await.unwrap();
    let other = house.accounts.reset_link(EMAIL).await.unwrap();
    refused!(house.accounts.reset_password(&link, &"short".into()).await, AccountError::Password(PasswordError::TooShort));
    assert_eq!(house.accounts.reset_password(&link, &"otra siesta larga".into()).await.unwrap().id, ana.id);
    assert!(house.who(&session).await.is_none());
    refused!(house.log_in(EMAIL, PASSWORD).await, AccountError::WrongCredentials);
    house.log_in(EMAIL, "otra siesta larga").await.unwrap();
    for used in [&link, &other, &"guess".into()] {
        refused!(house.accounts.reset_password(used, &"una tercera siesta".into()).await, AccountError::BadLink);
    }
    let late = house.accounts.reset_link(EMAIL).await.unwrap();
    house.clock.advance(HOUR);
    refused!(house.accounts.reset_password(&late, &"una tercera siesta".into()).await, AccountError::BadLink);
}

#[tokio::test]
async fn a_token_opens_its_account_until_it_ends_or_is_revoked() {
    let (house, ana) = House::with_ana().await;
    let eva = house.accounts.create_user("eva@example.org", &PASSWORD.into(), false).await.unwrap();
    let end = house.clock.now() + HOUR;
    let (forever, secret) = house.accounts.create_token(ana.id, "laptop\n", None).await.unwrap();
    let (short, expiring) = house.accounts.create_token(ana.id, "", Some(end)).await.unwrap();
    assert!(secret.expose_secret().starts_with(&forever.prefix) && forever.prefix.len() == 11);
    assert_eq!(forever.description, "laptop");
    assert_eq!(house.accounts.by_token(&secret).await.unwrap(), Some((ana.clone(), forever.id)));
    assert_eq!(house.accounts.by_token(&expiring).await.unwrap().map(|(_, id)| id), Some(short.id));
    house.clock.advance(HOUR);
    assert_eq!(house.accounts.by_token(&expiring).await.unwrap(), None);
    let listed: Vec<TokenId> = house.accounts.tokens(ana.id).await.unwrap().iter().map(|token| token.id).collect();
    assert_eq!(listed, [short.id, forever.id], "newest first");
    refused!(house.accounts.revoke_token(eva.id, forever.id).await, AccountError::NoSuchToken);
    house.accounts.revoke_token(ana.id, forever.id).await.unwrap();
    refused!(house.accounts.revoke_token(ana.id, forever.id).await, AccountError::NoSuchToken);
    assert_eq!(house.accounts.by_token(&secret).await.unwrap(), None);
    refused!(house.accounts.create_token(UserId(Uuid::nil()), "x", None).await, AccountError::NoSuchUser);
    let session = house.log_in(EMAIL, PASSWORD).await.unwrap().1;
    assert_eq!(house.accounts.by_token(&session).await.unwrap(), None, "a cookie is no token");
}

#[tokio::test]
async fn a_token_is_written_as_used_at_most_once_a_minute() {
    let (house, ana) = House::with_ana().await;
    let (_, secret) = house.accounts.create_token(ana.id, "ci", None).await.unwrap();
    let begun = house.clock.now();
    let mut used = Vec::new();
    for _ in 0..4 {
        house.accounts.by_token(&secret).await.unwrap().unwrap();
        used.push(house.accounts.tokens(ana.id).await.unwrap()[0].last_used_at.unwrap().since(begun));
        house.clock.advance(MINUTE / 2);
    }
    assert_eq!(used, [Duration::ZERO, Duration::ZERO, MINUTE, MINUTE]);
}

#[tokio::test]
async fn a_suspended_account_is_out_everywhere_until_it_is_let_in_again() {
    let (house, ana) = House::with_ana().await;
    let (_, session) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let (_, token) = house.accounts.create_token(ana.id, "ci", None).await.unwrap();
    house.accounts.set_suspended(ana.id, true).await.unwrap();
    assert!(house.who(&session).await.is_none());
    assert!(house.accounts.by_token(&token).await.unwrap().is_none());
    refused!(house.log_in(EMAIL, PASSWORD).await, AccountError::Suspended);
    refused!(house.log_in(EMAIL, "wrong").await, AccountError::WrongCredentials);
    house.accounts.set_suspended(ana.id, false).await.unwrap();
    assert!(house.who(&session).await.is_none(), "old sessions stay ended");
    assert!(house.accounts.by_token(&token).await.unwrap().is_some());
    house.log_in(EMAIL, PASSWORD).await.unwrap();
    refused!(house.accounts.set_suspended(UserId(Uuid::nil()), true).await, AccountError::NoSuchUser);
}

#[tokio::test]
async fn no_secret_lies_in_the_database_file() {
    let (house, ana) = House::with_ana().await;
    let secrets = [
        PASSWORD.into(),
        house.log_in(EMAIL, PASSWORD).await.unwrap().1,
        house.accounts.create_token(ana.id, "ci", None).await.unwrap().1,
        house.accounts.reset_link(EMAIL).await.unwrap(),
        house.accounts.invite_link(None).await.unwrap(),
    ];
    for file in std::fs::read_dir(house._folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in &secrets {
            let secret: &SecretString = secret;
            assert!(!bytes.windows(secret.expose_secret().len()).any(|part| part == secret.expose_secret().as_bytes()));
        }
    }
}

#[tokio::test]
async fn language_and_theme_are_remembered_and_nonsense_means_the_default() {
    let (house, ana) = House::with_ana().await;
    for (given, kept) in [(Some("es"), Some("es")), (Some("xx"), None), (Some("en"), Some("en")), (None, None)] {
        house.accounts.set_language(ana.id, given).await.unwrap();
        assert_eq!(house.accounts.by_email(EMAIL).await.unwrap().unwrap().language.as_deref(), kept);
    }
    for (given, kept) in [(Some("dark"), Some("dark")), (Some("pink"), None), (Some("light"), Some("light")), (None, None)] {
        house.accounts.set_theme(ana.id, given).await.unwrap();
        assert_eq!(house.accounts.by_email(EMAIL).await.unwrap().unwrap().theme.as_deref(), kept);
    }
}

#[tokio::test]
async fn a_hash_with_older_parameters_is_renewed_at_the_next_login() {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let (house, ana) = House::with_ana().await;
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let old = weak.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    let mut tx = house.writer.begin().await.unwrap();
    users::set_password_hash(&mut tx, ana.id, &old, house.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    house.log_in(EMAIL, PASSWORD).await.unwrap();
    let renewed = house.reader.password_hash(ana.id).await.unwrap().unwrap();
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    house.log_in(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn with_a_second_factor_a_password_alone_opens_nothing() {
    let (house, ana) = House::with_ana().await;
    assert!(!house.accounts.has_second_factor(ana.id).await.unwrap());
    house.accounts.begin_second_factor(&ana).await.unwrap();
    house.log_in(EMAIL, PASSWORD).await.expect("one that was not confirmed does not count");
    let (secret, _) = house.enrol(&ana).await;
    refused!(house.accounts.begin_second_factor(&ana).await, AccountError::SecondFactorThere);
    let ticket = house.ticket().await;
    refused!(house.accounts.reset_password(&ticket, &"otra siesta larga".into()).await, AccountError::BadLink);
    assert!(house.who(&ticket).await.is_none());
    refused!(house.accounts.finish_log_in(&ticket, &house.code(&secret), &origin()).await, AccountError::WrongCode);
    house.clock.advance(Duration::from_secs(30));
    refused!(house.accounts.finish_log_in(&ticket, &"000 000".into(), &origin()).await, AccountError::WrongCode);
    let (_, session) = house.accounts.finish_log_in(&ticket, &house.code(&secret), &origin()).await.unwrap();
    assert_eq!(house.who(&session).await.as_deref(), Some(EMAIL));
    house.clock.advance(Duration::from_secs(30));
    refused!(house.accounts.finish_log_in(&ticket, &house.code(&secret), &origin()).await, AccountError::BadLink);
    let late = house.ticket().await;
    house.clock.advance(Duration::from_secs(600));
    refused!(house.accounts.finish_log_in(&late, &house.code(&secret), &origin()).await, AccountError::BadLink);
}

#[tokio::test]
async fn a_login_of_the_api_wants_the_code_in_the_same_request() {
    let (house, ana) = House::with_ana().await;
    let (secret, _) = house.enrol(&ana).await;
    let ask = |code: Option<SecretString>| {
        let accounts = house.accounts.clone();
        async move { accounts.check_login(EMAIL, &PASSWORD.into(), code.as_ref(), &origin()).await }
    };
    refused!(ask(None).await, AccountError::CodeNeeded);
    house.clock.advance(Duration::from_secs(30));
    assert_eq!(ask(Some(house.code(&secret))).await.unwrap().id, ana.id);
    refused!(ask(Some(house.code(&secret))).await, AccountError::WrongCode);
}

#[tokio::test]
async fn a_recovery_code_works_once_however_it_is_typed() {
    let (house, ana) = House::with_ana().await;
    let (_, codes) = house.enrol(&ana).await;
    assert_eq!(codes.len(), 10);
    let typed = codes[3].expose_secret().replace('-', " ").to_ascii_uppercase();
    let ticket = house.ticket().await;
    house.accounts.finish_log_in(&ticket, &typed.as_str().into(), &origin()).await.unwrap();
    assert_eq!(house.accounts.recovery_codes_left(ana.id).await.unwrap(), 9);
    let ticket = house.ticket().await;
    refused!(house.accounts.finish_log_in(&ticket, &codes[3], &origin()).await, AccountError::WrongCode);
    house.accounts.finish_log_in(&ticket, &codes[4], &origin()).await.unwrap();
}

#[tokio::test]
async fn codes_cannot_be_guessed_and_the_password_takes_the_factor_away() {
    let (house, ana) = House::with_ana().await;
    let (secret, _) = house.enrol(&ana).await;
    let ticket = house.ticket().await;
    for n in 0..10 {
        let from = Origin { ip: format!("192.0.2.{n}"), ..origin() };
        refused!(house.accounts.finish_log_in(&ticket, &"123456".into(), &from).await, AccountError::WrongCode);
    }
    house.clock.advance(Duration::from_secs(60));
    refused!(house.accounts.finish_log_in(&ticket, &house.code(&secret), &origin()).await, AccountError::RateLimited(_));
    refused!(house.accounts.remove_second_factor(&ana, &"guess".into(), &origin()).await, AccountError::WrongPassword);
    house.accounts.remove_second_factor(&ana, &PASSWORD.into(), &origin()).await.unwrap();
    house.log_in(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_open_link() {
    let (house, ana) = House::with_ana().await;
    let (_, here) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let (_, there) = house.log_in(EMAIL, PASSWORD).await.unwrap();
    let link = house.accounts.reset_link(EMAIL).await.unwrap();
    let new: SecretString = "otra siesta larga".into();
    let change = |old: &'static str, new: SecretString| {
        let (accounts, ana, here) = (house.accounts.clone(), ana.clone(), here.clone());
        async move { accounts.change_password(&ana, (&old.into(), &new), &here, &origin()).await }
    };
    refused!(change("guess", new.clone()).await, AccountError::WrongPassword);
    refused!(change(PASSWORD, "short".into()).await, AccountError::Password(PasswordError::TooShort));
    change(PASSWORD, new.clone()).await.unwrap();
    assert_eq!(house.who(&here).await.as_deref(), Some(EMAIL));
    assert!(house.who(&there).await.is_none());
    refused!(house.accounts.reset_password(&link, &"una tercera siesta".into()).await, AccountError::BadLink);
    refused!(house.log_in(EMAIL, PASSWORD).await, AccountError::WrongCredentials);
    house.accounts.log_in(EMAIL, &new, &elsewhere()).await.unwrap();
}
