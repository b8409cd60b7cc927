//! One-off dynos: what may run, and how many (heroku.md 2.7). Values in, values out.

use std::time::Duration;

use crate::domain::{AppId, Plan, ProcessType, Procfile, UserId};

/// No one-off lives longer.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The release phase ends after this time.
pub const PHASE: Duration = Duration::from_secs(3600);
const COMMAND_BYTES: usize = 16 * 1024;
const ENV_BYTES: usize = 32 * 1024;

/// Why a one-off is not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error("There is no command to run.")]
    NoCommand,
    #[error("The command is too long, or has a character that cannot be sent to a program.")]
    BadCommand,
    #[error("`{0}` cannot be a variable of a one-off dyno. Use letters, digits and `_`, and at most 32 KB in all.")]
    BadVariable(String),
    #[error("A time to live must be between 1 and 86400 seconds.")]
    BadTimeToLive,
    #[error("An interactive one-off dyno of this app runs already. Close it first, or run the command detached.")]
    SlotTaken,
    #[error("Cannot run more than {limit} detached {size} size one-off dynos of an app at once. Wait for one to end, or stop it.")]
    TooManyDetached { limit: u32, size: String },
    #[error("You have {0} consoles open already. Close one first.")]
    TooManyOfUser(u32),
    #[error("This server runs {0} one-off dynos already. Try again in a few minutes.")]
    TooManyOfServer(u32),
}

/// How many may be at once, beyond the plan.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Interactive ones of one account.
    pub of_user: u32,
    /// All of this server.
    pub of_server: u32,
}

/// One that waits or runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub app: AppId,
    pub user: UserId,
    pub interactive: bool,
}

/// Whether one more may run beside those `known`.
///
/// # Errors
/// The first limit that is reached.
pub fn admit(new: Known, known: &[Known], plan: &Plan, limits: Limits) -> Result<(), Fault> {
    let count = |matches: &dyn Fn(&Known) -> bool| u32::try_from(known.iter().filter(|one| matches(one)).count()).unwrap_or(u32::MAX);
    if new.interactive && known.iter().any(|one| one.app == new.app && one.interactive) {
        return Err(Fault::SlotTaken);
    }
    if !new.interactive && count(&|one| one.app == new.app && !one.interactive) >= plan.process_types {
        return Err(Fault::TooManyDetached { limit: plan.process_types, size: plan.size_word() });
    }
    if new.interactive && count(&|one| one.user == new.user && one.interactive) >= limits.of_user {
        return Err(Fault::TooManyOfUser(limits.of_user));
    }
    if count(&|_| true) >= limits.of_server {
        return Err(Fault::TooManyOfServer(limits.of_server));
    }
    Ok(())
}

/// What really runs: a process type's command when the first word names one, with the words after it.
///
/// # Errors
/// When there is nothing to run, or nothing a program could be given.
pub fn command_line(wanted: &str, procfile: &Procfile) -> Result<String, Fault> {
    let wanted = wanted.trim();
    if wanted.is_empty() {
        return Err(Fault::NoCommand);
    }
    if wanted.len() > COMMAND_BYTES || wanted.contains('\0') {
        return Err(Fault::BadCommand);
    }
    let (first, rest) = wanted.split_once(char::is_whitespace).unwrap_or((wanted, ""));
    let known = first.parse::<ProcessType>().ok().and_then(|process_type| procfile.command(&process_type));
    Ok(match known {
        Some(command) => format!("{command} {rest}").trim_end().to_owned(),
        None => wanted.to_owned(),
    })
}

/// Whether a client's variables can be given to a program.
///
/// # Errors
/// Names the first one that cannot.
pub fn check_env(env: &[(String, String)]) -> Result<(), Fault> {
    let mut bytes = 0;
    for (name, value) in env {
        bytes += name.len() + value.len();
        let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && name.starts_with(|c: char| !c.is_ascii_digit());
        if !named || value.contains('\0') || bytes > ENV_BYTES {
            return Err(Fault::BadVariable(name.chars().take(80).collect()));
        }
    }
    Ok(())
}

/// How long it may live.
///
/// # Errors
/// When the wish is out of bounds.
pub fn time_to_live(wanted: Option<Duration>) -> Result<Duration, Fault> {
    match wanted {
        None => Ok(LONGEST),
        Some(wanted) if wanted.is_zero() || wanted > LONGEST => Err(Fault::BadTimeToLive),
        Some(wanted) => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { of_user: 3, of_server: 5 };

    #[test]
    fn a_process_type_stands_for_its_command() {
        let procfile = Procfile::parse(b"web: gunicorn app:app\ntask: python task.py").expect("a Procfile");
        let line = |wanted| command_line(wanted, &procfile);
        assert_eq!(line("task --all  now"), Ok("python task.py --all  now".to_owned()));
        assert_eq!(line("task"), Ok("python task.py".to_owned()));
        assert_eq!(line(" bash -c 'task' "), Ok("bash -c 'task'".to_owned()));
        assert_eq!(line(" "), Err(Fault::NoCommand));
        assert_eq!(line("a\0b"), Err(Fault::BadCommand));
    }

    #[test]
    fn variables_of_a_client_are_names_and_values() {
        let env = |name: &str, value: &str| check_env(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(env("TERM", "xterm-256color"), Ok(()));
        for (name, value) in [("", "x"), ("1A", "x"), ("A=B", "x"), ("A", "\0"), ("A", &*"x".repeat(40_000))] {
            assert!(env(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn each_limit_counts_what_it_is_about() {
        let (app, user, plan) = (AppId::new(), UserId::new(), Plan::free());
        let one = |interactive| Known { app, user, interactive };
        let other = |interactive| Known { app: AppId::new(), user, interactive };
        let foreign = || Known { app: AppId::new(), user: UserId::new(), interactive: true };
        let judged = |new, known: &[Known]| admit(new, known, &plan, LIMITS);
        assert_eq!(judged(one(true), &[one(false), one(false)]), Ok(()), "the interactive one has a slot of its own");
        assert_eq!(judged(one(true), &[one(true)]), Err(Fault::SlotTaken));
        assert_eq!(judged(one(false), &[one(true), one(false)]), Ok(()));
        assert!(matches!(judged(one(false), &[one(false), one(false)]), Err(Fault::TooManyDetached { limit: 2, .. })));
        assert_eq!(judged(one(true), &[other(true), other(true), other(true)]), Err(Fault::TooManyOfUser(3)));
        let full = [foreign(), foreign(), foreign(), foreign(), foreign()];
        assert_eq!(judged(one(true), &full), Err(Fault::TooManyOfServer(5)));
    }

    #[test]
    fn a_day_is_the_longest_life() {
        assert_eq!(time_to_live(None), Ok(LONGEST));
        assert_eq!(time_to_live(Some(Duration::from_secs(86_400))), Ok(LONGEST));
        assert_eq!(time_to_live(Some(Duration::from_secs(86_401))), Err(Fault::BadTimeToLive));
        assert_eq!(time_to_live(Some(Duration::ZERO)), Err(Fault::BadTimeToLive));
    }
}
