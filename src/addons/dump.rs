//! Dumps of one database, out and in: `pg_dump` and `pg_restore` in a container of their own beside the
//! server, their bytes streamed through its standard streams.
//!
//! They act as a role that is made for the task, belongs to the tenant's role and can do no more than
//! it (but see the rows that a policy hides from their owner): a dump may hold whatever a user wrote into it. It takes none of the tenant's connections, and
//! works while the tenant itself is shut out.

use std::sync::{Arc, OnceLock};

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
        Attachment, Complaints, ContainerId,
        spec::{self, AddonInput, LABEL_ADDON},
    },
    fail_point, secrets,
};

/// What begins the names of roles and containers of tasks; what is left of them goes at the first
/// use of the server.
const TASK: &str = "siesta_task_";
const BIN: &str = "/usr/lib/postgresql/15/bin";
const MEMORY: i64 = 128 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

impl Addons {
    /// Writes a dump of the database of a role; how many bytes.
    ///
    /// # Errors
    /// When the server does not come up, `pg_dump` fails (its own words are in the error), or `sink` does.
    pub async fn dump(&self, (role, database): (&str, &str), sink: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64, AddonError> {
        self.inner.dump_to(Names { role, database }, sink).await
    }
}

impl Inner {
    /// Writes a dump of a database in `pg_dump`'s custom format; how many bytes. What was written
    /// before an error is no dump.
    pub(super) async fn dump_to(&self, names: Names<'_>, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64, AddonError> {
        let task = Task::begin(self, names).await?;
        let dumped = task.dump(names, sink).await;
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
        let task = Task { parts: &inner.parts, postgres, _hold: hold, name, password: secrets::random_token(), container: OnceLock::new() };
        let admin = postgres.admin("postgres").await?;
        sql::create_member(&admin, &task.name, &task.password, names.role).await?;
        Ok(task)
    }

    /// What `pg_dump` says of a database goes to `sink`.
    async fn dump(&self, names: Names<'_>, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64, AddonError> {
        let command = command("pg_dump", &["--format=custom", "--compress=3", "--lock-wait-timeout=60000"], names);
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
        if exit.code == 0 { Ok(count) } else { Err(AddonError::Dump(complaints.text())) }
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
        if exit.code == 0 { Ok(()) } else { Err(AddonError::Load(complaints.text())) }
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
        drop_roles(self.postgres, &self.name).await?;
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
            if let Err(error) = clear(&parts, &postgres, &name).await {
                tracing::warn!(%error, "what a dump left is removed when the database server is used first after the next start");
            }
        });
    }
}

fn command(program: &str, options: &[&str], names: Names<'_>) -> Vec<String> {
    let (program, database) = (format!("{BIN}/{program}"), format!("--dbname={}", names.database));
    let common = ["--no-owner", "--no-privileges", "--no-password", &database];
    [program.as_str()].iter().chain(options).chain(&common).map(|part| (*part).to_owned()).collect()
}

/// Removes what tasks of this name, or beginning with it, left: containers, sessions, roles.
async fn clear(parts: &AddonsParts, postgres: &Postgres, name: &str) -> Result<(), AddonError> {
    for container in parts.engine.list().await? {
        if container.labels.get(LABEL_ADDON).is_some_and(|label| label.starts_with(name)) {
            parts.engine.remove(container.id).await?;
        }
    }
    drop_roles(postgres, name).await
}

async fn drop_roles(postgres: &Postgres, name: &str) -> Result<(), AddonError> {
    let admin = postgres.admin("postgres").await?;
    for role in sql::roles_beginning(&admin, name).await? {
        sql::put_out(&admin, &role).await?;
        for database in sql::databases_with(&admin, &role).await? {
            sql::drop_owned(&postgres.admin(&database).await?, &role).await?;
        }
        sql::drop_role(&admin, &role).await?;
    }
    Ok(())
}

/// Removes what tasks of a server that was killed left.
pub(super) async fn clear_all(parts: &AddonsParts, postgres: &Postgres) -> Result<(), AddonError> {
    clear(parts, postgres, TASK).await
}
