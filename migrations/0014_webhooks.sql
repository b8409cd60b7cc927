-- What changed in apps that have webhooks, written by the change itself: nothing is missed, whoever
-- changes it, and a crash loses nothing. `api` turns the rows into events and removes them.
-- In `webhooks`, `url` holds the address as it may be shown; `secret` is the sealed JSON of address,
-- secret and authorization.
create table webhook_changes (
    id          integer primary key,
    app_id      blob not null references apps (id) on delete cascade,
    topic       text not null,                       -- api:build
    action      text not null,                       -- create | update | destroy
    resource    text not null,                       -- the id of what changed, in hexadecimal
    actor_id    blob,                                -- who did it, where the row says so
    actor_email text,
    previous    text not null default '{}',          -- JSON: the fields that changed, as they were
    last        text not null default '{}'           -- JSON: what is known of a thing that is gone
) strict;
create index webhook_changes_app on webhook_changes (app_id);

create trigger webhook_of_app after update on apps
when (old.name <> new.name or old.maintenance <> new.maintenance or old.owner_id <> new.owner_id or old.stack <> new.stack)
    and exists (select 1 from webhooks where app_id = new.id)
begin
    insert into webhook_changes (app_id, topic, action, resource, previous)
    values (new.id, 'api:app', 'update', hex(new.id), json_patch(
        case when old.name <> new.name then json_object('name', old.name) else '{}' end,
        case when old.maintenance <> new.maintenance
             then json_object('maintenance', json(iif(old.maintenance, 'true', 'false'))) else '{}' end));
end;

create trigger webhook_of_new_build after insert on builds
when exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email)
    values (new.app_id, 'api:build', 'create', hex(new.id), new.user_id, new.user_email);
end;
create trigger webhook_of_build after update of status on builds
when new.status in ('succeeded', 'failed', 'cancelled') and old.status in ('queued', 'running')
    and exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email, previous)
    values (new.app_id, 'api:build', 'update', hex(new.id), new.user_id, new.user_email, json_object('status', 'pending'));
end;

create trigger webhook_of_new_release after insert on releases
when exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email)
    values (new.app_id, 'api:release', 'create', hex(new.id), new.user_id, new.user_email);
end;
create trigger webhook_of_release after update of status on releases
when old.status <> new.status and exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email, previous)
    values (new.app_id, 'api:release', 'update', hex(new.id), new.user_id, new.user_email, json_object('status', old.status));
end;

create trigger webhook_of_new_formation after insert on formation
when exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource)
    values (new.app_id, 'api:formation', 'create', hex(new.id));
end;
create trigger webhook_of_formation after update of quantity on formation
when old.quantity <> new.quantity and exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, previous)
    values (new.app_id, 'api:formation', 'update', hex(new.id), json_object('quantity', old.quantity));
end;
create trigger webhook_of_gone_formation after delete on formation
when exists (select 1 from webhooks join apps on apps.id = webhooks.app_id where app_id = old.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, last)
    values (old.app_id, 'api:formation', 'destroy', hex(old.id), json_object('type', old.process_type, 'quantity', old.quantity));
end;

create trigger webhook_of_new_domain after insert on domains
when exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource)
    values (new.app_id, 'api:domain', 'create', hex(new.id));
end;
create trigger webhook_of_gone_domain after delete on domains
when exists (select 1 from webhooks join apps on apps.id = webhooks.app_id where app_id = old.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, last)
    values (old.app_id, 'api:domain', 'destroy', hex(old.id), json_object('hostname', old.hostname, 'kind', 'custom'));
end;

create trigger webhook_of_new_collaborator after insert on collaborators
when exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource)
    values (new.app_id, 'api:collaborator', 'create', hex(new.id));
end;
create trigger webhook_of_collaborator after update of role on collaborators
when old.role <> new.role and exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource)
    values (new.app_id, 'api:collaborator', 'update', hex(new.id));
end;
create trigger webhook_of_gone_collaborator after delete on collaborators
when exists (select 1 from webhooks join apps on apps.id = webhooks.app_id where app_id = old.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, last)
    values (old.app_id, 'api:collaborator', 'destroy', hex(old.id),
        json_object('user', json_object('email', (select email from users where id = old.user_id))));
end;

create trigger webhook_of_new_addon after insert on addons
when exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email)
    values (new.app_id, 'api:addon', 'create', hex(new.id), new.user_id, new.user_email);
end;
create trigger webhook_of_addon after update of state, plan on addons
when (old.state <> new.state or old.plan <> new.plan) and exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email, previous)
    values (new.app_id, 'api:addon', 'update', hex(new.id), new.user_id, new.user_email, json_object('state', old.state));
end;
create trigger webhook_of_gone_addon after delete on addons
when exists (select 1 from webhooks join apps on apps.id = webhooks.app_id where app_id = old.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, actor_id, actor_email, last)
    values (old.app_id, 'api:addon', 'destroy', hex(old.id), old.user_id, old.user_email,
        json_object('name', old.name, 'state', 'deprovisioned', 'plan', json_object('name', old.service || ':' || old.plan)));
end;

create trigger webhook_of_attachment after update of state on addon_attachments
when old.state <> new.state and new.state in ('attached', 'detached') and exists (select 1 from webhooks where app_id = new.app_id)
begin
    insert into webhook_changes (app_id, topic, action, resource, last)
    values (new.app_id, 'api:addon-attachment', iif(new.state = 'attached', 'create', 'destroy'), hex(new.id), json_object('name', new.name));
end;

-- Who did what the changed row itself does not say.
create trigger webhook_actor after insert on events
when new.actor <> '' and new.kind in ('scale', 'rename', 'maintenance', 'addon')
begin
    update webhook_changes set actor_email = new.actor
    where app_id = new.app_id and actor_email is null
        and topic = case new.kind when 'scale' then 'api:formation' when 'addon' then 'api:addon-attachment' else 'api:app' end;
end;

-- The feature `preboot`: on for every app until somebody switches it off.
insert or ignore into app_features (app_id, name, enabled_at) select id, 'preboot', created_at from apps;
