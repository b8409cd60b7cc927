-- Destroyed apps, until they are purged. Their rows in `apps` carry a placeholder as name meanwhile, so
-- that the name is free at once.
create table app_bin (
    app_id      blob primary key not null references apps (id) on delete cascade,
    name        text not null,                       -- what it was called
    user_email  text not null,                       -- who destroyed it
    settled_at  integer,                             -- null: its dynos may still run
    binned_at   integer not null,
    purge_at    integer not null
) strict;

-- What a destroyed app had attached; comes back with it.
create table app_bin_attachments (
    app_id   blob not null references app_bin (app_id) on delete cascade,
    addon_id blob not null,                          -- no reference: lies in addon_bin, or is another app's
    name     text not null,                          -- DATABASE
    primary key (app_id, name)
) strict;

-- Who changed what when, for the host's administrators. The newest ten thousand are kept.
create table audit (
    id      integer primary key,
    at      integer not null,
    actor   text not null,                           -- e-mail, or empty
    ip      text not null,
    via     text not null,                           -- dashboard | api | server
    action  text not null,                           -- POST /apps/{app}/scale
    subject text not null                            -- app, plan or account; never a secret
) strict;
