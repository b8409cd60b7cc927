//! What tests share.

pub mod served;
pub mod yard;
