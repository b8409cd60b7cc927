-- One row at least in every table of 0006_github.sql.
insert into github_registration (id, kind, client_id, app_slug, sealed, updated_at) values (1, 'app', 'Iv1.0123456789abcdef', 'siesta-ies', x'01', 1767225600000);
insert into github_states (state_hash, browser_hash, user_id, sealed, next, expires_at) values
    (x'b1', x'b2', x'01', x'01', '/apps/tiendavideojuegos/deploy', 1767226200000);
insert into github_accounts (user_id, host_id, login, scopes, sealed, expires_at, revoked_at, updated_at) values
    (x'01', 583231, 'ana', 'repo', x'01', null, null, 1767225600000);
insert into repository_links (app_id, host_id, name, url, private, default_branch, user_id, branch, wait_for_ci, decided_sha, hook_id, hook_hash, hook_sealed, linked_at) values
    (x'21', 1296269, 'ana/tiendavideojuegos', 'https://github.com/ana/tiendavideojuegos', 1, 'main', x'01', 'main', 1,
     '1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d', 12345678, x'b3', x'01', 1767225650000);
insert into deliveries (app_id, guid, event, branch, sha, who, verdict, build_id, received_at, decided_at) values
    (x'21', '72d3162e-cc78-11e3-81ab-4c9367dc0958', 'push', 'main', '1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d', 'ana', 'deployed', x'81', 1767225660000, 1767225661000);
insert into git_builds (build_id, repository, branch, sha, title, user_id, automatic, deployment_id, told) values
    (x'81', 'ana/tiendavideojuegos', 'main', '1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d', 'Add the cart', x'01', 1, 42, 'succeeded');
