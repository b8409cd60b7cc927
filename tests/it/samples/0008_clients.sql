-- One row at least in every table of 0008_clients.sql.
insert into users (id, email, password_hash, admin, system, created_at, updated_at) values
    (x'08', 'bob@example.org', null, 0, 0, 1767225600000, 1767225600000);
insert into collaborators (id, app_id, user_id, role, created_at, updated_at) values (x'a801', x'21', x'08', 'deploy', 1767225600000, 1767225600000);
insert into app_transfers (id, app_id, owner_id, recipient_id, state, created_at, updated_at) values
    (x'a802', x'21', x'01', x'08', 'pending', 1767225600000, 1767225600000);
insert into domains (id, app_id, hostname, created_at, updated_at) values (x'a803', x'21', 'www.example.org', 1767225600000, 1767225600000);
insert into app_buildpacks (app_id, ordinal, buildpack) values (x'21', 0, 'heroku/python');
insert into webhooks (id, app_id, url, include, level, secret, created_at, updated_at) values
    (x'a804', x'21', 'https://example.org/hook', '["api:release"]', 'notify', x'01', 1767225600000, 1767225600000);
insert into webhook_events (id, app_id, topic, action, body, created_at) values (x'a805', x'21', 'api:release', 'create', '{}', 1767225600000);
insert into webhook_deliveries (id, webhook_id, event_id, status, attempts, created_at, updated_at) values
    (x'a806', x'a804', x'a805', 'succeeded', 1, 1767225600000, 1767225600000);
insert into pipelines (id, name, owner_id, created_at, updated_at) values (x'a807', 'tienda', x'01', 1767225600000, 1767225600000);
insert into pipeline_couplings (id, app_id, pipeline_id, stage, created_at, updated_at) values
    (x'a808', x'21', x'a807', 'staging', 1767225600000, 1767225600000);
insert into pipeline_promotions (id, pipeline_id, app_id, release_id, status, created_at, updated_at) values
    (x'a809', x'a807', x'21', x'52', 'completed', 1767225600000, 1767225600000);
insert into pipeline_promotion_targets (id, promotion_id, app_id, release_id, status) values (x'a80a', x'a809', x'21', x'52', 'succeeded');
