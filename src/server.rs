//! Puts the parts together; the one list of periodic tasks; start and stop order.
