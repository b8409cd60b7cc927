-- How far each drain has come, so that it goes on there after the server was killed.
create table drain_positions (
    drain_id blob primary key not null,
    app_id   blob not null,
    next     integer not null,                       -- the number of the line it sends next; none of them is missing in log_blocks
    at       integer not null                        -- when its last delivered line was said, microseconds since the epoch
) strict, without rowid;
create index drain_positions_by_app on drain_positions (app_id);
