//! Tests against real Docker; `script/test` prepares engine and stack images.

mod builds;
mod engine;
mod kill;
mod shop;
pub mod tiny;
