-- One row at least in every table of 0014_webhooks.sql.
insert into webhook_changes (app_id, topic, action, resource) values (x'21', 'api:release', 'create', '52');
