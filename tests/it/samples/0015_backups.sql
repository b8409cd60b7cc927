-- One row at least in every table of 0015_backups.sql.
insert into backups (id, app_id, addon_id, addon_name, number, kind, state, by_email, database_bytes, byte_count, row_count,
                                table_counts, sha256, verified_at, created_at, started_at, finished_at) values
    (x'94', x'21', x'91', 'postgresql-angular-12345', 1, 'manual', 'completed', 'ana@example.org', 8388608, 1024, 7200,
     '{"public.juegos":7200}', x'00', 1767225900000, 1767225800000, 1767225800000, 1767225850000);
insert into backup_schedules (addon_id, hour, time_zone, next_at) values (x'91', 2, 'Europe/Madrid', 1767232800000)
    on conflict (addon_id) do update set hour = excluded.hour;
