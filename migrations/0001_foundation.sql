-- Ids are UUIDv7 as 16-byte blobs, times are INTEGER milliseconds since the epoch (UTC).

-- One row a key: instance_id, claimed_at, sign_up (open | closed | invite).
create table settings (
    key   text primary key not null,
    value text not null
) strict;

create table users (
    id            blob primary key not null,
    email         text not null unique collate nocase,
    name          text not null default '',
    password_hash text,                              -- argon2id PHC string; null: cannot log in
    admin         integer not null default 0,
    system        integer not null default 0,        -- owns the example until the claim
    language      text,                              -- en | es; null: follow the browser
    theme         text,                              -- light | dark; null: follow the system
    created_at    integer not null,
    updated_at    integer not null,
    suspended_at  integer
) strict;

create table sessions (
    id           blob not null unique,
    token_hash   blob primary key not null,          -- SHA-256 of the cookie's token
    user_id      blob not null references users (id) on delete cascade,
    created_at   integer not null,
    last_seen_at integer not null,
    expires_at   integer not null,
    user_agent   text not null default '',
    ip           text not null default ''
) strict;
create index sessions_user on sessions (user_id);

create table tokens (
    id           blob primary key not null,
    user_id      blob not null references users (id) on delete cascade,
    description  text not null,
    token_hash   blob not null unique,
    prefix       text not null,                      -- first characters, to tell tokens apart
    created_at   integer not null,
    expires_at   integer,
    last_used_at integer
) strict;
create index tokens_user on tokens (user_id);

-- Single-use links: invitations and password resets.
create table one_time_links (
    token_hash blob primary key not null,
    purpose    text not null,                        -- invite | reset
    user_id    blob references users (id) on delete cascade,
    email      text,
    created_at integer not null,
    expires_at integer not null,
    used_at    integer
) strict;

create table apps (
    id                 blob primary key not null,
    name               text not null unique,
    owner_id           blob not null references users (id),
    number             integer not null unique,      -- small and never reused: uid 20000+n
    maintenance        integer not null default 0,
    stack              text not null,
    current_release_id blob,                         -- what runs; null only inside creation
    released_at        integer,
    created_at         integer not null,
    updated_at         integer not null
) strict;
create index apps_owner on apps (owner_id);

-- One snapshot of all config vars of an app, sealed as one JSON object. A release points at one;
-- the current release's snapshot is the app's config.
create table config_sets (
    id         blob primary key not null,
    app_id     blob not null references apps (id) on delete cascade,
    sealed     blob not null,
    created_at integer not null
) strict;

create table slugs (
    id            blob primary key not null,
    app_id        blob not null references apps (id) on delete cascade,
    commit_sha    text,                              -- version given with the source
    code_file     text not null,                     -- sha256 of the code archive in files/
    deps_file     text,                              -- sha256 of the dependency archive in files/
    deps_key      text not null,                     -- what the dependency image is keyed by
    stack         text not null,                     -- stack image reference it was built on
    language      text not null,                     -- "Python"
    runtime       text not null,                     -- "Python 3.11.2"
    process_types text not null,                     -- JSON object: type -> command, in Procfile order
    size          integer not null,                  -- bytes of both archives, compressed
    created_at    integer not null
) strict;
create index slugs_app on slugs (app_id);

create table releases (
    id            blob primary key not null,
    app_id        blob not null references apps (id) on delete cascade,
    version       integer not null,
    description   text not null,
    status        text not null,                     -- pending | succeeded | failed
    slug_id       blob references slugs (id),
    config_set_id blob not null references config_sets (id),
    user_id       blob references users (id),
    user_email    text not null,
    created_at    integer not null,
    updated_at    integer not null,
    unique (app_id, version)
) strict;

create table formation (
    app_id       blob not null references apps (id) on delete cascade,
    process_type text not null,
    quantity     integer not null,
    updated_at   integer not null,
    id           blob not null,
    primary key (app_id, process_type)
) strict;

-- What `dynos` must remember of an app over a restart of the server.
create table app_activity (
    app_id          blob primary key not null references apps (id) on delete cascade,
    asleep          integer not null default 0,
    last_request_at integer,
    resting_until   integer,                         -- a rest begun ends here
    quota_from      integer                          -- a completed rest clears the account: count from here
) strict;

-- Seconds awake, billed from here; an open span has no end yet.
create table awake_spans (
    id         integer primary key,
    app_id     blob not null references apps (id) on delete cascade,
    started_at integer not null,
    ended_at   integer
) strict;
create index awake_spans_app on awake_spans (app_id, started_at);

-- Uploaded sources (POST /sources, then PUT): the file lies in uploads/<id>.
create table sources (
    id          blob primary key not null,
    app_id      blob references apps (id) on delete cascade,
    user_id     blob references users (id) on delete cascade,
    put_hash    blob not null unique,                -- SHA-256 of the capability in the put_url
    get_hash    blob not null unique,
    size        integer,
    uploaded_at integer,
    created_at  integer not null,
    expires_at  integer not null
) strict;

-- The row is the queue.
create table builds (
    id             blob primary key not null,
    app_id         blob not null references apps (id) on delete cascade,
    user_id        blob references users (id),
    user_email     text not null,
    status         text not null,                    -- queued | running | succeeded | failed | cancelled
    source_id      blob references sources (id) on delete set null,
    source_url     text not null default '',         -- as given by the client, secrets removed
    source_version text,                             -- commit or label
    stack          text not null,
    output_hash    blob not null unique,             -- SHA-256 of the capability in output_stream_url
    attempt        integer not null default 0,       -- more than one after a crash of the server
    error          text,                             -- one sentence: what is wrong and what to do
    phases         text not null default '[]',       -- JSON: [{name, started_at, finished_at}]
    slug_id        blob references slugs (id),
    release_id     blob references releases (id),
    created_at     integer not null,
    started_at     integer,
    finished_at    integer
) strict;
create index builds_app on builds (app_id, created_at);
create index builds_status on builds (status);

-- What happened to an app, for people: deploys, wakes, sleeps, scale, config names (never values).
create table events (
    id      integer primary key,
    app_id  blob not null references apps (id) on delete cascade,
    at      integer not null,
    kind    text not null,
    actor   text not null default '',                -- e-mail, or empty for the platform
    detail  text not null default '{}'               -- JSON, by kind
) strict;
create index events_app on events (app_id, at);
