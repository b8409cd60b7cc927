-- Features of an app that are switched on, by Heroku's names (log-runtime-metrics).
create table app_features (
    app_id blob not null references apps (id) on delete cascade,
    name text not null,
    enabled_at integer not null,
    primary key (app_id, name)
) strict, without rowid;
