-- How this server is registered at the git host. One row; without it (and without the settings in the
-- environment) nobody can connect.
create table github_registration (
    id         integer primary key check (id = 1),
    kind       text not null,                        -- oauth | app
    client_id  text not null,
    app_slug   text not null default '',             -- a GitHub App's name in addresses
    sealed     blob not null,                        -- JSON: client_secret, webhook_secret
    updated_at integer not null
) strict;

-- Web flows under way; a row is used once.
create table github_states (
    state_hash   blob primary key not null,          -- SHA-256 of the state
    browser_hash blob not null,                      -- SHA-256 of the browser's cookies it is bound to
    user_id      blob references users (id) on delete cascade, -- null: signs in or up
    sealed       blob not null,                      -- the PKCE verifier
    next         text not null,
    expires_at   integer not null
) strict;

-- People's accounts at the git host.
create table github_accounts (
    user_id    blob primary key not null references users (id) on delete cascade,
    host_id    integer not null unique,
    login      text not null,
    scopes     text not null,
    sealed     blob not null,                        -- JSON: access, refresh
    expires_at integer,                              -- of the access token; null: until revoked
    revoked_at integer,                              -- the host did not accept it any more
    updated_at integer not null
) strict;

-- The repository an app is deployed from.
create table repository_links (
    app_id         blob primary key not null references apps (id) on delete cascade,
    host_id        integer not null,                 -- stays the same when it is renamed
    name           text not null,                    -- owner/name
    url            text not null,
    private        integer not null,
    default_branch text not null,
    user_id        blob references users (id) on delete set null, -- whose access; null: public, by its address
    branch         text,                             -- deployed by itself; null: off
    wait_for_ci    integer not null default 0,
    supersede      integer not null default 0,       -- a newer push also ends a build that runs
    decided_sha    text,                             -- the last head that was deployed or passed over
    etag           text,                             -- of the head's answer; null: ask in full
    asked_at       integer,
    hook_id        integer,                          -- at the host; null: there is none, it is asked each minute
    hook_hash      blob unique,                      -- SHA-256 of the token in the hook's address
    hook_sealed    blob,                             -- the hook's secret
    hook_seen_at   integer,                          -- last genuine delivery
    trouble        text not null default '',         -- revoked | gone | forbidden | branch_gone
    linked_at      integer not null
) strict;
create index repository_links_host on repository_links (host_id);

-- What the git host told us of an app's repository, with what became of it.
create table deliveries (
    app_id      blob not null references apps (id) on delete cascade,
    guid        text not null,                       -- the host's id; poll-<commit> for what we found ourselves
    event       text not null,
    branch      text not null default '',
    sha         text not null default '',
    who         text not null default '',
    verdict     text not null,
    build_id    blob references builds (id) on delete set null,
    count       integer not null default 1,          -- forged ones of a minute share a row
    received_at integer not null,
    decided_at  integer,
    primary key (app_id, guid)
) strict;
create index deliveries_open on deliveries (verdict, app_id);

-- Builds whose source is a commit of a repository.
create table git_builds (
    build_id      blob primary key not null references builds (id) on delete cascade,
    repository    text not null,                     -- owner/name
    branch        text not null,
    sha           text not null,
    title         text not null,                     -- first line of the commit's message
    user_id       blob references users (id) on delete set null, -- whose access; null: public
    automatic     integer not null,
    deployment_id integer,                           -- at the host
    told          text not null default '',          -- the build's status the host was told last
    tries         integer not null default 0         -- failed tries to tell it
) strict;
