-- One row at least in every table of 0016_jobs.sql.
insert into scheduler_jobs (id, app_id, addon_id, command, cron, time_zone, next_at, dyno_name, started_at, finished_at, exit_code, created_at)
    values (x'a1', x'21', x'91', 'python limpia.py', '*/10 * * * *', 'Europe/Madrid', 1767232800000, 'scheduler.1234', 1767225600000,
            1767225601000, 0, 1767225600000);
insert into keyvalue_stores (addon_id, policy) values (x'91', 'allkeys-lru');
