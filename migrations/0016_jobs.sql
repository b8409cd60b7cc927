-- Jobs of the scheduler add-on, and what is set of a key-value store.
create table scheduler_jobs (
    id          blob primary key not null,
    app_id      blob not null references apps (id) on delete cascade,
    addon_id    blob not null,                         -- no reference: kept while its add-on lies in the bin
    command     text not null,
    cron        text not null,                         -- five fields
    time_zone   text not null,                         -- UTC, Europe/Madrid
    next_at     integer not null,
    missed      integer not null default 0,            -- runs that fell into a time in which the server was down
    dyno_id     blob,                                  -- of the last run
    dyno_name   text,                                  -- scheduler.1234
    started_at  integer,
    finished_at integer,
    exit_code   integer,
    error       text,                                  -- why the last run did not begin, or was lost
    created_at  integer not null
) strict;
create index scheduler_jobs_addon on scheduler_jobs (addon_id);

create table keyvalue_stores (
    addon_id blob primary key not null,                -- no reference: kept while its add-on lies in the bin
    policy   text not null                             -- noeviction, allkeys-lru ...
) strict;
