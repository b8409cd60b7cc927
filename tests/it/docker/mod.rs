//! Tests against real Docker; `script/test` prepares engine and stack images.

mod builds;
mod drains;
mod engine;
mod flood;
mod isolation;
mod kill;
mod shop;
pub mod tiny;
