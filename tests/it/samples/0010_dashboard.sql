insert into usage_slots (app_id, slot, data) values (x'21', 2983333, x'0100000000000001');
