-- 0012_span_dynos.sql makes no table: a span of two dynos.
insert into awake_spans (app_id, started_at, ended_at, dynos) values (x'21', 1767225900000, 1767225960000, 2);
