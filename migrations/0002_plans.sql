-- What an app may use, as data. An app's plan is its own, else its account's, else `free`.
create table plans (
    name              text primary key not null,
    memory_bytes      integer not null,              -- of one dyno
    dynos_per_type    integer not null,
    process_types     integer not null,              -- with a dyno at once
    idle_ms           integer not null,
    nap_ms            integer,                       -- null: no nap
    sleep_by          text not null,                 -- stop | nap | never
    quota             text not null,                 -- daily | monthly | none
    awake_ms          integer not null,              -- daily: awake in any window, then the rest
    window_ms         integer not null,
    rest_ms           integer not null,
    pool_ms           integer not null,              -- monthly: of all dynos of an account
    rows              integer not null,              -- of a database
    apps_per_account  integer not null,
    build_timeout_ms  integer not null,
    build_memory_bytes integer not null,
    created_at        integer not null,
    updated_at        integer not null
) strict;

insert into plans values
    ('free', 536870912, 1, 2, 1800000, 60000, 'stop', 'daily', 64800000, 86400000, 21600000, 1980000000, 10000, 5, 900000, 2147483648, 0, 0);

create table app_plans (
    app_id blob primary key not null references apps (id) on delete cascade,
    plan   text not null references plans (name)
) strict;
create index app_plans_plan on app_plans (plan);

create table account_plans (
    user_id blob primary key not null references users (id) on delete cascade,
    plan    text not null references plans (name)
) strict;
create index account_plans_plan on account_plans (plan);

-- What apps that are gone have taken out of their account's monthly pool.
create table pool_debts (
    user_id blob not null references users (id) on delete cascade,
    month   integer not null,                        -- its first moment
    used_ms integer not null,
    primary key (user_id, month)
) strict;
