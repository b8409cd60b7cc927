-- The log lines of every app, in a database file of their own: log writes never hold the state's writer.
create table log_lines (
    app_id  blob not null,
    number  integer not null,                        -- grows by one a line within an app
    at      integer not null,                        -- microseconds since the epoch
    source  text not null,                           -- app | heroku
    ps      text not null,                           -- web.1 | router | api
    message text not null,
    primary key (app_id, number)
) strict, without rowid;

-- The last number an app used, so that numbering goes on after its lines have aged away.
create table log_numbers (
    app_id blob primary key not null,
    last   integer not null
) strict, without rowid;
