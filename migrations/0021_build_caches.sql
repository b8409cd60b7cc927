-- When somebody last cleared the build cache of an app: dependencies installed before are not used again.
create table build_caches (
    app_id     blob primary key not null references apps (id) on delete cascade,
    cleared_at integer not null
) strict;
