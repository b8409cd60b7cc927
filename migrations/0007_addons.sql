-- Add-ons: databases now. What stands in the database server follows from these rows.

-- One row a database server of ours, with the password of its superuser.
create table database_servers (
    name            text primary key not null,      -- postgres
    sealed_password blob not null,
    created_at      integer not null
) strict;

create table addons (
    id                   blob primary key not null,
    app_id               blob not null references apps (id) on delete cascade,
    name                 text not null unique,       -- postgresql-angular-12345
    service              text not null,              -- heroku-postgresql
    plan                 text not null,              -- hobby-dev
    state                text not null,              -- provisioning | provisioned | rotating | deprovisioning
    role_name            text not null unique,       -- inside the server
    database_name        text not null unique,
    sealed_password      blob not null,
    sealed_next_password blob,                       -- while it is being rotated
    user_id              blob references users (id) on delete set null,
    user_email           text not null,              -- in whose name its releases are made
    error                text,                       -- why the last try did not work
    row_count            integer not null default 0,
    byte_count           integer not null default 0,
    table_count          integer not null default 0,
    counted_at           integer,
    warned               integer not null default 0, -- percent
    over_since           integer,
    locked_at            integer,
    created_at           integer not null,
    updated_at           integer not null
) strict;
create index addons_app on addons (app_id);

-- Kept when it is gone: a rollback must know which variables are not the user's.
create table addon_attachments (
    id         blob primary key not null,
    addon_id   blob not null,                        -- no reference: outlives its add-on
    app_id     blob not null references apps (id) on delete cascade,
    name       text not null,                        -- DATABASE
    state      text not null,                        -- attaching | attached | detaching | detached
    created_at integer not null,
    updated_at integer not null
) strict;
create unique index addon_attachments_name on addon_attachments (app_id, name) where state <> 'detached';
create index addon_attachments_addon on addon_attachments (addon_id);

-- Destroyed add-ons, until their databases are dropped. No references: outlives app and account.
create table addon_bin (
    addon_id        blob primary key not null,
    name            text not null,
    service         text not null,
    plan            text not null,
    role_name       text not null,
    database_name   text not null,
    sealed_password blob not null,
    owner_id        blob not null,
    app_name        text not null,
    destroyed_at    integer not null,
    purge_at        integer not null
) strict;

create table addon_backups (
    id           blob primary key not null,
    addon_id     blob not null references addons (id) on delete cascade,
    number       integer not null,
    kind         text not null,                      -- manual | scheduled
    state        text not null,                      -- pending | running | completed | failed
    byte_count   integer,
    row_count    integer,
    verified_at  integer,                            -- restored into a scratch database, counts equal
    error        text,
    created_at   integer not null,
    started_at   integer,
    finished_at  integer,
    unique (addon_id, number)
) strict;

create table addon_backup_schedules (
    addon_id   blob primary key not null references addons (id) on delete cascade,
    hour       integer not null,                     -- 0 to 23
    time_zone  text not null,                        -- UTC, Europe/Madrid
    next_at    integer not null,
    created_at integer not null
) strict;
