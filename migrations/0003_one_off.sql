-- One-off dynos that wait for their client or run; the row goes with the dyno.
create table one_offs (
    id           blob primary key not null,
    app_id       blob not null references apps (id) on delete cascade,
    release_id   blob not null references releases (id) on delete cascade,
    process_type text not null,
    number       integer not null,
    command      text not null,
    streams      text,                               -- terminal | pipes: of its client; null: detached
    user_id      blob not null references users (id) on delete cascade,
    created_at   integer not null,
    ends_at      integer not null                    -- its time to live is over
) strict;
create index one_offs_app on one_offs (app_id);
