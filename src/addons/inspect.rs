//! What is in a database, for its owner's eyes: tables, sessions, slow statements, and the answer to
//! one question in SQL, asked by a role that can only read.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, join};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{
    addons::{Addon, AddonError, Addons, Inner, internal_name, sql},
    domain::user::Actor,
    secrets,
};

/// Rows of an answer.
pub const ANSWER_ROWS: usize = 200;
/// Characters of one value of an answer.
const VALUE_CHARS: usize = 300;
/// Bytes the database server may send for one question.
const ANSWER_BYTES: u64 = 8 * 1024 * 1024;
/// A question takes no longer.
const LONGEST: Duration = Duration::from_secs(10);
const QUESTION_BYTES: usize = 20_000;
/// The first letter of the roles that ask.
const READER: char = 'r';

/// A database as its page shows it.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// The largest first.
    pub tables: Vec<Table>,
    pub sessions: Vec<Session>,
    /// By the time they took in all.
    pub slow: Vec<Slow>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// An estimate of the server's.
    pub rows: u64,
    /// With indexes.
    pub bytes: u64,
}

/// One session of the add-on's role.
#[derive(Clone, Debug)]
pub struct Session {
    pub pid: i32,
    /// `active`, `idle`, `idle in transaction`.
    pub state: String,
    /// In seconds.
    pub age: i64,
    pub query: String,
}

/// One kind of statement, without its values.
#[derive(Clone, Debug)]
pub struct Slow {
    pub query: String,
    pub calls: i64,
    /// In milliseconds.
    pub mean: f64,
    pub total: f64,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<String>,
    /// None is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// There are more rows than are shown.
    pub more: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// PostgreSQL's own words.
    #[error("{0}")]
    Refused(String),
    #[error("The question is empty or longer than {QUESTION_BYTES} characters.")]
    Length,
    #[error("It took longer than {} seconds.", LONGEST.as_secs())]
    TooSlow,
    #[error("The answer is larger than {} MB. Ask for less.", ANSWER_BYTES / 1024 / 1024)]
    TooLarge,
    #[error(transparent)]
    Addon(#[from] AddonError),
}

impl Addons {
    /// Looks into a database; wakes the server for it.
    ///
    /// # Errors
    /// When the server does not come up.
    pub async fn inspect(&self, addon: &Addon) -> Result<Inspection, AddonError> {
        super::must_be_database(addon)?;
        let postgres = &self.inner.postgres;
        let _hold = postgres.hold(&addon.role).await;
        postgres.ensure_up().await?;
        let watcher = postgres.watcher(&addon.database).await?;
        // A server of the operator's may measure nothing.
        let slow = slow_statements(&postgres.watcher("postgres").await?, addon).await.unwrap_or_default();
        Ok(Inspection { tables: tables(&watcher).await?, sessions: sessions(&watcher, &addon.role).await?, slow })
    }

    /// Answers one SELECT. Whatever it calls, nothing can be written: the role may only read, and so may the
    /// transaction, which can end but not become another.
    ///
    /// # Errors
    /// What PostgreSQL says, or a limit that was reached.
    pub async fn ask(&self, addon: &Addon, question: &str, by: &Actor) -> Result<Answer, AskError> {
        super::must_be_database(addon)?;
        let question = question.trim().trim_end_matches(';').trim_end();
        if question.is_empty() || question.len() > QUESTION_BYTES {
            return Err(AskError::Length);
        }
        let inner = &self.inner;
        inner
            .note(addon, ("console", &question.chars().take(200).collect::<String>()), by.email.as_str())
            .await
            .map_err(AddonError::from)?;
        let _one_at_a_time = inner.asking.lock().await;
        let _hold = inner.postgres.hold(&addon.role).await;
        inner.postgres.ensure_up().await?;
        let admin = inner.postgres.admin("postgres").await?;
        // Those of a server that was killed while it asked.
        sql::readers::drop_all(&admin, READER).await.map_err(AddonError::from)?;
        let answer = tokio::time::timeout(LONGEST, inner.ask_as_reader(&admin, addon, question)).await.unwrap_or(Err(AskError::TooSlow));
        sql::readers::drop_all(&admin, READER).await.map_err(AddonError::from)?;
        answer
    }
}

impl Inner {
    async fn ask_as_reader(&self, admin: &Client, addon: &Addon, question: &str) -> Result<Answer, AskError> {
        let (name, password) = (internal_name(READER), secrets::random_token());
        sql::readers::add(admin, &name, &addon.role, &password).await.map_err(AddonError::from)?;
        let mut config = tokio_postgres::Config::new();
        config.user(&name).password(password.expose_secret()).dbname(&addon.database).application_name("siesta console");
        let stream = tokio::net::UnixStream::connect(self.postgres.socket_folder().join(".s.PGSQL.5432")).await;
        let (reader, writer) = stream.map_err(AddonError::from)?.into_split();
        // A value of a gigabyte must not become ours.
        let limited = join(reader.take(ANSWER_BYTES), writer);
        let (client, connection) = config.connect_raw(limited, NoTls).await.map_err(AddonError::from)?;
        let asking = async {
            client.batch_execute("begin transaction read only; select 1").await?;
            // Prepared, so one statement alone; a cursor, so a question alone.
            client.execute(&format!("declare siesta_answer no scroll cursor for {question}\n"), &[]).await?;
            client.simple_query(&format!("fetch {} from siesta_answer", ANSWER_ROWS + 1)).await
        };
        tokio::select! {
            messages = asking => Ok(answer(&messages.map_err(|error| said(&error))?)),
            _ = connection => Err(AskError::TooLarge),
        }
    }
}

/// PostgreSQL's message, or that the connection was cut for the size of the answer.
fn said(error: &tokio_postgres::Error) -> AskError {
    match error.as_db_error() {
        Some(error) => AskError::Refused(format!("{}: {}", error.severity(), error.message())),
        None if error.is_closed() => AskError::TooLarge,
        None => AskError::Refused(error.to_string()),
    }
}

fn answer(messages: &[SimpleQueryMessage]) -> Answer {
    let mut answer = Answer::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                answer.columns = columns.iter().map(|column| column.name().chars().take(100).collect()).collect();
            }
            SimpleQueryMessage::Row(_) if answer.rows.len() == ANSWER_ROWS => answer.more = true,
            SimpleQueryMessage::Row(row) => answer.rows.push((0..row.len()).map(|at| row.get(at).map(shortened)).collect()),
            _ => {}
        }
    }
    answer
}

fn shortened(value: &str) -> String {
    let mut short: String = value.chars().take(VALUE_CHARS).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}

async fn tables(watcher: &Client) -> Result<Vec<Table>, tokio_postgres::Error> {
    let sql = "select case schemaname when 'public' then relname::text else schemaname || '.' || relname end, n_live_tup,
                      pg_total_relation_size(relid)
               from pg_stat_user_tables where schemaname !~ '^pg_temp' order by 3 desc, 1 limit 100";
    let rows = watcher.query(sql, &[]).await?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(rows.iter().map(|row| Table { name: row.get(0), rows: number(row.get(1)), bytes: number(row.get(2)) }).collect())
}

async fn sessions(watcher: &Client, role: &str) -> Result<Vec<Session>, tokio_postgres::Error> {
    let sql = "select pid, coalesce(state, ''), extract(epoch from now() - coalesce(state_change, backend_start))::int8,
                      left(coalesce(query, ''), 200)
               from pg_stat_activity where usename = $1 order by backend_start limit 50";
    let rows = watcher.query(sql, &[&role]).await?;
    Ok(rows.iter().map(|row| Session { pid: row.get(0), state: row.get(1), age: row.get(2), query: row.get(3) }).collect())
}

async fn slow_statements(watcher: &Client, addon: &Addon) -> Result<Vec<Slow>, tokio_postgres::Error> {
    let sql = "select left(s.query, 300), s.calls, s.mean_exec_time, s.total_exec_time
               from public.pg_stat_statements s join pg_database d on d.oid = s.dbid join pg_roles r on r.oid = s.userid
               where d.datname = $1 and r.rolname = $2 order by s.total_exec_time desc limit 20";
    let rows = watcher.query(sql, &[&addon.database, &addon.role]).await?;
    Ok(rows.iter().map(|row| Slow { query: row.get(0), calls: row.get(1), mean: row.get(2), total: row.get(3) }).collect())
}
