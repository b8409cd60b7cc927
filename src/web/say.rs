//! Failures of the owners in the reader's language, and the field of the form they belong to.
//! What a build or a dyno said stays as it was written.

use crate::{
    accounts::{AccountError, PasswordError},
    addons::{AddonError, AskError, BackupError},
    apps::AppError,
    builder::BuildError,
    connections::ConnectionError,
    domain::{AppNameError, capacity::NoRoom, config_var::ConfigVarError, hostname::HostnameError, one_off, plan::PlanFault},
    domains::DomainError,
    dynos::DynoError,
    egress::EgressError,
    github::GitHostError,
    logs::drains::{DRAINS_PER_APP, DrainError},
    plans::PlanError,
    repositories::RepositoryError,
    web::lang::Lang,
};

/// The text of an account's failure and its field. None: not the user's doing, or not for a form.
pub fn account(lang: Lang, error: &AccountError) -> Option<(&'static str, String)> {
    let password = |error: &PasswordError| match error {
        PasswordError::TooShort => lang.t("password-short"),
        PasswordError::TooLong => lang.t("password-long"),
        PasswordError::TooCommon => lang.t("password-common"),
    };
    Some(match error {
        AccountError::WrongCredentials => ("form", lang.t("login-wrong")),
        AccountError::RateLimited(seconds) => ("form", lang.with("login-later", &[("n", &seconds.to_string())])),
        AccountError::EmailTaken => ("email", lang.t("email-taken")),
        AccountError::NotAnAccount(email) => ("email", lang.with("collaborator-unknown", &[("email", email)])),
        AccountError::IsOwner => ("email", lang.t("collaborator-owner")),
        AccountError::BadEmail(_) => ("email", lang.t("email-bad")),
        AccountError::SignUpClosed => ("form", lang.t("sign-up-is-closed")),
        AccountError::InviteNeeded => ("form", lang.t("sign-up-needs-invite")),
        AccountError::BadLink => ("form", lang.t("link-bad")),
        AccountError::BadClaim => ("token", lang.t("claim-bad")),
        AccountError::AlreadyClaimed => ("form", lang.t("claim-done-already")),
        AccountError::Suspended => ("form", lang.t("account-suspended")),
        AccountError::WrongCode | AccountError::CodeNeeded => ("code", lang.t("code-wrong")),
        AccountError::WrongPassword => ("current", lang.t("password-not-yours")),
        AccountError::SecondFactorThere => ("form", lang.t("second-factor-there")),
        AccountError::Password(error) => ("password", password(error)),
        _ => return None,
    })
}

/// Why a name cannot be had.
pub fn app_name(lang: Lang, error: AppNameError) -> String {
    match error {
        AppNameError::TooShort => lang.t("name-short"),
        AppNameError::TooLong => lang.t("name-long"),
        AppNameError::Malformed => lang.t("name-malformed"),
        AppNameError::Reserved => lang.t("name-reserved"),
    }
}

/// The text of an app's failure and its field.
pub fn app(lang: Lang, error: &AppError) -> Option<(&'static str, String)> {
    match error {
        AppError::NameTaken => Some(("name", lang.t("name-taken"))),
        AppError::NotSettled => Some(("form", lang.t("bin-not-settled"))),
        AppError::TooMany(limit) => Some(("form", lang.with("apps-limit", &[("n", &limit.to_string())]))),
        _ => None,
    }
}

/// Why a plan cannot be so, or not be given.
pub fn plan(lang: Lang, error: &PlanError) -> Option<String> {
    Some(match error {
        PlanError::NoSuchPlan(name) => lang.with("plan-unknown", &[("name", name)]),
        PlanError::NoSuchApp => lang.t("plan-no-app"),
        PlanError::NoSuchAccount => lang.t("plan-no-account"),
        PlanError::Free => lang.t("plan-free-stays"),
        PlanError::InUse { apps, accounts, .. } => {
            lang.with("plan-in-use", &[("apps", &apps.to_string()), ("accounts", &accounts.to_string())])
        }
        PlanError::Fault(PlanFault::Name) => lang.t("plan-bad-name"),
        PlanError::Fault(PlanFault::Range(what, least, most)) => {
            lang.with("plan-range", &[("what", what), ("least", &least.to_string()), ("most", &most.to_string())])
        }
        PlanError::Fault(PlanFault::ShortRest) => lang.t("plan-short-rest"),
        PlanError::Fault(PlanFault::AwakeOverWindow) => lang.t("plan-awake-over"),
        PlanError::Store(_) => return None,
    })
}

/// Why dynos could not do it.
pub fn dyno(lang: Lang, error: &DynoError) -> Option<String> {
    Some(match error {
        DynoError::TooManyOfType { limit, size } => lang.with("scale-limit", &[("n", &limit.to_string()), ("size", size)]),
        DynoError::TooManyTypes { limit, size } => lang.with("scale-types", &[("n", &limit.to_string()), ("size", size)]),
        DynoError::NoSuchProcessType(_) => lang.t("scale-unknown"),
        DynoError::Resting { until } => lang.with("dyno-rests", &[("until", &until.to_string())]),
        DynoError::NoRoom(why) => no_room(lang, why),
        DynoError::DidNotBoot(why) => why.clone(),
        DynoError::NoCode => lang.t("run-no-code"),
        DynoError::OneOff(fault) => one_off(lang, fault),
        _ => return None,
    })
}

/// Why nothing more fits on the machine.
pub fn no_room(lang: Lang, why: &NoRoom) -> String {
    let figures = |key, first: (&'static str, String), second: (&'static str, String)| {
        lang.with(key, &[(first.0, &*first.1), (second.0, &*second.1)])
    };
    match why {
        NoRoom::Promised { promised, most } => figures("room-promised", ("promised", promised.to_string()), ("most", most.to_string())),
        NoRoom::Memory { available, reserve } => {
            figures("room-memory", ("available", available.to_string()), ("reserve", reserve.to_string()))
        }
        NoRoom::Disk { free, floor } => figures("room-disk", ("free", free.to_string()), ("floor", floor.to_string())),
        NoRoom::Threads { threads, most } => figures("room-threads", ("threads", threads.to_string()), ("most", most.to_string())),
    }
}

/// Why an add-on could not be had or changed.
pub fn addon(lang: Lang, error: &AddonError) -> Option<String> {
    Some(match error {
        AddonError::NotOffered => lang.t("addon-not-offered"),
        AddonError::NoSuchPlan(plan) => lang.with("addon-no-plan", &[("plan", plan)]),
        AddonError::TooMany(limit) => lang.with("addon-limit", &[("n", &limit.to_string())]),
        AddonError::AttachmentTaken(key) => lang.with("addon-name-taken", &[("key", key)]),
        AddonError::AttachmentName(_) => lang.t("addon-bad-name"),
        AddonError::Busy(name) => lang.with("addon-busy", &[("name", name)]),
        AddonError::NothingToAttach => lang.t("addon-nothing-attached"),
        AddonError::ServerDown => lang.t("addon-server-down"),
        _ => return None,
    })
}

/// What is wrong with a backup. None: not the user's doing.
pub fn backup(lang: Lang, error: &BackupError) -> Option<String> {
    Some(match error {
        BackupError::TooMany(name) => lang.with("backup-too-many", &[("name", name)]),
        BackupError::NotGood(name) => lang.with("backup-not-good", &[("name", name)]),
        BackupError::Unfinished(name) => lang.with("backup-unfinished", &[("name", name)]),
        BackupError::Schedule(_) => lang.t("backup-bad-schedule"),
        BackupError::NoRoom(_) => lang.t("backup-no-room"),
        BackupError::Addon(error) => return addon(lang, error),
        _ => return None,
    })
}

/// Why a question in SQL has no answer; PostgreSQL's own words stay as they are.
pub fn ask(lang: Lang, error: &AskError) -> String {
    match error {
        AskError::Refused(text) => text.clone(),
        AskError::Length => lang.t("console-length"),
        AskError::TooSlow => lang.t("console-slow"),
        AskError::TooLarge => lang.t("console-large"),
        AskError::Addon(error) => addon(lang, error).unwrap_or_else(|| error.to_string()),
    }
}

fn one_off(lang: Lang, fault: &one_off::Fault) -> String {
    let counted = |key, count: u32| lang.with(key, &[("n", &count.to_string())]);
    match fault {
        one_off::Fault::NoCommand => lang.t("run-nothing"),
        one_off::Fault::SlotTaken => lang.t("run-slot"),
        one_off::Fault::TooManyDetached { limit, .. } => counted("run-detached", *limit),
        one_off::Fault::TooManyOfUser(limit) => counted("run-user", *limit),
        one_off::Fault::TooManyOfServer(limit) => counted("run-server", *limit),
        other => other.to_string(),
    }
}

/// What is wrong with a config var.
pub fn config_var(lang: Lang, error: &ConfigVarError) -> String {
    match error {
        ConfigVarError::Malformed(key) => lang.with("var-malformed", &[("key", key)]),
        ConfigVarError::Reserved(key) => lang.with("var-reserved", &[("key", key)]),
        ConfigVarError::Nul(key) => lang.with("var-nul", &[("key", key)]),
        ConfigVarError::ValueTooLarge(key) => lang.with("var-large", &[("key", key)]),
        ConfigVarError::TotalTooLarge => lang.t("var-total"),
    }
}

/// Why an upload was not taken. A sentence about the source itself stays as it was written.
pub fn build(lang: Lang, error: &BuildError) -> Option<String> {
    Some(match error {
        BuildError::NotUploaded => lang.t("upload-missing"),
        BuildError::TooLarge(limit) => lang.with("upload-large", &[("limit", &limit.to_string())]),
        BuildError::Rejected(sentence) => sentence.clone(),
        BuildError::NoRoom(why) => no_room(lang, why),
        _ => return None,
    })
}

/// Why a host name was not taken.
pub fn domain(lang: Lang, error: &DomainError) -> Option<String> {
    Some(match error {
        DomainError::Hostname(HostnameError::Malformed) => lang.t("domain-malformed"),
        DomainError::Hostname(HostnameError::Wildcard) => lang.t("domain-wildcard"),
        DomainError::Hostname(HostnameError::Reserved) => lang.t("domain-reserved"),
        DomainError::Taken(name) => lang.with("domain-taken", &[("name", name)]),
        DomainError::TooMany => lang.t("domain-limit"),
        DomainError::NoSuchDomain | DomainError::Dynos(_) | DomainError::Store(_) => return None,
    })
}

/// Why a log drain was not taken.
pub fn drain(lang: Lang, error: &DrainError) -> Option<String> {
    Some(match error {
        DrainError::TooMany => lang.with("drain-limit", &[("n", &DRAINS_PER_APP.to_string())]),
        DrainError::Taken => lang.t("drain-taken"),
        DrainError::Address(_) => lang.t("drain-malformed"),
        DrainError::Refused(EgressError::NotSecure(host)) => lang.with("drain-insecure", &[("host", host)]),
        DrainError::Refused(EgressError::NotPublic(host)) => lang.with("drain-private", &[("host", host)]),
        DrainError::Refused(error) => error.to_string(),
        _ => return None,
    })
}

/// Why GitHub did not do it. Its own words stay as they were written.
pub fn git_host(lang: Lang, error: &GitHostError) -> String {
    match error {
        GitHostError::Unauthorized => lang.t("gh-trouble-revoked"),
        GitHostError::Forbidden(words) => lang.with("gh-forbidden", &[("words", words)]),
        GitHostError::NotFound => lang.t("gh-not-found"),
        GitHostError::RateLimited(seconds) => lang.with("gh-limited", &[("n", &seconds.to_string())]),
        GitHostError::Refused(words) => lang.with("gh-refused", &[("words", words)]),
        GitHostError::Oauth(word) => lang.with("gh-unconfirmed", &[("words", word)]),
        GitHostError::Unreachable(why) => lang.with("gh-unreachable", &[("words", why)]),
        GitHostError::NoAuthorities => lang.t("gh-no-authorities"),
    }
}

/// Why a repository could not be connected, asked or deployed.
pub fn repository(lang: Lang, error: &RepositoryError) -> Option<String> {
    Some(match error {
        RepositoryError::NotLinked => lang.t("gh-not-linked"),
        RepositoryError::NoSuchBranch(branch) => lang.with("gh-no-branch", &[("branch", branch.as_str())]),
        RepositoryError::BadName(_) => lang.t("gh-bad-name"),
        RepositoryError::NotAdmin(name) => lang.with("gh-not-admin", &[("name", name.as_str())]),
        RepositoryError::Private(name) => lang.with("gh-private", &[("name", name.as_str())]),
        RepositoryError::Connection(ConnectionError::NotConnected) => lang.t("gh-not-connected"),
        RepositoryError::Connection(ConnectionError::NotSetUp) => lang.t("gh-not-set-up"),
        RepositoryError::Connection(ConnectionError::Host(error)) => git_host(lang, error),
        RepositoryError::Build(error) => return build(lang, error),
        RepositoryError::Connection(_) | RepositoryError::NoSuchDelivery | RepositoryError::Store(_) => return None,
    })
}
