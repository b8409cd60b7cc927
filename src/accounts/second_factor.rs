//! The second factor: codes of a telephone (RFC 6238), recovery codes, and the second step of a login.

use std::time::Duration;

use qrcode::{QrCode, render::svg};
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret, Totp};

use crate::{
    accounts::{AccountError, Accounts, Origin, User},
    domain::{Timestamp, UserId},
    secrets::{random_token, token_hash},
    store::{
        StoreError,
        one_time_links::{self, Purpose},
        second_factors, users,
    },
};

/// How long the second step of a login may take.
const STEP_LIFE: Duration = Duration::from_secs(10 * 60);
const RECOVERY_CODES: usize = 10;

/// What a password alone leads to.
#[derive(Debug)]
pub enum LogIn {
    /// In: the cookie's token.
    Session(User, SecretString),
    /// A code is wanted as well; the ticket says that the password was right.
    Code { ticket: SecretString },
}

/// A secret that waits for its first code.
pub struct Enrolment {
    /// The secret in base32, for typing.
    pub secret: SecretString,
    /// The same as an `otpauth:` address in a QR code, as an SVG document.
    pub picture: String,
}

impl Accounts {
    /// Whether logins of this account want a code.
    pub async fn has_second_factor(&self, user: UserId) -> Result<bool, AccountError> {
        Ok(self.reader.second_factor(user).await?.is_some_and(|row| row.confirmed_at.is_some()))
    }

    /// How many recovery codes are left.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<i64, AccountError> {
        Ok(self.reader.recovery_codes_left(user).await?)
    }

    /// Makes a secret, which counts once `confirm_second_factor` was given a code of it.
    ///
    /// # Errors
    /// `SecondFactorThere` when one is confirmed already.
    pub async fn begin_second_factor(&self, user: &User) -> Result<(), AccountError> {
        let secret = SecretString::from(Secret::generate().to_base32());
        let sealed = self.keys.seal(&place(user.id), &secret);
        let mut tx = self.writer.begin().await?;
        if !second_factors::propose(&mut tx, user.id, &sealed, self.clock.now()).await? {
            return Err(AccountError::SecondFactorThere);
        }
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// The secret that waits for its first code, if one does.
    pub async fn pending_second_factor(&self, user: &User) -> Result<Option<Enrolment>, AccountError> {
        let Some(row) = self.reader.second_factor(user.id).await?.filter(|row| row.confirmed_at.is_none()) else { return Ok(None) };
        let secret = self.keys.open(&place(user.id), &row.sealed)?;
        Ok(Some(Enrolment { picture: picture(&generator(&secret, user)), secret }))
    }

    /// The first code proves that the secret arrived. Returns the recovery codes, shown this once.
    pub async fn confirm_second_factor(&self, user: &User, code: &SecretString) -> Result<Vec<SecretString>, AccountError> {
        self.attempts.note(&code_attempts(user.id), "", self.clock.now()).map_err(AccountError::RateLimited)?;
        let row = self.reader.second_factor(user.id).await?.ok_or(AccountError::WrongCode)?;
        if row.confirmed_at.is_some() {
            return Err(AccountError::SecondFactorThere);
        }
        let step = self.step_of(user, &row.sealed, code)?.ok_or(AccountError::WrongCode)?;
        let codes: Vec<SecretString> = std::iter::repeat_with(recovery_code).take(RECOVERY_CODES).collect();
        let mut tx = self.writer.begin().await?;
        if !second_factors::use_step(&mut tx, user.id, step).await? {
            return Err(AccountError::WrongCode);
        }
        second_factors::confirm(&mut tx, user.id, self.clock.now()).await?;
        for code in &codes {
            second_factors::insert_recovery_code(&mut tx, user.id, &token_hash(code)).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.attempts.clear(&code_attempts(user.id), "");
        Ok(codes)
    }

    /// Takes the second factor away; the password is asked for, so that a browser left open is not enough.
    pub async fn remove_second_factor(&self, user: &User, password: &SecretString, origin: &Origin) -> Result<(), AccountError> {
        self.check_own_password(user, password, origin).await?;
        self.drop_second_factor(user.id).await
    }

    /// `siesta user reset --second-factor`: for somebody who lost the telephone and the recovery codes.
    pub async fn drop_second_factor(&self, user: UserId) -> Result<(), AccountError> {
        let mut tx = self.writer.begin().await?;
        second_factors::remove(&mut tx, user).await?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// The second step of a login: a code of the telephone, or a recovery code. A wrong one leaves the ticket good.
    pub async fn finish_log_in(
        &self,
        ticket: &SecretString,
        code: &SecretString,
        origin: &Origin,
    ) -> Result<(User, SecretString), AccountError> {
        let ticket = token_hash(ticket);
        let Some(Purpose::SecondStep { user }) = self.reader.one_time_link(&ticket, self.clock.now()).await? else {
            return Err(AccountError::BadLink);
        };
        let user = self.reader.user(user).await?.filter(|user| user.suspended_at.is_none()).ok_or(AccountError::BadLink)?;
        self.check_code(&user, code).await?;
        let mut tx = self.writer.begin().await?;
        if one_time_links::redeem(&mut tx, &ticket, self.clock.now()).await?.is_none() {
            return Err(AccountError::BadLink);
        }
        let session = self.begin_session(&mut tx, user.id, origin).await?;
        let user = users::load(&mut tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok((user, session))
    }

    /// The ticket that a right password is worth where a code is wanted too.
    pub(super) async fn second_step(&self, user: UserId) -> Result<SecretString, AccountError> {
        let (ticket, now) = (random_token(), self.clock.now());
        self.writer.insert_one_time_link(&token_hash(&ticket), &Purpose::SecondStep { user }, now, now + STEP_LIFE).await?;
        Ok(ticket)
    }

    /// Uses a code up; 10 tries in 15 minutes for each account, from wherever they come.
    pub(super) async fn check_code(&self, user: &User, code: &SecretString) -> Result<(), AccountError> {
        let now = self.clock.now();
        self.attempts.note(&code_attempts(user.id), "", now).map_err(AccountError::RateLimited)?;
        let Some(row) = self.reader.second_factor(user.id).await?.filter(|row| row.confirmed_at.is_some()) else { return Ok(()) };
        let step = self.step_of(user, &row.sealed, code)?;
        let mut tx = self.writer.begin().await?;
        let right = match step {
            Some(step) => second_factors::use_step(&mut tx, user.id, step).await?,
            None => second_factors::use_recovery_code(&mut tx, user.id, &token_hash(&tidy(code)), now).await?,
        };
        tx.commit().await.map_err(StoreError::from)?;
        if !right {
            return Err(AccountError::WrongCode);
        }
        self.attempts.clear(&code_attempts(user.id), "");
        Ok(())
    }

    /// Which 30 s step a code belongs to, if it is a code of now.
    fn step_of(&self, user: &User, sealed: &[u8], code: &SecretString) -> Result<Option<i64>, AccountError> {
        let secret = self.keys.open(&place(user.id), sealed)?;
        Ok(step(&generator(&secret, user), code, self.clock.now()))
    }
}

fn step(generator: &Totp, code: &SecretString, now: Timestamp) -> Option<i64> {
    let digits: String = code.expose_secret().chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    generator.check(&digits, u64::try_from(now.0 / 1000).ok()?).and_then(|step| step.try_into().ok())
}

/// One step of 30 s before and after is good as well, six digits, SHA-1: what every telephone's program can.
fn generator(secret: &SecretString, user: &User) -> Totp {
    let secret = Secret::try_from_base32(secret.expose_secret()).expect("made by Secret::to_base32");
    // A colon separates issuer and account in the address.
    let account = user.email.as_str().replace(':', " ");
    Builder::new()
        .with_secret(secret)
        .with_account_name(account)
        .with_issuer(Some("Siesta"))
        .build()
        .expect("20 random bytes, six digits and no colon make a generator")
}

fn picture(generator: &Totp) -> String {
    let address = generator.to_url().expect("an account's name is there");
    let code = QrCode::new(address.as_bytes()).expect("an address of a few hundred bytes fits a QR code");
    let svg =
        code.render::<svg::Color<'_>>().min_dimensions(192, 192).dark_color(svg::Color("#000")).light_color(svg::Color("#fff")).build();
    // It stands inside a page, where an XML declaration has no place.
    svg.find("<svg").map_or(svg.clone(), |start| svg[start..].to_owned())
}

/// Ten letters and digits in two groups, 50 bits.
fn recovery_code() -> SecretString {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let token = token_hash(&random_token());
    let letters: String = token.iter().take(10).map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    format!("{}-{}", &letters[..5], &letters[5..]).into()
}

/// A recovery code as it was given out, however it was typed.
fn tidy(code: &SecretString) -> SecretString {
    let letters: String = code.expose_secret().chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match letters.split_at_checked(5) {
        Some((first, second)) => format!("{first}-{second}").into(),
        None => letters.into(),
    }
}

fn place(user: UserId) -> String {
    format!("second_factors|{user}")
}

/// Stands where an address would in the count of tries.
fn code_attempts(user: UserId) -> String {
    format!("code of {user}")
}
