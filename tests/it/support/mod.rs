//! What tests share.

pub mod house;
pub mod postbox;
pub mod rendezvous;
pub mod served;
pub mod wait;
pub mod yard;
