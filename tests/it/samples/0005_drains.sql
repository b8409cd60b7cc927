insert into log_drains (id, app_id, sealed, token, created_at) values
    (x'91', x'21', x'01', 'd.0198c0de-0000-7000-8000-000000000000', 1767225600000);
