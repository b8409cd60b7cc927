//! Add-ons: services and plans as data, names, states, and what follows from a count of rows.

use std::{fmt, str::FromStr, time::Duration};

use crate::domain::{AddonId, AppId, AppName, AttachmentId, ConfigKey, Timestamp, backup::Retention};

const DAY: Duration = Duration::from_secs(24 * 3600);
const GIB: u64 = 1024 * 1024 * 1024;

/// What stands behind an add-on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceKind {
    /// A database and a role in the PostgreSQL server.
    Postgres,
    /// A key-value server of its own.
    KeyValue,
    /// Jobs that run as one-off dynos; nothing to attach.
    Scheduler,
}

/// What an add-on is bought from.
#[derive(PartialEq, Eq, Debug)]
pub struct Service {
    /// `heroku-postgresql`: the name clients look for.
    pub name: &'static str,
    pub human_name: &'static str,
    pub kind: ServiceKind,
    /// The first word of its add-ons' names.
    pub word: &'static str,
    pub plans: &'static [AddonPlan],
}

/// The limits of an add-on.
#[derive(PartialEq, Eq, Debug)]
pub struct AddonPlan {
    /// `hobby-dev`; `service:plan` is what people type.
    pub name: &'static str,
    /// Other names of the same plan.
    pub aliases: &'static [&'static str],
    pub human_name: &'static str,
    pub description: &'static str,
    /// Rows of all tables together; 0 where there are none.
    pub rows: u64,
    /// Bytes on disk, or in memory.
    pub bytes: u64,
    /// Connections at once.
    pub connections: u32,
    /// Over a limit for this long, and INSERT is refused.
    pub grace: Duration,
    /// Backups kept.
    pub backups: Retention,
}

/// Everything this server offers.
pub static SERVICES: &[Service] = &[
    Service {
        name: "heroku-postgresql",
        human_name: "PostgreSQL",
        kind: ServiceKind::Postgres,
        word: "postgresql",
        plans: &[AddonPlan {
            name: "hobby-dev",
            aliases: &["mini", "essential-0", "dev"],
            human_name: "Hobby Dev",
            description: "10,000 rows, 1 GB, 20 connections",
            rows: 10_000,
            bytes: GIB,
            connections: 20,
            grace: DAY.saturating_mul(7),
            backups: Retention { manual: 2, daily: 7, weekly: 4 },
        }],
    },
    Service {
        name: "heroku-redis",
        human_name: "Key-Value Store",
        kind: ServiceKind::KeyValue,
        word: "redis",
        plans: &[AddonPlan {
            name: "hobby-dev",
            aliases: &["mini"],
            human_name: "Hobby Dev",
            description: "25 MB, 20 connections",
            rows: 0,
            bytes: 25 * 1024 * 1024,
            connections: 20,
            grace: Duration::ZERO,
            backups: Retention::NONE,
        }],
    },
    Service {
        name: "scheduler",
        human_name: "Scheduler",
        kind: ServiceKind::Scheduler,
        word: "scheduler",
        plans: &[AddonPlan {
            name: "standard",
            aliases: &[],
            human_name: "Standard",
            description: "20 jobs, every 10 minutes at most",
            rows: 0,
            bytes: 0,
            connections: 0,
            grace: Duration::ZERO,
            backups: Retention::NONE,
        }],
    },
];

/// How long a destroyed add-on can be brought back.
pub const BIN: Duration = DAY.saturating_mul(7);
/// Add-ons of one app.
pub const PER_APP: u32 = 5;

/// A service by its name.
pub fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name.eq_ignore_ascii_case(name))
}

impl Service {
    /// A plan by its name or another name of it.
    pub fn plan(&self, name: &str) -> Option<&'static AddonPlan> {
        let mut plans: std::slice::Iter<'static, AddonPlan> = self.plans.iter();
        plans.find(|plan| plan.name == name || plan.aliases.contains(&name))
    }
}

/// `heroku-postgresql:mini`; without a plan the first one.
pub fn plan_named(text: &str) -> Option<(&'static Service, &'static AddonPlan)> {
    let text = text.to_ascii_lowercase();
    let (name, plan) = text.split_once(':').map_or((text.as_str(), None), |(name, plan)| (name, Some(plan)));
    let service = service(name)?;
    let plan = match plan {
        Some(plan) => service.plan(plan)?,
        None => service.plans.first()?,
    };
    Some((service, plan))
}

/// Where an add-on stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type, serde::Serialize)]
#[sqlx(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum AddonState {
    Provisioning,
    Provisioned,
    /// New credentials are on their way.
    Rotating,
    /// Attachments are taken away, then it lies in the bin.
    Deprovisioning,
}

/// Where an attachment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum AttachmentState {
    /// Its variable is not set yet.
    Attaching,
    Attached,
    /// Its variable is not removed yet.
    Detaching,
    Detached,
}

/// An add-on of an app.
#[derive(Clone, PartialEq, Debug)]
pub struct Addon {
    pub id: AddonId,
    /// The app that owns it.
    pub app_id: AppId,
    pub app_name: AppName,
    /// `postgresql-angular-12345`: one on the server.
    pub name: String,
    pub service: String,
    pub plan: String,
    pub state: AddonState,
    /// Names inside the database server.
    pub role: String,
    pub database: String,
    /// Why the last try to do something did not work.
    pub error: Option<String>,
    pub account: RowAccount,
    pub bytes: u64,
    pub tables: u32,
    pub counted_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Addon {
    pub fn service(&self) -> &'static Service {
        service(&self.service).unwrap_or(&SERVICES[0])
    }

    pub fn kind(&self) -> ServiceKind {
        self.service().kind
    }

    /// A database of PostgreSQL.
    pub fn is_database(&self) -> bool {
        self.kind() == ServiceKind::Postgres
    }

    pub fn plan(&self) -> &'static AddonPlan {
        self.service().plan(&self.plan).unwrap_or(&self.service().plans[0])
    }
}

/// An add-on under a name in an app.
#[derive(Clone, PartialEq, Debug)]
pub struct Attachment {
    pub id: AttachmentId,
    pub addon_id: AddonId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub name: AttachmentName,
    pub state: AttachmentState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The name under which an app sees an add-on: `DATABASE` is the variable `DATABASE_URL`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, sqlx::Type)]
#[sqlx(transparent)]
pub struct AttachmentName(String);

/// What is wrong with an attachment's name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no name for an attachment. Use letters, digits and `_`, beginning with a letter, at most 64 characters.")]
pub struct AttachmentNameError(String);

const COLORS: [&str; 30] = [
    "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "BROWN", "CHARCOAL", "COBALT", "COPPER", "CRIMSON", "CYAN", "GOLD", "GRAY", "GREEN",
    "IVORY", "JADE", "MAROON", "MAUVE", "NAVY", "OLIVE", "ONYX", "ORANGE", "PINK", "PUCE", "PURPLE", "RED", "ROSE", "SILVER", "TEAL",
    "VIOLET",
];

impl AttachmentName {
    /// The name of the first database of an app.
    pub fn database() -> AttachmentName {
        AttachmentName("DATABASE".to_owned())
    }

    /// The name of the first key-value store of an app.
    pub fn redis() -> AttachmentName {
        AttachmentName("REDIS".to_owned())
    }

    /// `HEROKU_POSTGRESQL_GOLD`: the names of further ones. `entropy` is any random number.
    pub fn colored(kind: ServiceKind, entropy: u64) -> AttachmentName {
        let service = if kind == ServiceKind::KeyValue { "REDIS" } else { "POSTGRESQL" };
        AttachmentName(format!("HEROKU_{service}_{}", COLORS[(entropy % COLORS.len() as u64) as usize]))
    }

    /// The config var it sets.
    pub fn key(&self) -> ConfigKey {
        ConfigKey::of_attachment(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AttachmentName {
    type Err = AttachmentNameError;
    fn from_str(text: &str) -> Result<AttachmentName, AttachmentNameError> {
        let upper = text.trim().to_ascii_uppercase();
        let upper = upper.strip_suffix("_URL").unwrap_or(&upper);
        let valid = upper.len() <= 64
            && upper.bytes().next().is_some_and(|b| b.is_ascii_uppercase())
            && upper.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && !["DOCKER_", "SIESTA_"].iter().any(|prefix| upper.starts_with(prefix));
        if valid { Ok(AttachmentName(upper.to_owned())) } else { Err(AttachmentNameError(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for AttachmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name like `postgresql-severe-79301`. `entropy` is any random number.
pub fn generated_name(service: &Service, entropy: u64) -> String {
    let words = AppName::generate(entropy);
    let mut parts = words.as_str().split('-');
    let (word, number) = (parts.next().unwrap_or("calm"), parts.next_back().unwrap_or("10000"));
    format!("{}-{word}-{number}", service.word)
}

/// What is remembered of a database's rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RowAccount {
    pub rows: u64,
    /// The warning given last, in percent: 0, 70, 90 or 100.
    pub warned: u32,
    /// Over a limit since.
    pub over_since: Option<Timestamp>,
    /// INSERT is refused since.
    pub locked_at: Option<Timestamp>,
}

/// Something people are told about a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowNotice {
    /// So many percent of the rows are there.
    Near(u32),
    /// Over the limit; INSERT is refused from then on.
    Over { until: Timestamp },
    /// INSERT is refused now.
    Locked,
    /// INSERT is allowed again.
    Free,
}

impl RowAccount {
    /// What follows from a count: the account afterwards and what to say. `locked_at` is set when
    /// INSERT shall be refused from now on and None when it shall not.
    pub fn counted(self, plan: &AddonPlan, rows: u64, bytes: u64, now: Timestamp) -> (RowAccount, Vec<RowNotice>) {
        let over = rows > plan.rows || bytes > plan.bytes;
        let percent = rows.saturating_mul(100) / plan.rows.max(1);
        let level = match percent {
            _ if over => 100,
            90.. => 90,
            70.. => 70,
            _ => 0,
        };
        let mut notices = Vec::new();
        let mut next = RowAccount { rows, warned: level, ..self };
        if over {
            let since = *next.over_since.get_or_insert(now);
            let until = since + plan.grace;
            if self.over_since.is_none() {
                notices.push(RowNotice::Over { until });
            }
            if now >= until && self.locked_at.is_none() {
                next.locked_at = Some(now);
                notices.push(RowNotice::Locked);
            }
        } else {
            next.over_since = None;
            if next.locked_at.take().is_some() {
                notices.push(RowNotice::Free);
            } else if level > self.warned {
                notices.push(RowNotice::Near(level));
            }
        }
        (next, notices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> &'static AddonPlan {
        plan_named("heroku-postgresql").unwrap().1
    }

    #[test]
    fn one_plan_has_all_the_names_people_type() {
        for text in ["heroku-postgresql", "heroku-postgresql:hobby-dev", "heroku-postgresql:mini", "Heroku-PostgreSQL:essential-0"] {
            assert_eq!(
                plan_named(text).map(|(service, plan)| (service.name, plan.name)),
                Some(("heroku-postgresql", "hobby-dev")),
                "{text}"
            );
        }
        for text in ["heroku-postgresql:standard-0", "mysql", "", ":", "heroku-postgresql:"] {
            assert_eq!(plan_named(text), None, "{text}");
        }
    }

    #[test]
    fn an_attachment_names_a_variable() {
        let key = |text: &str| text.parse::<AttachmentName>().map(|name| name.key().to_string());
        assert_eq!(key("database"), Ok("DATABASE_URL".to_owned()));
        assert_eq!(key("ANALYTICS_URL"), Ok("ANALYTICS_URL".to_owned()));
        for bad in ["", "1ST", "a-b", "ñ", "_X", "SIESTA_X", &"A".repeat(65)] {
            assert!(key(bad).is_err(), "{bad}");
        }
        assert_eq!(AttachmentName::colored(ServiceKind::Postgres, 11).key().as_str(), "HEROKU_POSTGRESQL_GOLD_URL");
    }

    #[test]
    fn generated_names_are_one_word_and_a_number() {
        let name = generated_name(&SERVICES[0], 0x1234_5678_9abc_def0);
        assert!(name.starts_with("postgresql-") && name.split('-').count() == 3, "{name}");
    }

    #[test]
    fn a_week_over_the_limit_is_warned_locked_and_given_back() {
        let start = Timestamp::from_secs(1_430_000_000);
        let day = |n: u32| start + DAY * n;
        let mut account = RowAccount::default();
        let mut step = |rows: u64, now| {
            let (next, notices) = account.counted(plan(), rows, 0, now);
            account = next;
            (notices, account.locked_at)
        };
        assert_eq!(step(6_999, start), (vec![], None));
        assert_eq!(step(7_000, start), (vec![RowNotice::Near(70)], None));
        assert_eq!(step(7_100, start), (vec![], None), "said once");
        assert_eq!(step(9_500, start), (vec![RowNotice::Near(90)], None));
        assert_eq!(step(10_000, start), (vec![], None), "ten thousand rows are allowed");
        assert_eq!(step(10_001, day(1)), (vec![RowNotice::Over { until: day(8) }], None));
        assert_eq!(step(12_000, day(7)), (vec![], None));
        assert_eq!(step(12_000, day(8)), (vec![RowNotice::Locked], Some(day(8))));
        assert_eq!(step(12_000, day(9)), (vec![], Some(day(8))));
        assert_eq!(step(9_000, day(9)), (vec![RowNotice::Free], None));
        assert_eq!(step(10_001, day(9)), (vec![RowNotice::Over { until: day(16) }], None), "the grace begins anew");
    }

    #[test]
    fn a_database_too_large_is_over_with_any_number_of_rows() {
        let (account, notices) = RowAccount::default().counted(plan(), 3, plan().bytes + 1, Timestamp(0));
        assert!(matches!(notices[..], [RowNotice::Over { .. }]) && account.over_since.is_some());
    }
}
