//! What is said to the database server. Names in it are ours (a letter and hexadecimal digits) and
//! passwords hold no quotes, so that nothing needs to be escaped; both are checked all the same.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Error};

use crate::domain::addon::AddonPlan;

/// The event trigger that stands while INSERT is refused, and its function.
const LOCK: &str = "siesta_row_limit";
/// Settings of every role; users may lower or raise the ones PostgreSQL lets them.
const ROLE_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "'5min'"),
    ("idle_in_transaction_session_timeout", "'10min'"),
    ("temp_file_limit", "'256MB'"),
    ("work_mem", "'4MB'"),
];

/// A role and its database.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub role: &'a str,
    pub database: &'a str,
}

/// A name of ours between quotes.
fn quoted(name: &str) -> String {
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "names in the server are made by us");
    format!("\"{name}\"")
}

/// A password of ours between quotes.
fn literal(password: &SecretString) -> String {
    let text = password.expose_secret();
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "passwords are made by us");
    format!("'{text}'")
}

/// What every server has: no way into its own databases for others, and the watcher.
pub async fn prepare_server(admin: &Client, watcher: &str, password: &SecretString) -> Result<(), Error> {
    if !role_exists(admin, watcher).await? {
        admin.batch_execute(&format!("create role {}", quoted(watcher))).await?;
    }
    let (role, password) = (quoted(watcher), literal(password));
    admin
        .batch_execute(&format!(
            "alter role {role} with login nosuperuser nocreatedb nocreaterole noreplication bypassrls connection limit 10 password {password};
             grant pg_read_all_data, pg_read_all_stats to {role};
             revoke all on database postgres, template1 from public;
             grant connect on database postgres to {role}"
        ))
        .await?;
    // A server of the operator's may not have it: then nothing is known of slow statements.
    if let Err(error) = admin.batch_execute("create extension if not exists pg_stat_statements schema public").await {
        tracing::info!(%error, "slow statements are not measured");
    }
    Ok(())
}

async fn role_exists(admin: &Client, role: &str) -> Result<bool, Error> {
    Ok(admin.query_opt("select 1 from pg_roles where rolname = $1", &[&role]).await?.is_some())
}

/// A role with a login that can do what `role` can in its database, and sees all rows of it.
pub async fn create_member(admin: &Client, name: &str, password: &SecretString, role: &str) -> Result<(), Error> {
    let (name, password, role) = (quoted(name), literal(password), quoted(role));
    admin
        .batch_execute(&format!(
            "create role {name} with login nosuperuser nocreatedb nocreaterole noreplication bypassrls connection limit 4
             password {password} in role {role}"
        ))
        .await
}

/// Roles of ours whose names begin so.
pub async fn roles_beginning(admin: &Client, name: &str) -> Result<Vec<String>, Error> {
    let rows = admin.query("select rolname::text from pg_roles where starts_with(rolname::text, $1)", &[&name]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Databases in which a role owns something or has rights.
pub async fn databases_with(admin: &Client, role: &str) -> Result<Vec<String>, Error> {
    let sql = "select distinct d.datname::text from pg_shdepend s join pg_database d on d.oid = s.dbid
               where s.refclassid = 'pg_authid'::regclass and s.refobjid = (select oid from pg_roles where rolname = $1)";
    Ok(admin.query(sql, &[&role]).await?.iter().map(|row| row.get(0)).collect())
}

/// Drops what a role owns in this database, and its rights.
pub async fn drop_owned(inside: &Client, role: &str) -> Result<(), Error> {
    inside.batch_execute(&format!("drop owned by {} cascade", quoted(role))).await
}

pub async fn drop_role(admin: &Client, role: &str) -> Result<(), Error> {
    admin.batch_execute(&format!("drop role if exists {}", quoted(role))).await
}

/// Makes role and database, or brings what is there into shape: every step may be taken twice.
pub async fn create(admin: &Client, names: Names<'_>, password: &SecretString, plan: &AddonPlan, watcher: &str) -> Result<(), Error> {
    let (role, database, watcher) = (quoted(names.role), quoted(names.database), quoted(watcher));
    if !role_exists(admin, names.role).await? {
        admin.batch_execute(&format!("create role {role}")).await?;
    }
    admin
        .batch_execute(&format!(
            "alter role {role} with login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit {} password {}",
            plan.connections,
            literal(password)
        ))
        .await?;
    for (name, value) in ROLE_SETTINGS {
        admin.batch_execute(&format!("alter role {role} set {name} = {value}")).await?;
    }
    if admin.query_opt("select 1 from pg_database where datname = $1", &[&names.database]).await?.is_none() {
        admin.batch_execute(&format!("create database {database} template template0 encoding 'UTF8'")).await?;
    }
    admin
        .batch_execute(&format!(
            "revoke all on database {database} from public;
             grant connect, temporary, create on database {database} to {role};
             grant connect on database {database} to {watcher}"
        ))
        .await
}

/// The rest of `create`, inside the database: the schema `public` is the role's own.
pub async fn hand_over(inside: &Client, role: &str) -> Result<(), Error> {
    let role = quoted(role);
    inside.batch_execute(&format!("alter schema public owner to {role}; revoke all on schema public from public")).await
}

/// A new password; the old one opens nothing from now on.
pub async fn set_password(admin: &Client, role: &str, password: &SecretString) -> Result<(), Error> {
    admin.batch_execute(&format!("alter role {} with password {}", quoted(role), literal(password))).await
}

/// Nobody comes in any more, and who is inside is put out.
pub async fn shut(admin: &Client, role: &str) -> Result<(), Error> {
    if role_exists(admin, role).await? {
        admin.batch_execute(&format!("alter role {} with nologin", quoted(role))).await?;
    }
    put_out(admin, role).await
}

/// Ends every session of a role, and waits until they are gone.
pub async fn put_out(admin: &Client, role: &str) -> Result<(), Error> {
    admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1", &[&role]).await?;
    Ok(())
}

/// Drops a database with everything in it.
pub async fn drop_database(admin: &Client, database: &str) -> Result<(), Error> {
    admin.batch_execute(&format!("drop database if exists {} with (force)", quoted(database))).await
}

/// Databases of dumps and restores: made for one of them, dropped after it, and after a crash by
/// their names.
pub mod scratch {
    use tokio_postgres::{Client, Error};

    use super::{Names, drop_database, quoted};

    /// The first letters of a scratch database and of a database that was replaced.
    pub const DATABASE: char = 's';
    pub const REPLACED: char = 'o';
    const PATTERN: &str = "[0-9a-f]{15}$";
    /// Ends every session in a database and waits until they are gone.
    const EMPTY: &str = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()";

    /// An empty database of the role's own that nobody knows, with a mark.
    pub async fn make(admin: &Client, names: Names<'_>, watcher: &str, mark: &str) -> Result<(), Error> {
        drop_database(admin, names.database).await?;
        let (role, database, watcher) = (quoted(names.role), quoted(names.database), quoted(watcher));
        assert!(mark.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "marks are ids of ours");
        admin.batch_execute(&format!("create database {database} template template0 encoding 'UTF8'")).await?;
        admin
            .batch_execute(&format!(
                "comment on database {database} is '{mark}';
                 revoke all on database {database} from public;
                 grant connect, temporary, create on database {database} to {role};
                 grant connect on database {database} to {watcher}"
            ))
            .await
    }

    /// The mark of a database; None without one.
    pub async fn mark(admin: &Client, database: &str) -> Result<Option<String>, Error> {
        let sql = "select shobj_description(oid, 'pg_database') from pg_database where datname = $1";
        Ok(admin.query_opt(sql, &[&database]).await?.and_then(|row| row.get(0)))
    }

    /// Puts `fresh` in the place of `live`, which is called `replaced` from then on: both names in one
    /// transaction, with nobody inside.
    pub async fn swap(admin: &Client, live: &str, fresh: &str, replaced: &str) -> Result<(), Error> {
        admin.batch_execute(&format!("alter database {} allow_connections false", quoted(live))).await?;
        for database in [live, fresh] {
            admin.execute(EMPTY, &[&database]).await?;
        }
        let (live, fresh, replaced) = (quoted(live), quoted(fresh), quoted(replaced));
        admin
            .batch_execute(&format!("begin; alter database {live} rename to {replaced}; alter database {fresh} rename to {live}; commit"))
            .await
    }

    /// Lets sessions in again, after a swap that was cut off.
    pub async fn open(admin: &Client, database: &str) -> Result<(), Error> {
        let shut = "select 1 from pg_database where datname = $1 and not datallowconn";
        if admin.query_opt(shut, &[&database]).await?.is_some() {
            admin.batch_execute(&format!("alter database {} allow_connections true", quoted(database))).await?;
        }
        Ok(())
    }

    /// Drops whatever databases of dumps and restores there are.
    pub async fn drop_all(admin: &Client) -> Result<(), Error> {
        let databases = format!("select datname from pg_database where datname ~ '^[{DATABASE}{REPLACED}]{PATTERN}'");
        for row in admin.query(&databases, &[]).await? {
            drop_database(admin, row.get(0)).await?;
        }
        Ok(())
    }
}

/// Roles that may read one database, for one question each.
pub mod readers {
    use secrecy::SecretString;
    use tokio_postgres::{Client, Error};

    use super::{literal, put_out, quoted};

    /// A role that sees what a tenant's role sees, and whose transactions only read. Never through
    /// `pg_read_all_data`: that reads the passwords of all roles too.
    pub async fn add(admin: &Client, name: &str, tenant: &str, password: &SecretString) -> Result<(), Error> {
        let (name, tenant, password) = (quoted(name), quoted(tenant), literal(password));
        admin
            .batch_execute(&format!(
                "create role {name} login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 1
                     password {password};
                 grant {tenant} to {name};
                 alter role {name} set default_transaction_read_only = on;
                 alter role {name} set statement_timeout = '8s';
                 alter role {name} set temp_file_limit = '64MB'"
            ))
            .await
    }

    /// Ends and drops all of them.
    pub async fn drop_all(admin: &Client, first: char) -> Result<(), Error> {
        let names = format!("select rolname from pg_roles where rolname ~ '^{first}[0-9a-f]{{15}}$'");
        for row in admin.query(&names, &[]).await? {
            let name: String = row.get(0);
            put_out(admin, &name).await?;
            admin.batch_execute(&format!("drop owned by {0}; drop role {0}", quoted(&name))).await?;
        }
        Ok(())
    }
}

/// Begins a transaction that sees one moment of the database, and names that moment for others.
pub async fn snapshot(watcher: &Client) -> Result<String, Error> {
    watcher.batch_execute("begin isolation level repeatable read, read only; set local statement_timeout = 0").await?;
    Ok(watcher.query_one("select pg_export_snapshot()", &[]).await?.get(0))
}

/// Rows of every table, counted one by one: of what a dump holds, so without temporary tables,
/// materialized views and what belongs to extensions.
pub async fn counts(watcher: &Client) -> Result<BTreeMap<String, u64>, Error> {
    let sql = "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
                 and not exists (select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')";
    let mut counts = BTreeMap::new();
    for row in watcher.query(sql, &[]).await? {
        let table: String = row.get(0);
        let count: i64 = watcher.query_one(&format!("select count(*) from only {table}"), &[]).await?.get(0);
        counts.insert(table, u64::try_from(count).unwrap_or(0));
    }
    Ok(counts)
}

/// Bytes of the database one is in.
pub async fn size(inside: &Client) -> Result<u64, Error> {
    let bytes: i64 = inside.query_one("select pg_database_size(current_database())", &[]).await?.get(0);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Drops role and database for good.
pub async fn drop_all(admin: &Client, names: Names<'_>) -> Result<(), Error> {
    drop_database(admin, names.database).await?;
    drop_role(admin, names.role).await
}

/// Whether anybody but these roles has a session.
pub async fn has_visitors(admin: &Client, own: &[&str]) -> Result<bool, Error> {
    let sql = "select exists (select 1 from pg_stat_activity where backend_type = 'client backend' and usename <> all($1))";
    Ok(admin.query_one(sql, &[&own]).await?.get(0))
}

/// Sessions of a role now.
pub async fn sessions(watcher: &Client, role: &str) -> Result<i64, Error> {
    Ok(watcher.query_one("select count(*) from pg_stat_activity where usename = $1", &[&role]).await?.get(0))
}

/// The server's version as a number: 150020 is 15.20.
pub async fn version(watcher: &Client) -> Result<i32, Error> {
    Ok(watcher.query_one("select current_setting('server_version_num')::int4", &[]).await?.get(0))
}

/// A cheap count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    pub rows: u64,
    pub bytes: u64,
    pub tables: u32,
    /// A table has pages but no statistics (after a crash): the sum says nothing.
    pub doubtful: bool,
}

/// Rows by the server's own statistics, size and number of tables.
pub async fn estimate(watcher: &Client) -> Result<Estimate, Error> {
    let sql = "select coalesce(sum(n_live_tup), 0)::int8, pg_database_size(current_database()), count(*),
                      coalesce(bool_or(n_live_tup = 0 and pg_relation_size(relid) > 0), false)
               from pg_stat_user_tables where schemaname !~ '^pg_temp'";
    let row = watcher.query_one(sql, &[]).await?;
    let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
    Ok(Estimate { rows: number(0), bytes: number(1), tables: u32::try_from(number(2)).unwrap_or(u32::MAX), doubtful: row.get(3) })
}

/// Tables, materialized views and the largest of them first, as names that can be said again.
async fn tables(watcher: &Client) -> Result<Vec<String>, Error> {
    let sql = "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'm') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
               order by c.relpages desc";
    Ok(watcher.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Rows of all tables together, counted one by one but no further than `most`.
pub async fn exact(watcher: &Client, most: u64) -> Result<u64, Error> {
    let mut total = 0;
    for table in tables(watcher).await? {
        let left = most.saturating_sub(total);
        if left == 0 {
            break;
        }
        let row = watcher.query_opt(&format!("select count(*) from (select 1 from only {table} limit {left}) counted"), &[]).await;
        match row {
            Ok(row) => total += row.map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)),
            // Dropped meanwhile, or held by a long change: it counts the next time.
            Err(error) if error.as_db_error().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Refuses INSERT to a role in a way it cannot undo. First no structure may change any more but by
/// DROP, then who is inside is put out (what they began is undone), then the right is taken from
/// every table there is. `inside` is the superuser in that database.
pub async fn lock(inside: &Client, role: &str, limit: u64) -> Result<(), Error> {
    inside.batch_execute(&refusal(limit)).await?;
    put_out(inside, role).await?;
    inside.batch_execute(&every_table(&format!("revoke insert on %s from public, {}", quoted(role)), "")).await
}

/// Takes the lock away.
pub async fn unlock(inside: &Client, role: &str) -> Result<(), Error> {
    let own = format!("and c.relowner = '{}'::regrole", quoted(role));
    inside.batch_execute(&every_table(&format!("grant insert on %s to {}", quoted(role)), &own)).await?;
    inside
        .batch_execute(&format!("{} drop event trigger if exists {LOCK}; drop function if exists pg_catalog.{LOCK}()", leave_extension()))
        .await
}

/// Dumps leave out what belongs to an extension: a restored database must not hold our refusal.
fn leave_extension() -> String {
    format!(
        "do $leave$
         begin
             if exists (select 1 from pg_catalog.pg_event_trigger t join pg_catalog.pg_depend d on d.objid = t.oid
                        where t.evtname = '{LOCK}' and d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass and d.deptype = 'e') then
                 alter extension plpgsql drop event trigger {LOCK};
                 alter extension plpgsql drop function pg_catalog.{LOCK}();
             end if;
         end $leave$;"
    )
}

/// An event trigger of the superuser's: its owner alone can drop or disable it. Its function lies
/// in the catalog, where nobody else can make, replace or drop anything. It belongs to an extension
/// every database has, so that dumps, which users restore, leave it out.
fn refusal(limit: u64) -> String {
    format!(
        "begin;
         create or replace function pg_catalog.{LOCK}() returns event_trigger language plpgsql as $refusal$
         begin
             if session_user <> 'siesta' and tg_tag not like 'DROP %' then
                 raise exception 'permission denied: this database has more than {limit} rows, so nothing can be added to it'
                     using errcode = 'insufficient_privilege',
                           hint = 'Delete rows or drop tables. INSERT is allowed again by itself a minute after the database is back within its limit.';
             end if;
         end $refusal$;
         {}
         drop event trigger if exists {LOCK};
         create event trigger {LOCK} on ddl_command_start execute function pg_catalog.{LOCK}();
         alter extension plpgsql add function pg_catalog.{LOCK}();
         alter extension plpgsql add event trigger {LOCK};
         commit",
        leave_extension()
    )
}

/// Says `statement` for every table, view and the like of the users' own; `%s` is its name.
fn every_table(statement: &str, condition: &str) -> String {
    format!(
        "do $each$
         declare relation text;
         begin
             for relation in
                 select pg_catalog.format('%I.%I', n.nspname, c.relname)
                 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' {condition}
             loop
                 execute pg_catalog.replace('{statement}', '%s', relation);
             end loop;
         end $each$"
    )
}
