-- Lines of an app that were written together are one row: what a flood costs is text, not rows.
create table log_blocks (
    id     integer primary key,                      -- grows with time: the oldest go first
    app_id blob not null,
    first  integer not null,                         -- numbers of its first and last line, without a hole between
    last   integer not null,
    at     integer not null,                         -- of its last line, microseconds since the epoch
    lines  text not null                             -- "at <tab> source <tab> ps <tab> message" and a newline each
) strict;
insert into log_blocks (app_id, first, last, at, lines)
    select app_id, number, number, at, at || char(9) || source || char(9) || ps || char(9) || message || char(10)
    from log_lines order by at;
create unique index log_blocks_by_number on log_blocks (app_id, last);
drop table log_lines;
