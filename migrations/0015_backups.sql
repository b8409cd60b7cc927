-- Dumps of databases and restores. The files of dumps lie in the data folder, in `dumps/`, named by id.
drop table addon_backup_schedules;
drop table addon_backups;

create table backups (
    id             blob primary key not null,
    app_id         blob not null references apps (id) on delete cascade,
    addon_id       blob not null,                      -- no reference: kept while its add-on lies in the bin
    addon_name     text not null,
    number         integer not null,                   -- one of its app: b001, a002, r003
    kind           text not null,                      -- manual | scheduled | restore
    state          text not null,                      -- pending | running | completed | failed | cancelled
    source_id      blob,                               -- of a restore: the dump it reads
    source_name    text,
    by_email       text not null,                      -- empty: the schedule
    attempts       integer not null default 0,
    database_bytes integer not null default 0,
    byte_count     integer not null default 0,         -- written or read so far
    row_count      integer,
    table_counts   text,                               -- JSON: rows by table when the dump was made
    sha256         blob,
    verified_at    integer,                            -- restored into a scratch database, counts equal
    error          text,
    created_at     integer not null,
    started_at     integer,
    finished_at    integer,
    unique (app_id, number)
) strict;
create index backups_addon on backups (addon_id);

-- When a database is dumped by itself, once a day. Every database begins with one.
create table backup_schedules (
    addon_id   blob primary key not null references addons (id) on delete cascade,
    hour       integer not null,                       -- 0 to 23
    time_zone  text not null,                          -- UTC, Europe/Madrid
    next_at    integer not null
) strict;
insert into backup_schedules (addon_id, hour, time_zone, next_at)
    select id, 3, 'UTC', 0 from addons where service = 'heroku-postgresql';
