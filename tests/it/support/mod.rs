//! What tests share.

pub mod house;
pub mod rendezvous;
pub mod served;
pub mod wait;
pub mod yard;
