-- Where an app's log lines are sent besides. The address may hold credentials, so it is sealed whole.
create table log_drains (
    id         blob primary key not null,
    app_id     blob not null references apps (id) on delete cascade,
    sealed     blob not null,
    token      text not null unique,                 -- d.<uuid>: tells the receiver whose lines these are
    created_at integer not null
) strict, without rowid;
create index log_drains_of_app on log_drains (app_id);
