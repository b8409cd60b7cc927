-- Who besides its owner may touch an app.
create table collaborators (
    id         blob not null unique,
    app_id     blob not null references apps (id) on delete cascade,
    user_id    blob not null references users (id) on delete cascade,
    role       text not null,                        -- view | deploy
    created_at integer not null,
    updated_at integer not null,
    primary key (app_id, user_id)
) strict;
create index collaborators_user on collaborators (user_id);

-- An app on its way to another owner.
create table app_transfers (
    id           blob primary key not null,
    app_id       blob not null references apps (id) on delete cascade,
    owner_id     blob not null references users (id) on delete cascade,
    recipient_id blob not null references users (id) on delete cascade,
    state        text not null,                      -- pending | accepted | declined
    created_at   integer not null,
    updated_at   integer not null
) strict;
create unique index app_transfers_pending on app_transfers (app_id) where state = 'pending';

-- Host names of an app's own; the one below the apps domain has no row.
create table domains (
    id         blob primary key not null,
    app_id     blob not null references apps (id) on delete cascade,
    hostname   text not null unique,                 -- lower case
    created_at integer not null,
    updated_at integer not null
) strict;
create index domains_app on domains (app_id);

-- What clients named as buildpacks; builds detect by themselves.
create table app_buildpacks (
    app_id    blob not null references apps (id) on delete cascade,
    ordinal   integer not null,
    buildpack text not null,
    primary key (app_id, ordinal)
) strict;

create table webhooks (
    id         blob primary key not null,
    app_id     blob not null references apps (id) on delete cascade,
    url        text not null,
    include    text not null,                        -- JSON: ["api:build", ...]
    level      text not null,                        -- notify | sync
    secret     blob not null,                        -- sealed
    authorization blob,                              -- sealed
    created_at integer not null,
    updated_at integer not null
) strict;
create index webhooks_app on webhooks (app_id);

-- What was told to webhooks; kept for a while.
create table webhook_events (
    id         blob primary key not null,
    app_id     blob not null references apps (id) on delete cascade,
    topic      text not null,                        -- api:build
    action     text not null,                        -- create | update | destroy
    body       text not null,                        -- the JSON that is sent
    created_at integer not null
) strict;
create index webhook_events_app on webhook_events (app_id, created_at);

-- The row is the queue.
create table webhook_deliveries (
    id              blob primary key not null,
    webhook_id      blob not null references webhooks (id) on delete cascade,
    event_id        blob not null references webhook_events (id) on delete cascade,
    status          text not null,                   -- pending | retrying | succeeded | failed
    attempts        integer not null default 0,
    next_attempt_at integer,                         -- null: nothing more to do
    last_code       integer,
    last_error      text,
    last_at         integer,
    created_at      integer not null,
    updated_at      integer not null
) strict;
create index webhook_deliveries_next on webhook_deliveries (next_attempt_at) where next_attempt_at is not null;
create index webhook_deliveries_event on webhook_deliveries (event_id);
create index webhook_deliveries_webhook on webhook_deliveries (webhook_id);

create table pipelines (
    id         blob primary key not null,
    name       text not null,
    owner_id   blob not null references users (id) on delete cascade,
    created_at integer not null,
    updated_at integer not null,
    unique (owner_id, name)
) strict;

create table pipeline_couplings (
    id          blob not null unique,
    app_id      blob primary key not null references apps (id) on delete cascade,
    pipeline_id blob not null references pipelines (id) on delete cascade,
    stage       text not null,                       -- test | review | development | staging | production
    created_at  integer not null,
    updated_at  integer not null
) strict;
create index pipeline_couplings_pipeline on pipeline_couplings (pipeline_id);

create table pipeline_promotions (
    id          blob primary key not null,
    pipeline_id blob not null references pipelines (id) on delete cascade,
    app_id      blob not null references apps (id) on delete cascade,
    release_id  blob references releases (id),
    status      text not null,                       -- pending | completed
    created_at  integer not null,
    updated_at  integer not null
) strict;
create index pipeline_promotions_pipeline on pipeline_promotions (pipeline_id);

create table pipeline_promotion_targets (
    id           blob not null unique,
    promotion_id blob not null references pipeline_promotions (id) on delete cascade,
    app_id       blob not null references apps (id) on delete cascade,
    release_id   blob references releases (id),
    status       text not null,                      -- pending | succeeded | failed
    error        text,
    primary key (promotion_id, app_id)
) strict;
