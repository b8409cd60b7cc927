//! Tests against real Docker; `script/test` prepares engine and stack images.

mod addons;
mod backups;
mod builds;
mod cellar;
mod codes;
mod daemon;
mod disk;
mod door;
mod drains;
mod dumps;
mod engine;
mod external;
mod flood;
mod github;
mod isolation;
mod kill;
mod kills;
mod nap;
mod rows;
mod run;
mod shop;
mod states;
mod stores;
mod storm;
pub mod tiny;
