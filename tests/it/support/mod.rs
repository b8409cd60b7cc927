//! What tests share.

pub mod served;
