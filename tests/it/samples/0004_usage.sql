-- One row at least in every table of 0004_usage.sql.
insert into app_features (app_id, name, enabled_at) values (x'21', 'log-runtime-metrics', 1767225800000);
