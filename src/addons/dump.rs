//! Dumps of one database, out and in: `pg_dump` and `pg_restore` in a container of their own beside the
//! server, their bytes streamed through its standard streams.
//!
//! They act as a role that is made for the task, belongs to the tenant's role and can do no more than
//! it (but see the rows that a policy hides from their owner): a dump may hold whatever a user wrote into it. It takes none of the tenant's connections, and
//! works while the tenant itself is shut out.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures_util::TryStreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{
    addons::{
        AddonError, Addons, AddonsParts, Inner,
        postgres::{Hold, Postgres},
        sql::{self, Names},
    },
    engine::{
        Attachment, Complaints, ContainerId, Exit,
        spec::{self, AddonInput, LABEL_ADDON},
    },
    fail_point, secrets,
};

/// What begins the names of roles and containers of tasks; what is left of dead ones goes at the first
/// use of the server, and after every backup.
const TASK: &str = "siesta_task_";
const BIN: &str = "/usr/lib/postgresql/15/bin";
const MEMORY: i64 = 192 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

impl Addons {
    /// Writes a dump of the database of a role; how many bytes.
    ///
    /// # Errors
    /// When the server does not come up, `pg_dump` fails (its own words are in the error), or `sink` does.
    pub async fn dump(&self, (role, database): (&str, &str), sink: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64, AddonError> {
        self.inner.dump_to(Names { role, database }, None, sink).await
    }

    /// Writes everything in the key-value store of a role into a new file, while it runs or sleeps. False:
    /// nothing was in it yet.
    ///
    /// # Errors
    /// When its files cannot be read, or the new one not be written.
    pub async fn copy_store(&self, role: &str, to: std::path::PathBuf) -> Result<bool, AddonError> {
        self.inner.keyvalue.copy(role, to).await
    }
}

impl Inner {
    /// Writes a dump of a database in `pg_dump`'s custom format, of the moment a snapshot saw where one is
    /// named; how many bytes. What was written before an error is no dump.
    pub(super) async fn dump_to(
        &self,
        names: Names<'_>,
        snapshot: Option<&str>,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64, AddonError> {
        let task = Task::begin(self, names).await?;
        let dumped = task.dump(names, snapshot, sink).await;
        task.end().await?;
        dumped
    }

    /// Reads a dump into a database: all of it, or nothing when it fails. What is there already stays,
    /// and a dump that brings the same names is refused: give it an empty database.
    pub(super) async fn load_from(&self, names: Names<'_>, source: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), AddonError> {
        let task = Task::begin(self, names).await?;
        let loaded = task.load(names, source).await;
        task.end().await?;
        loaded
    }
}

/// The names of the tasks of now.
#[derive(Default)]
pub struct Alive(Mutex<BTreeSet<String>>);

impl Alive {
    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A role of its own, and the server kept awake. When it is dropped before its end, what it made goes
/// in the background.
struct Task<'a> {
    parts: &'a AddonsParts,
    postgres: &'a Arc<Postgres>,
    _hold: Hold<'a>,
    /// Of the role and the container; empty when nothing is left of it.
    name: String,
    password: SecretString,
    container: OnceLock<ContainerId>,
}

impl<'a> Task<'a> {
    async fn begin(inner: &'a Inner, names: Names<'_>) -> Result<Task<'a>, AddonError> {
        let postgres = &inner.postgres;
        let hold = postgres.hold(names.role).await;
        postgres.ensure_up().await?;
        let name = format!("{TASK}{:016x}", rand::random::<u64>());
        postgres.tasks.names().insert(name.clone());
        let task = Task { parts: &inner.parts, postgres, _hold: hold, name, password: secrets::random_token(), container: OnceLock::new() };
        let admin = postgres.admin("postgres").await?;
        sql::create_member(&admin, &task.name, &task.password, names.role).await?;
        Ok(task)
    }

    /// What `pg_dump` says of a database goes to `sink`.
    async fn dump(&self, names: Names<'_>, snapshot: Option<&str>, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64, AddonError> {
        let snapshot = snapshot.map(|snapshot| format!("--snapshot={snapshot}"));
        let options = ["--format=custom", "--compress=6", "--lock-wait-timeout=60000"].into_iter().chain(snapshot.as_deref());
        let command = command("pg_dump", &options.collect::<Vec<_>>(), names);
        let (id, Attachment { input, mut output }, complaints) = self.start(command).await?;
        fail_point::reached("addon.dump_began");
        let mut count = 0;
        while let Some(bytes) = output.try_next().await? {
            sink.write_all(&bytes).await?;
            count += bytes.len() as u64;
        }
        sink.flush().await?;
        let exit = self.parts.engine.wait(id).await?;
        drop(input);
        if exit.code == 0 { Ok(count) } else { Err(AddonError::Dump(ended(exit, &complaints.text()))) }
    }

    /// What comes from `source` goes to `pg_restore`.
    async fn load(&self, names: Names<'_>, source: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), AddonError> {
        let role = format!("--role={}", names.role);
        let command = command("pg_restore", &["--single-transaction", "--exit-on-error", &role], names);
        let (id, Attachment { mut input, mut output }, complaints) = self.start(command).await?;
        let feed = async {
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = source.read(&mut chunk).await?;
                // One that has ended early says itself why.
                if count == 0 || input.write_all(&chunk[..count]).await.is_err() {
                    break;
                }
            }
            // The end of the input, without which nothing is committed.
            let _ = input.shutdown().await;
            Ok::<(), std::io::Error>(())
        };
        let listen = async {
            while output.try_next().await?.is_some() {}
            Ok(())
        };
        if let Err(error) = tokio::try_join!(feed, listen) {
            // Before it could take the end of our connection for the end of the dump.
            self.parts.engine.kill(id).await?;
            return Err(error.into());
        }
        let exit = self.parts.engine.wait(id).await?;
        if exit.code == 0 { Ok(()) } else { Err(AddonError::Load(ended(exit, &complaints.text()))) }
    }

    async fn start(&self, command: Vec<String>) -> Result<(ContainerId, Attachment, Complaints), AddonError> {
        let engine = &self.parts.engine;
        let spec = spec::addon_task_spec(&AddonInput {
            instance: &self.parts.instance,
            name: &self.name,
            image: self.postgres.image().ok_or(AddonError::NotOffered)?,
            command,
            env: [("PGHOST", "/run/postgres"), ("PGUSER", &self.name), ("PGPASSWORD", self.password.expose_secret())]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec(),
            uid: spec::RELAY_UID,
            network: None,
            folders: vec![self.postgres.mount("run", "/run/postgres", true)],
            memory_bytes: MEMORY,
            pids: 16,
            stop_signal: "SIGTERM",
            stop_seconds: 1,
        });
        let id = engine.create(spec).await?;
        let _ = self.container.set(id.clone());
        let (attachment, complaints) = engine.attach_apart(id.clone()).await?;
        engine.start(id.clone()).await?;
        Ok((id, attachment, complaints))
    }

    /// Leaves nothing behind.
    async fn end(mut self) -> Result<(), AddonError> {
        if let Some(container) = self.container.take() {
            self.parts.engine.remove(container).await?;
        }
        drop_roles(self.postgres, |role| role == self.name).await?;
        self.postgres.tasks.names().remove(&self.name);
        self.name.clear();
        Ok(())
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let (parts, postgres, name) = (self.parts.clone(), self.postgres.clone(), std::mem::take(&mut self.name));
        self.parts.tasks.spawn(async move {
            if let Err(error) = clear(&parts, &postgres, |task| task == name).await {
                tracing::warn!(%error, "what a dump left is removed after the next one, or after the next start");
            }
            postgres.tasks.names().remove(&name);
        });
    }
}

fn command(program: &str, options: &[&str], names: Names<'_>) -> Vec<String> {
    let (program, database) = (format!("{BIN}/{program}"), format!("--dbname={}", names.database));
    let common = ["--no-owner", "--no-privileges", "--no-password", &database];
    [program.as_str()].iter().chain(options).chain(&common).map(|part| (*part).to_owned()).collect()
}

/// What a program said last that tells why it failed, in one line, or how it ended.
fn ended(exit: Exit, said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| line.contains("error:") || line.contains("FATAL:") || line.contains("detail:"));
    match line.or_else(|| said.lines().map(str::trim).rfind(|line| !line.is_empty())) {
        Some(line) => line.chars().take(500).collect(),
        None if exit.out_of_memory => "it ran out of memory".to_owned(),
        None => format!("it ended with status {}", exit.code),
    }
}

/// Removes what these tasks left: containers, sessions, roles.
async fn clear(parts: &AddonsParts, postgres: &Postgres, whose: impl Fn(&str) -> bool) -> Result<(), AddonError> {
    for container in parts.engine.list().await? {
        if container.labels.get(LABEL_ADDON).is_some_and(|label| label.starts_with(TASK) && whose(label)) {
            parts.engine.remove(container.id).await?;
        }
    }
    drop_roles(postgres, whose).await
}

async fn drop_roles(postgres: &Postgres, whose: impl Fn(&str) -> bool) -> Result<(), AddonError> {
    let admin = postgres.admin("postgres").await?;
    for role in sql::roles_beginning(&admin, TASK).await?.iter().filter(|role| whose(role)) {
        sql::put_out(&admin, role).await?;
        for database in sql::databases_with(&admin, role).await? {
            sql::drop_owned(&postgres.admin(&database).await?, role).await?;
        }
        sql::drop_role(&admin, role).await?;
    }
    Ok(())
}

/// Removes what tasks left that are not of now: of a server that was killed, or while the database server was.
pub(super) async fn clear_dead(parts: &AddonsParts, postgres: &Postgres) -> Result<(), AddonError> {
    clear(parts, postgres, |task| !postgres.tasks.names().contains(task)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_told_in_one_line() {
        let exit = Exit { code: 1, out_of_memory: false };
        assert_eq!(ended(exit, "pg_dump: error: connection failed\npg_dump: hint: x\n"), "pg_dump: error: connection failed");
        assert_eq!(ended(exit, "half a word\n\n"), "half a word");
        assert_eq!(ended(exit, ""), "it ended with status 1");
        assert_eq!(ended(Exit { code: 137, out_of_memory: true }, ""), "it ran out of memory");
    }
}
