//! Tests against real Docker; `script/test` prepares engine and stack images.

mod engine;
pub mod tiny;
