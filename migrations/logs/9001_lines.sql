-- The log lines of every app, in a database file of their own: log writes never hold the state's writer.
create table log_lines (
    id      integer primary key,
    app_id  blob not null,
    at      integer not null,                        -- microseconds since the epoch
    source  text not null,                           -- app | heroku
    ps      text not null,                           -- web.1 | router | api
    message text not null
) strict;
create index log_lines_app on log_lines (app_id, id);
