-- How many dynos ran in a span: a monthly pool is used up by each of them. A span ends where the
-- number changes, and the next begins there.
alter table awake_spans add column dynos integer not null default 1;
