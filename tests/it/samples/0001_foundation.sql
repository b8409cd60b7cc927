-- One row at least in every table of 0001_foundation.sql.
insert into settings values ('claimed_at', '2026-01-01T00:00:00Z'), ('sign_up', 'invite'), ('instance_id', '0123456789ab');
insert into users (id, email, password_hash, admin, system, language, theme, created_at, updated_at) values
    (x'01', 'ana@example.org', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA', 1, 0, 'es', 'dark', 1767225600000, 1767225600000),
    (x'02', 'system@siesta.localhost', null, 0, 1, null, null, 1767225600000, 1767225600000);
insert into sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at, user_agent, ip) values
    (x'11', x'a1', x'01', 1767225600000, 1767225660000, 1767830400000, 'Mozilla/5.0', '127.0.0.1');
insert into tokens (id, user_id, description, token_hash, prefix, created_at, expires_at, last_used_at) values
    (x'12', x'01', 'laptop', x'a2', 'HRKU-1a2b3c', 1767225600000, null, 1767225660000);
insert into one_time_links (token_hash, purpose, user_id, email, created_at, expires_at, used_at) values
    (x'a3', 'invite', null, 'eva@example.org', 1767225600000, 1767830400000, null),
    (x'a4', 'reset', x'01', null, 1767225600000, 1767229200000, 1767225700000);
insert into apps (id, name, owner_id, number, maintenance, stack, current_release_id, released_at, created_at, updated_at) values
    (x'21', 'tiendavideojuegos', x'01', 1, 0, 'siesta/run:1', x'52', 1767225800000, 1767225600000, 1767225800000);
insert into config_sets (id, app_id, sealed, created_at) values (x'31', x'21', x'01', 1767225600000);
insert into slugs (id, app_id, commit_sha, code_file, deps_file, deps_key, stack, language, runtime, process_types, size, created_at) values
    (x'41', x'21', '1a2b3c4d', 'c0de', 'dee5', 'key', 'siesta/run:1', 'Python', 'Python 3.11.2', '{"web":"gunicorn app:app"}', 1024, 1767225700000);
insert into releases (id, app_id, version, description, status, slug_id, config_set_id, user_id, user_email, created_at, updated_at) values
    (x'51', x'21', 1, 'Initial release', 'succeeded', null, x'31', x'01', 'ana@example.org', 1767225600000, 1767225600000),
    (x'52', x'21', 2, 'Deploy 1a2b3c4d', 'succeeded', x'41', x'31', x'01', 'ana@example.org', 1767225800000, 1767225800000);
insert into formation (app_id, process_type, quantity, updated_at, id) values (x'21', 'web', 1, 1767225800000, x'61');
insert into app_activity (app_id, asleep, last_request_at, resting_until, quota_from) values
    (x'21', 1, 1767225900000, null, 1767225600000);
insert into awake_spans (app_id, started_at, ended_at) values (x'21', 1767225800000, 1767225900000), (x'21', 1767226000000, null);
insert into sources (id, app_id, user_id, put_hash, get_hash, size, uploaded_at, created_at, expires_at) values
    (x'71', x'21', x'01', x'a5', x'a6', 1024, 1767225650000, 1767225600000, 1767229200000);
insert into builds (id, app_id, user_id, user_email, status, source_id, source_version, stack, output_hash, slug_id, release_id, created_at) values
    (x'81', x'21', x'01', 'ana@example.org', 'succeeded', x'71', '1a2b3c4d', 'siesta/build:1', x'a7', x'41', x'52', 1767225660000);
insert into events (app_id, at, kind, actor, detail) values (x'21', 1767225800000, 'deploy', 'ana@example.org', '{"version":2}');
