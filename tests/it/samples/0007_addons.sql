-- One row at least in every table of 0007_addons.sql.
insert into database_servers (name, sealed_password, created_at) values ('postgres', x'01', 1767225600000);
insert into addons (id, app_id, name, service, plan, state, role_name, database_name, sealed_password, user_id, user_email, row_count,
                    created_at, updated_at) values
    (x'91', x'21', 'postgresql-angular-12345', 'heroku-postgresql', 'hobby-dev', 'provisioned', 'u1', 'd1', x'01', x'01', 'ana@example.org',
     7200, 1767225600000, 1767225800000);
insert into addon_attachments (id, addon_id, app_id, name, state, created_at, updated_at) values
    (x'92', x'91', x'21', 'DATABASE', 'attached', 1767225600000, 1767225800000),
    (x'93', x'90', x'21', 'DATABASE', 'detached', 1767225500000, 1767225550000);
insert into addon_bin (addon_id, name, service, plan, role_name, database_name, sealed_password, owner_id, app_name, destroyed_at, purge_at) values
    (x'90', 'postgresql-severe-54321', 'heroku-postgresql', 'hobby-dev', 'u0', 'd0', x'01', x'01', 'tiendavideojuegos', 1767225600000, 1767830400000);
insert into addon_backups (id, addon_id, number, kind, state, byte_count, row_count, verified_at, created_at, started_at, finished_at) values
    (x'94', x'91', 1, 'manual', 'completed', 1024, 7200, 1767225900000, 1767225800000, 1767225800000, 1767225850000);
insert into addon_backup_schedules (addon_id, hour, time_zone, next_at, created_at) values (x'91', 2, 'UTC', 1767232800000, 1767225600000);
