//! What tests share.

pub mod house;
pub mod served;
pub mod yard;
